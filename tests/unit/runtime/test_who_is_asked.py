"""When a reload makes a keeper build the connections of an upstream anew, and when not."""

from pathlib import Path
from typing import Any

import pytest

from edge.config.schema import Settings
from edge.runtime.keeper import who_is_asked


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    old, new = (who_is_asked(Settings.model_validate(raw)) for raw in (before, after))
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


TWO = {"origin": {"url": "http://o"}, "upstream": [{"url": "http://f", "group": "films"}]}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"group": [{"name": "films", "retries": 7}]}, {"films"}),
        ({"group": [{"name": "films", "selection": "least-latency"}]}, {"films"}),
        ({"group": [{"name": "films", "fallback": False}]}, {"films"}),
        ({"origin": {"url": "http://other"}}, {"origin"}),
        ({"origin": {"url": "http://o", "retries": 7}}, {"origin", "films"}),
        ({"upstream": [{"url": "http://f", "group": "series"}]}, {"films", "series"}),
        ({"group": [{"name": "films", "parallel_max": 1}]}, set()),  # of fills, not of connections
        ({"site": [{"name": "a"}]}, set()),
    ],
)
def test_only_an_upstream_that_has_changed_is_built_anew(more: dict[str, Any], expected: set[str]) -> None:
    assert changed(TWO, TWO | more) == expected


def test_a_certificate_that_was_renewed_in_its_place_is_taken_up(tmp_path: Path) -> None:
    """Nothing in the configuration says that it was: the old one was shown until a restart, and ran out."""
    cert = tmp_path / "us.pem"
    cert.write_text("old")
    films = {"url": "https://f", "group": "films", "client_cert": str(cert)}
    settings = Settings.model_validate({"origin": {"url": "https://o"}, "upstream": [films]})
    before = who_is_asked(settings)
    assert who_is_asked(settings) == before
    cert.write_text("renewed")
    after = who_is_asked(settings)
    assert (after["origin"] == before["origin"], after["films"] == before["films"]) == (True, False)
