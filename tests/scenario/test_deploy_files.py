"""What is shipped beside the program agrees with it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.config.load import load_settings
from edge.config.reference import render
from edge.observe.catalogue import BY_NAME
from tests.support.edgeproc import client, describing_origin, running_edge

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/edge.json").read_text())


def metrics_of_dashboard() -> set[str]:
    text = json.dumps([target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]])
    return set(re.findall(r"\bedge_[a-z_]+", text))


async def test_every_metric_of_the_dashboard_is_in_a_live_scrape(tmp_path: Path) -> None:
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
        for metric in metrics_of_dashboard():
            base = re.sub(r"_(bucket|sum|count)$", "", metric)
            assert base in named or metric in named, metric
        promtool = shutil.which("promtool")
        if promtool is None:
            pytest.skip("promtool is not installed: `promtool check metrics` was not run")
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_panels_do_not_overlap_and_ask_only_for_metrics_of_the_catalogue() -> None:
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics_of_dashboard()} <= set(BY_NAME)


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


def test_the_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: the unit was not verified")
    unit = tmp_path / "edge.service"
    text = (ROOT / "deploy/systemd/edge.service").read_text().replace("/opt/edge/bin/edge", "/bin/true")
    unit.write_text(text)
    checked = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False)
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
