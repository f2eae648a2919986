"""Recording and alerting rules: they ask for what there is, and fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.queries import Rule, parse, rules_of, strangers

ROOT = Path(__file__).parents[3] / "deploy"
RULES = rules_of(ROOT / "prometheus/rules")
RECORDED = frozenset(rule.name for rule in RULES if not rule.alert)
PARTS = 5
ALERTS = [rule for rule in RULES if rule.alert]


def promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed: the rules were not tried")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_asks_only_for_metrics_labels_and_values_of_the_catalogue(rule: Rule) -> None:
    assert not list(strangers(rule.expression, RECORDED))


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("rate(edge_http_requests[5m])", "no such metric: edge_http_requests"),
        ('edge_http_requests_total{tier="volume"}', "edge_http_requests_total has no label tier"),
        ('edge_cache_requests_total{status=~"hit|hot"}', "edge_cache_requests_total: no status=hot"),
        ("sum by (title) (edge_flights)", "grouped by title, which no metric of it has"),
        ('edge_http_ttfb_seconds_bucket{le="0.03"}', "edge_http_ttfb_seconds_bucket: no le=0.03"),
    ],
)
def test_an_expression_about_what_there_is_not_is_found_out(expression: str, complaint: str) -> None:
    assert list(strangers(expression, RECORDED)) == [complaint]


def test_what_is_not_promql_is_refused() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parse("sum by (edge_flights")


def test_each_recorded_series_is_used_by_an_alert_or_a_panel() -> None:
    text = "\n".join(rule.expression for rule in RULES)
    text += "\n".join(path.read_text() for path in (ROOT / "grafana/dashboards").glob("*.json"))
    assert not [name for name in RECORDED if name not in text]


def test_each_alert_has_its_runbook_which_quotes_its_expression_and_no_runbook_is_left_over() -> None:
    for rule in ALERTS:
        runbook = ROOT / "runbooks" / rule.annotations["runbook_url"].rpartition("/")[2]
        assert runbook.stem == rule.name
        quoted = re.search(r"```promql\n(.*?)\n```", runbook.read_text(), re.DOTALL)
        assert quoted is not None
        assert parse(quoted[1]) == parse(rule.expression)
        assert " ".join(quoted[1].split()) == " ".join(rule.expression.split())
    assert {path.stem for path in (ROOT / "runbooks").glob("Edge*.md")} == {rule.name for rule in ALERTS}


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases = yaml.safe_load((ROOT / "prometheus/tests/rules.test.yml").read_text())["tests"]
    names = {case.get("name") for case in cases}
    assert {f"{rule.name} {what}" for rule in ALERTS for what in ("fires", "keeps quiet")} <= names


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", *map(str, sorted((ROOT / "prometheus/rules").glob("*.yml"))))


def test_alerts_fire_in_their_cases_and_only_there(tmp_path: Path) -> None:
    """A part of the cases: all of them take 21 s of a core."""
    said = yaml.safe_load((ROOT / "prometheus/tests/rules.test.yml").read_text())
    said["rule_files"] = sorted(map(str, (ROOT / "prometheus/rules").glob("*.yml")))
    said["tests"] = said["tests"][::PARTS]
    assert said["tests"]
    chosen = tmp_path / "rules.test.yml"
    chosen.write_text(yaml.safe_dump(said))
    promtool("test", "rules", str(chosen))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_alerts_fire_in_all_their_cases_and_only_there() -> None:
    promtool("test", "rules", "prometheus/tests/rules.test.yml")
