"""Shared by all tests: the marker `long` and what it selects."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the whole of long tests, not a seeded part")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="the whole runs with --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)
