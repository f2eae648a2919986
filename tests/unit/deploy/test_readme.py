"""What README tells an operator to write and to type is what the program takes."""

import argparse
import importlib
import re
from pathlib import Path

import pytest

from edge.cli.main import VERBS
from edge.config.load import load_text
from edge.config.schema import ServerSection
from edge.config.sites import SiteSection
from tests.support.queries import strangers

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
TYPED = sorted({(found[1], found[2]) for found in re.finditer(r"^edge ([a-z-]+)([^#\n;&]*)", README, re.MULTILINE)})
RUNBOOKS = "\n".join(path.read_text() for path in sorted((ROOT / "deploy/runbooks").glob("*.md")))
ADVISED = sorted({(found[1], found[2]) for found in re.finditer(r"`edge ([a-z-]+)( [^`]+)`", RUNBOOKS)})


def test_configurations_in_it_are_good() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        assert load_text(block, ROOT / "README.md").upstreams


def test_metrics_that_runbooks_name_exist_with_the_labels_that_they_name() -> None:
    named = set(re.findall(r"`(edge_\w+(?:\{[^}`]*\})?)`", RUNBOOKS))
    assert len(named) >= 25
    complaints = {name: list(strangers(name, frozenset())) for name in named}
    assert not {name: said for name, said in complaints.items() if said}


@pytest.mark.parametrize(("verb", "rest"), TYPED + ADVISED, ids=[verb + rest for verb, rest in TYPED + ADVISED])
def test_commands_in_it_and_in_runbooks_have_their_verbs_and_flags(verb: str, rest: str) -> None:
    parser = argparse.ArgumentParser()
    importlib.import_module(VERBS[verb][0]).add_arguments(parser)
    parser.parse_args(rest.partition("|")[0].split())


def test_settings_that_the_tables_name_exist() -> None:
    reference = (ROOT / "config/edge.toml").read_text()
    keys = set(re.findall(r"^#?(\w+) = ", reference, re.MULTILINE))
    tables = "\n".join(line.split("|")[2] for line in README.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)`|`(\w+) = ", tables))
    words = {word for pair in named for word in pair if "_" in word} - {"cache_status", "keys_zone"}
    assert len(words) >= 10
    assert words <= keys | set(SiteSection.model_fields) | set(ServerSection.model_fields)


def test_verbs_that_runbooks_speak_of_exist() -> None:
    spoken = set(re.findall(r"`edge ([a-z-]+)`", RUNBOOKS))
    assert {"doctor", "reload"} <= spoken <= set(VERBS)


def test_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"`((?:deploy|config|benchmarks|edge)/[\w./-]+)`", README))
    named |= {
        f"deploy/{name}" for name in re.findall(r"^- `([\w./-]+)`", (ROOT / "deploy/README.md").read_text(), re.M)
    }
    assert len(named) >= 12
    assert not [name for name in named if not (ROOT / name).exists()]


def test_no_runbook_has_a_reload_take_up_what_a_reload_refuses() -> None:
    refused = re.compile(r"\[\[volume\]\]|volume out|`size`|`daily_writes`|raise the bound")
    advice = [line for line in RUNBOOKS.splitlines() if "`edge reload`" in line]
    assert advice
    assert [line for line in advice if refused.search(line)] == []
