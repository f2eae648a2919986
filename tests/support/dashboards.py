"""The Grafana dashboards as data, their variables filled in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[2] / "deploy/grafana/dashboards"
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(DIRECTORY.glob("*.json"))
}


def panels(name: str) -> list[dict[str, Any]]:
    """Those that show something: not the rows' titles."""
    return [panel for panel in DASHBOARDS[name]["panels"] if panel["type"] != "row"]


def expressions(name: str, rate_interval: str = "1m") -> Iterator[tuple[str, str]]:
    """Panel title and expression, as Grafana would send it with every variable at All."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"], variables(name), rate_interval)


def filled(expression: str, names: dict[str, tuple[str, str]], rate_interval: str) -> str:
    text = expression.replace("$__rate_interval", rate_interval)
    for name in names:
        text = text.replace(f"${name}", ".*")
    return text


def variables(name: str) -> dict[str, tuple[str, str]]:
    """Each variable's metric and label."""
    found = {}
    for variable in DASHBOARDS[name]["templating"]["list"]:
        match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
        assert match is not None, variable["query"]
        found[variable["name"]] = (match[1], match[2])
    return found
