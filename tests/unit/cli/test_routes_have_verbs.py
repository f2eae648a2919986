"""What the admin API can do, the command line can."""

import re
from pathlib import Path

import edge.cli
from edge.control.api import ROUTES, VERBS

SOURCES = {path.stem: path.read_text() for path in Path(edge.cli.__file__).parent.glob("*.py")}
ASKED = re.compile(r'"(GET|POST)",\s*f?"(/v1/[^"]*)"')


def test_each_route_of_the_admin_api_is_asked_by_a_verb() -> None:
    asked = {
        (method, re.sub(r"\{[^}]*\}", "*", path))
        for source in SOURCES.values()
        for method, path in ASKED.findall(source)
    }
    asked.add(("POST", "/v1/reload"))  # by its signal, which also finds a server that does not answer
    assert "SIGHUP" in SOURCES["reload"]
    asked |= {("POST", f"/v1/warm/*/{verb}") for verb in VERBS if f'"{verb}"' in SOURCES["warm"]}
    for route in ROUTES:
        shape = re.sub(r"\{[^}]*\}", "*", route.path)
        assert any((route.method, path) in asked for path in (shape, *(shape[:-1] + verb for verb in VERBS))), route
