"""Dashboards: each expression is PromQL about what there is, and Grafana can lay the panels out."""

import json
import re
from pathlib import Path

import pytest

from edge.observe.catalogue import BY_NAME
from tests.support.dashboards import DASHBOARDS, expressions, panels, variables
from tests.support.queries import base_of, parse, rules_of, strangers

ROOT = Path(__file__).parents[3] / "deploy"
RECORDING = {rule.name: rule.expression for rule in rules_of(ROOT / "prometheus/rules") if not rule.alert}
RECORDED = frozenset(RECORDING)
UNITS = {"none", "short", "percentunit", "s", "bytes", "bps", "Bps", "reqps", "ops"}
# Families without a panel, each with its reason.
UNSEEN = {
    "edge_http_inflight_requests": "it is edge_http_connections of state active: a request has its connection",
}
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


def families(expression: str) -> set[str]:
    """The catalogue's families that an expression asks for, also through recorded series."""
    found: set[str] = set()
    for selector in parse(expression).selectors:
        recorded = RECORDING.get(selector.metric)
        found |= families(recorded) if recorded is not None else {base_of(selector.metric)}
    return found


def test_each_family_of_the_catalogue_has_a_panel_or_a_reason_why_not() -> None:
    seen = {family for _, _, expression in ALL for family in families(expression)}
    assert set(BY_NAME) - seen == set(UNSEEN)


def test_writes_and_what_is_appended_anew_are_told_as_shares_of_what_is_filled() -> None:
    found = [
        text for name, title, text in ALL if (name, title) == ("node", "Write amplification and re-appended share")
    ]
    volume = r"sum by \(volume\) \(rate\(edge_cache_{}_bytes_total\{{.*\}}\[5m\]\)\)"
    for expression, written in zip(found, ("written", "rewritten"), strict=True):
        assert re.fullmatch(f"{volume.format(written)} / \\({volume.format('admitted')} > 0\\)", expression)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_stand_in_rows_with_titles_units_and_legends_of_their_own(name: str) -> None:
    found = panels(name)
    assert len({panel["title"] for panel in found}) == len(found)
    rows = [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] == "row"]
    assert len(rows) >= 2
    assert all(len(panel["title"]) <= 48 for panel in found), "Grafana cuts titles off"
    for panel in found:
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), panel["title"]
        assert all(legends) or panel["type"] == "table", panel["title"]


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
    uids = {panel["datasource"]["uid"] for name in DASHBOARDS for panel in panels(name)}
    assert uids == {"prometheus"}
    assert "uid: prometheus" in source
