"""What a URL's record and slices come to, without a server."""

from dataclasses import replace
from itertools import product
from typing import Any, cast

import pytest

from edge.config.schema import Settings
from edge.origin.breaker import FAILURES
from edge.origin.group import Group, Member, Selection
from edge.runtime import convert
from edge.runtime.standing import asked_of, breakers, outcome, stored_of
from edge.store.reader import Reader
from edge.store.record import Extent, Flag, Record
from edge.words import MIB, Kind

NOW = 1_700_000_000.0
RECORD = Record(
    generation=7, kind=Kind.MP4, status=200, flags=Flag.STRONG, total=10 * MIB, slice_size=MIB, base_time=NOW - 30,
    fresh_until=NOW + 60, stored_at=NOW - 30, stale_while_revalidate=10, stale_if_error=600, last_modified=0,
    sequence=1, key=b"films/a", path=b"/a", etag=b'"x"', vary=b"", tags=(b"t",), head=b"",
)  # fmt: skip


class Stored:
    """Stands for a Reader: only extents are asked of it."""

    def __init__(self, *runs: tuple[int, int]) -> None:
        self.extents = [Extent(start, end - start, 3, 0, ()) for start, end in runs]

    def extent_at(self, _: Record, position: int) -> Extent | None:
        return next((extent for extent in self.extents if extent.start <= position < extent.end), None)


def told(record: Record, *runs: tuple[int, int], body: bytes | None = None) -> dict[str, Any]:
    return stored_of(cast(Reader, Stored(*runs)), record, body, NOW)


def test_slices_and_holes_are_told_apart() -> None:
    said = told(RECORD, (0, 2 * MIB), (4 * MIB, 9 * MIB))
    assert said["missing"] == [[2 * MIB, 4 * MIB], [9 * MIB, 10 * MIB]]
    assert [(run["start"], run["end"]) for run in said["stored"]] == [(0, 2 * MIB), (4 * MIB, 9 * MIB)]
    assert (said["slices"], said["slices_stored"], said["complete"]) == (10, 7, False)


def test_a_short_lived_body_and_a_whole_object_are_complete() -> None:
    assert told(RECORD, (0, 10 * MIB))["complete"]
    assert told(RECORD, body=b"x")["complete"]
    assert told(replace(RECORD, total=MIB + 1), (0, MIB + 1))["slices"] == 2


@pytest.mark.parametrize(
    ("changes", "runs", "status", "says"),
    [
        ({}, [(0, 10 * MIB)], "hit", "fresh for 60.0 s"),
        ({}, [(0, MIB)], "hit", "1 missing runs"),
        ({"fresh_until": NOW - 5}, [(0, 10 * MIB)], "updating", "served while it is renewed"),
        ({"fresh_until": NOW - 5, "flags": Flag.MUST_REVALIDATE}, [], "expired", "stale: the upstream is asked first"),
        ({"fresh_until": NOW - 50}, [], "expired", "by its validator; served stale if that fails"),
        ({"fresh_until": NOW - 5000, "etag": b""}, [], "expired", "as a whole"),
        ({"flags": Flag.STALE}, [], "expired", "purged softly or no-cache"),
    ],
)
def test_what_would_happen_follows_from_what_is_stored(
    changes: dict[str, Any], runs: list[tuple[int, int]], status: str, says: str
) -> None:
    record = replace(RECORD, **changes)
    found, because = outcome(record, told(record, *runs), NOW)
    assert found == status
    assert says in because


def test_an_object_with_variants_says_by_what_they_are_chosen() -> None:
    record = replace(RECORD, flags=Flag.VARIES, vary=b"accept-encoding\n-")
    said = told(record)
    assert said["varies_by"] == [["accept-encoding"], []]
    assert outcome(record, said, NOW)[0] == ""


def test_the_order_of_members_is_the_keepers_own() -> None:
    from edge.clock import FakeClock
    from edge.origin.client import OriginClient

    upstreams: list[dict[str, object]] = [{"url": f"http://o{n}.example", "weight": 1.0 + n} for n in range(4)]
    upstreams += [{"url": f"http://s{n}.example:81", "role": "shield"} for n in range(3)]
    upstreams += [{"url": f"http://n{n}.example", "role": "sibling"} for n in range(3)]
    upstreams += [said | {"group": "films"} for said in reversed(upstreams)]
    for selection, group in product(("rendezvous", "primary-backup"), ("origin", "films")):
        settings = Settings.model_validate(
            {
                "upstream": upstreams,
                "server": {"url": "http://n0.example"},
                "origin": {"selection": selection if group == "origin" else "least-latency", "keys_file": "k"},
                "group": [{"name": "films", "selection": selection, "fallback": False}],
            }
        )
        members = [
            Member(OriginClient(said.origin, FakeClock()), said.weight, said.role)
            for said in convert.members(settings, group)
        ]
        own, fallback = convert.own(settings, group), settings.origin_of(group).fallback
        made = Group(members, Selection(selection), own=own, fallback=fallback)
        for number in range(50):
            key = b"films/%d" % number
            found = asked_of(settings, key, {}, group)
            assert [entry["member"] for entry in found] == [client.member for client in made.order(key)]
        for number, each in enumerate(members):
            for _ in range(FAILURES if number % 3 else 0):
                each.client.breaker.failed()
            if number % 3 == 1:
                each.client.breaker.probed(well=True)
        states = {each.client.member: each.client.breaker.state.value for each in members}
        assert set(states.values()) == {"closed", "open", "half_open"}
        for number in range(50):
            key = b"films/%d" % number
            found = asked_of(settings, key, states, group)
            assert [entry["member"] for entry in found] == [client.member for client in made.order(key)]
    settings = Settings.model_validate({"upstream": upstreams, "server": {"url": "http://n0.example"}})
    owners = {asked_of(settings, b"films/%d" % number, {})[0]["role"] for number in range(50)}
    assert owners == {"sibling", "shield"}  # what is ours is asked of a shield


def test_who_is_away_is_asked_last_and_owns_nothing() -> None:
    upstreams = [{"url": f"http://o{n}.example"} for n in range(3)]
    settings = Settings.model_validate({"upstream": upstreams})
    first = asked_of(settings, b"films/1", {})[0]["member"]
    last = asked_of(settings, b"films/1", {first: "open"})[-1]
    assert (last["member"], last["breaker"]) == (first, "open")


def test_of_keepers_that_differ_the_worst_is_told() -> None:
    series = {
        ("o", "a:1", "closed"): 1.0,
        ("o", "a:1", "open"): 1.0,
        ("o", "b:1", "open"): 0.0,
        ("o", "b:1", "closed"): 1.0,
        ("other", "b:1", "open"): 1.0,  # the same server for other sites has its own breaker
    }
    assert breakers(series, "o") == {"a:1": "open", "b:1": "closed"}
