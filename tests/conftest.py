"""Shared by all tests: the marker `long` and what it selects; what is compiled is kept for the processes to come."""

import fcntl
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

# Hundreds of edges are started, and each would compile its modules anew where the environment says so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the whole of long tests, not a seeded part")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """One worker collects first: the others find the asserts that it has rewritten, which is most of the work."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_SH)
        return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="the whole runs with --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)
