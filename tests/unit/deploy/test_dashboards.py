"""Dashboards: each expression is PromQL about what there is, and Grafana can lay the panels out."""

import json
import re
from pathlib import Path

import pytest

from edge.observe.catalogue import BY_NAME
from tests.support.dashboards import DASHBOARDS, expressions, variables
from tests.support.queries import rules_of, strangers

ROOT = Path(__file__).parents[3] / "deploy"
RECORDED = frozenset(rule.name for rule in rules_of(ROOT / "prometheus/rules") if not rule.alert)
ALL = [(name, title, expression) for name in DASHBOARDS for title, expression in expressions(name)]


def test_there_are_four_and_each_has_a_uid_of_its_own() -> None:
    assert set(DASHBOARDS) == {"fleet", "node", "origin-and-shield", "players"}
    assert {dashboard["uid"] for dashboard in DASHBOARDS.values()} == {f"edge-{name}" for name in DASHBOARDS}


@pytest.mark.parametrize(("name", "title", "expression"), ALL, ids=[f"{n}: {t}" for n, t, _ in ALL])
def test_a_panel_asks_only_for_metrics_labels_and_values_of_the_catalogue(
    name: str, title: str, expression: str
) -> None:
    assert not list(strangers(expression, RECORDED))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_are_filled_from_labels_that_exist_and_expressions_use_no_others(name: str) -> None:
    text = json.dumps(DASHBOARDS[name]["panels"])
    declared = variables(name)
    for metric, label in declared.values():
        known = {known.name for known in BY_NAME[metric].labels} | {"location", "node", "role"}
        assert label in known
    assert set(re.findall(r"\$(\w+)", text)) - {"__rate_interval"} == set(declared)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_their_own_numbers_and_places(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) >= 10
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_they_and_the_data_source_are_provisioned() -> None:
    source = (ROOT / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    uids = {panel["datasource"]["uid"] for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]}
    assert uids == {"prometheus"}
    assert "uid: prometheus" in source
