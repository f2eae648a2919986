"""What is shipped beside the program agrees with it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config.load import load_settings
from edge.config.reference import render
from tests.support.dashboards import DASHBOARDS, expressions
from tests.support.edgeproc import client, describing_origin, running_edge
from tests.support.queries import base_of, parse, rules_of

ROOT = Path(__file__).parents[2]

# Only where the configuration has a fleet, or certificates, or says what the port carries.
ABSENT = {
    "edge_purge_lag_seconds",
    "edge_fleet_connected",
    "edge_link_capacity_bytes_per_second",
    "edge_tls_certificate_expiry_timestamp_seconds",
    "edge_tls_send_path",
}


async def test_every_metric_of_rules_and_dashboards_is_in_a_live_scrape(tmp_path: Path) -> None:
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "c", origin.url) as edge,
        client() as http,
    ):
        for path in ("/s/300000/a.ts", "/s/300000/a.ts", "/s/1/b.ts?status=500"):
            async with http.get(edge.url + path) as got:
                await got.read()
        async with http.get(edge.admin + "/metrics") as got:
            text = await got.text()
        named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        asked = [rule.expression for rule in rules_of(ROOT / "deploy/prometheus/rules")]
        asked += [expression for name in DASHBOARDS for _title, expression in expressions(name)]
        metrics = {selector.metric for expression in asked for selector in parse(expression).selectors}
        metrics = {base_of(metric) for metric in metrics if metric.startswith("edge_")}
        assert len(metrics) > 40
        assert metrics - named <= ABSENT
        promtool = shutil.which("promtool")
        if promtool is None:
            pytest.skip("promtool is not installed: `promtool check metrics` was not run")
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_reference_configuration_is_rendered_from_the_schema_and_every_example_is_good() -> None:
    assert (ROOT / "config/edge.toml").read_text() == render()
    examples = [ROOT / "config/edge.toml", *(ROOT / "config/examples").glob("*.toml")]
    assert len(examples) >= 5
    for example in examples:
        load_settings(example)


def test_the_prometheus_configuration_is_good() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: `promtool check config` was not run")
    path = str(ROOT / "deploy/prometheus/prometheus.yml")
    checked = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


async def test_the_film_and_its_page_are_complete_and_refer_to_nothing_outside(tmp_path: Path) -> None:
    film = ROOT / "edge/demo/film"
    assert sum(path.stat().st_size for path in film.iterdir()) <= 3_000_000
    for playlist in film.glob("*.m3u8"):
        for line in playlist.read_text().splitlines():
            if line and not line.startswith("#"):
                assert (film / line).is_file(), line
    assert all((film / f"seg-{r}-{n:03d}.m4s").is_file() for r in range(3) for n in range(1, 9))
    for path in (ROOT / "edge/demo/page").iterdir():
        assert not re.search(r"(src|href)=[\"']https?:|@import|url\(http", path.read_text()), path
