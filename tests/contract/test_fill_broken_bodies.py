"""Bodies that break, stall or are refused under way: who goes on with them, how often, and who is asked no more."""

import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.fill.settings import FillSettings
from edge.fill.tries import PROGRESS
from edge.origin.bodies import BROKEN
from edge.origin.breaker import FAILURES, State
from edge.origin.client import OriginClient
from edge.words import MIB, Reason
from tests.contract.test_spread import FarPath, bytes_asked, far_bench, stored
from tests.support.fillbench import QUICK, FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Script, Wire, answer, range_of

BODY = os.urandom(3 * MIB + 12345)
OTHER = os.urandom(len(BODY))
RESUME_MAX = 3
PATIENT = replace(QUICK, connect_timeout=5.0, stall_timeout=5.0, first_byte_timeout=5.0, total_first_byte=10.0)
STALLING = replace(PATIENT, stall_timeout=0.3)
paths = pytest.mark.parametrize("path", ["near", "far"])


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


def refusal(status: int) -> bytes:
    return f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno".encode()


def body_at(raw: bytes) -> int:
    return raw.index(b"\r\n\r\n") + 4


@asynccontextmanager
async def two(
    directory: Path,
    path: str,
    one: Script,
    other: Script,
    *,
    settings: FillSettings | None = None,
    stalling: bool = False,
) -> AsyncIterator[tuple[RawServer, RawServer, FillBench]]:
    """The first member is asked as long as it serves, else the second; both near, or both far."""
    origin = STALLING if stalling else PATIENT
    async with (
        RawServer(one) as first,
        RawServer(other) as second,
        fill_bench(directory, first.url, more=(second.url,), settings=settings, origin=origin) as bench,
    ):
        for client in clients(bench):
            if path == "far":
                client.pool.path = FarPath()
        bench.shop.spread.twice = -float(1000 * MIB)  # no second request for what lags
        yield first, second, bench
        await bench.settled()
        assert bench.shop.spread.held == 0
        assert [client.pool.pieces for client in clients(bench)] == [0, 0]
        assert [client.pool.path.load.asked for client in clients(bench)] == [0, 0]


def clients(bench: FillBench) -> list[OriginClient]:
    return [member.client for member in bench.shop.group.members]


def empty_budgets(bench: FillBench) -> None:
    """To go on at another member that serves costs nothing: all that one was asked fails at the same moment."""
    for client in clients(bench):
        client._retries._tokens, client._retries._per_second = -1000.0, 0.0


# -- refused under way -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 408, 429, 500, 502, 503, 504, 508])
async def test_pieces_that_a_member_refuses_are_brought_by_the_next_one(tmp_path: Path, status: int) -> None:
    """A shield that drains resets or refuses all far bodies under way."""

    async def drains(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY) if len(first.asked) <= 4 else refusal(status))

    async with two(tmp_path, "far", drains, correct) as (first, second, bench):
        empty_budgets(bench)
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == BODY
        assert second.asked
        assert max(Counter(asked.fields["range"] for asked in first.asked).values()) == 1
        assert bytes_asked(second, len(BODY)) <= len(BODY)


@pytest.mark.parametrize("status", [404, 503])
async def test_a_member_that_refuses_pieces_is_asked_for_no_more_of_a_body(tmp_path: Path, status: int) -> None:
    async def drains(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY) if len(first.asked) <= 4 else refusal(status))

    async with two(tmp_path, "far", drains, correct, settings=FillSettings(parallel_max=4)) as (first, _second, bench):
        assert (await bench.get("/a.ts")).bytes() == BODY
        assert len(first.asked) <= 4 + FAILURES + 4  # those under way when its breaker opens


async def test_pieces_that_come_otherwise_than_asked_are_brought_by_the_next_member(tmp_path: Path) -> None:
    async def short(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        await wire.send(raw if len(first.asked) <= 4 else raw.replace(b"Content-Range", b"X-Range", 1))

    async with two(tmp_path, "far", short, correct) as (first, second, bench):
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == BODY
        assert second.asked


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_the_rest_of_a_body_that_is_refused_for_a_moment_is_asked_for_again(tmp_path: Path, status: int) -> None:
    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(origin.asked) == 1:
            await wire.send(raw[:MIB])
            wire.close()
        else:
            await wire.send(refusal(status) if len(origin.asked) < 4 else raw)

    async with RawServer(breaks) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == BODY
        assert len(origin.asked) == 4


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_the_rest_of_a_body_that_is_refused_for_good_breaks_off_within_its_tries(
    tmp_path: Path, status: int
) -> None:
    async def breaks(asked: Asked, wire: Wire) -> None:
        if len(origin.asked) > 1:
            await wire.send(refusal(status))
            return
        await wire.send(answer(asked, BODY)[:MIB])
        wire.close()

    async with RawServer(breaks) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[:2] == (502, Reason.BAD_RESPONSE)
        assert BODY.startswith(got.bytes())
        assert len(origin.asked) == 1 + (RESUME_MAX if status == 500 else 1)


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_a_rest_that_the_next_member_refuses_is_asked_of_the_first_again(tmp_path: Path, status: int) -> None:
    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        await wire.send(raw[:MIB] if len(first.asked) == 1 else raw)
        if len(first.asked) == 1:
            wire.close()

    async def refuses(asked: Asked, wire: Wire) -> None:
        await wire.send(refusal(status))

    async with two(tmp_path, "near", breaks, refuses) as (first, second, bench):
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == BODY
        assert (len(first.asked), len(second.asked)) == (2, 1)


# -- refused by whom a shield asks -------------------------------------------------------------------

RELAYED = b"HTTP/1.1 503 No\r\nCache-Status: shield; fwd=miss; fwd-status=503\r\nContent-Length: 2\r\n\r\nno"


def make_shields(bench: FillBench) -> None:
    """What they say of whom they ask is believed."""
    for client in clients(bench):
        client._admits = True


@pytest.mark.parametrize("budget", ["full", "empty"])
@paths
async def test_what_a_shield_says_of_its_origin_under_way_is_asked_for_once_more_and_of_nobody_else(
    tmp_path: Path, path: str, budget: str
) -> None:
    """Each request to a shield is several to an origin that has too much to do already."""

    async def overloaded(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY) if len(first.asked) == 1 else RELAYED)

    async with two(tmp_path, path, overloaded, correct, settings=FillSettings(parallel_max=4)) as (
        first,
        second,
        bench,
    ):
        make_shields(bench)
        if budget == "empty":
            empty_budgets(bench)
        if path == "near":
            await bench.get("/a.mp4", 0, MIB)
        got = await bench.get("/a.mp4", *((MIB, len(BODY)) if path == "near" else (0, len(BODY))))
        assert got.failed is not None
        assert got.failed[:2] == (502, Reason.BAD_RESPONSE)
        assert second.asked == []
        most = 2 if budget == "full" else 1
        assert max(Counter(asked.fields["range"] for asked in first.asked[1:]).values()) == most
        assert len(first.asked) <= 1 + 4 * most


@paths
async def test_what_another_shield_says_of_its_origin_is_no_reason_not_to_ask_the_first_again(
    tmp_path: Path, path: str
) -> None:
    """It has the object, perhaps."""

    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        await wire.send(raw[:-1000] if len(first.asked) == 2 else raw)
        if len(first.asked) == 2:
            wire.close()

    async def overloaded(asked: Asked, wire: Wire) -> None:
        await wire.send(RELAYED)

    async with two(tmp_path, path, breaks, overloaded) as (first, second, bench):
        make_shields(bench)
        await bench.get("/a.mp4", 0, MIB)
        got = await bench.get("/a.mp4", MIB, len(BODY))
        assert got.failed is None
        assert got.bytes() == BODY[MIB:]
        assert len(second.asked) == 1


# -- broken under way --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stall", "close"])
@paths
async def test_a_member_whose_bodies_break_is_left_at_once_and_after_some_not_asked_any_more(
    tmp_path: Path, path: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heads come; each body brings something, so that nobody but a player who waits would see it."""
    monkeypatch.setattr("edge.origin.breaker.OPEN_FIRST", 1e6)  # no check, which its head would pass, comes meanwhile

    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if path == "far" and (range_of(asked, len(BODY)) or (0, 0))[0] < MIB:
            await wire.send(raw)
            return
        await wire.send(raw[: body_at(raw) + 10_000])
        if how == "stall":
            await wire.reader.read()
        wire.close()

    async with two(tmp_path, path, breaks, correct, stalling=how == "stall") as (first, second, bench):
        for number in range(BROKEN):
            before = len(second.asked)
            got = await bench.get(f"/{number}.ts")
            assert got.failed is None
            assert got.bytes() == stored(bench, f"/{number}.ts") == BODY
            if path == "near":
                assert len(first.asked) == number + 1
                assert len(second.asked) == before + 1
            if bench.client.breaker.state is not State.CLOSED:
                break
        assert bench.client.breaker.state is not State.CLOSED
        assert path == "far" or number == BROKEN - 1
        assert (await bench.get("/x.ts")).bytes() == BODY
        assert "/x.ts" not in {asked.target for asked in first.asked}  # the breaker's own probe may have come


@pytest.mark.parametrize("how", ["break", "503"])
async def test_a_piece_that_fails_costs_what_is_left_of_it_at_another_member(tmp_path: Path, how: str) -> None:
    failed: list[tuple[int, int]] = []

    async def fails_once(asked: Asked, wire: Wire) -> None:
        raw, span = answer(asked, BODY), range_of(asked, len(BODY))
        if span is None or span[0] < MIB or failed:
            await wire.send(raw)
            return
        failed.append((span[1] - 1000 if how == "break" else span[0], span[1]))
        if how == "503":
            await wire.send(refusal(503))
        else:
            await wire.send(raw[:-1000])
            wire.close()

    async with two(tmp_path, "far", fails_once, correct) as (_first, second, bench):
        empty_budgets(bench)
        got = await bench.get("/a.ts")
        assert got.bytes() == BODY
        assert [range_of(asked, len(BODY)) for asked in second.asked] == failed
        assert bench.client.breaker.state is State.CLOSED


@paths
async def test_a_member_with_another_version_does_not_end_what_the_first_one_can_go_on_with(
    tmp_path: Path, path: str
) -> None:
    broken: list[Asked] = []

    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if not broken and (path == "near" or len(first.asked) == 5):
            broken.append(asked)
            await wire.send(raw[:-9000])
            wire.close()
            return
        await wire.send(raw)

    async def other(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, OTHER, etag='"v2"'))

    async with two(tmp_path, path, breaks, other) as (first, second, bench):
        got = await bench.get("/a.ts")
        assert broken
        assert len(second.asked) == 1
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == BODY


@pytest.mark.parametrize("how", ["stall", "close"])
@paths
async def test_a_byte_that_no_member_brings_is_asked_for_within_the_tries_of_one(
    tmp_path: Path, path: str, how: str
) -> None:
    at, tries = 2 * MIB, []

    async def never(asked: Asked, wire: Wire) -> None:
        raw, span = answer(asked, BODY), range_of(asked, len(BODY)) or (0, len(BODY))
        if not span[0] <= at < span[1]:
            await wire.send(raw)
            return
        tries.append(span)
        await wire.send(raw[: len(raw) - (span[1] - at)])
        if how == "stall":
            await wire.reader.read()
        wire.close()

    async with two(tmp_path, path, never, never, stalling=how == "stall") as (_first, _second, bench):
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.bytes() == BODY[:at]
        assert len(tries) <= 2 + RESUME_MAX


# -- how often ---------------------------------------------------------------------------------------


SMALL = BODY[:400_000]


def crumbs(count: int) -> Script:
    """Each try brings so many bytes, and ends; the first piece of a far body is whole."""

    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, SMALL)
        if len(raw) - body_at(raw) <= count or asked.fields.get("range", "").startswith("bytes=0-"):
            await wire.send(raw)
            return
        await wire.send(raw[: body_at(raw) + count])
        wire.close()

    return breaks


@paths
async def test_tries_that_bring_a_few_bytes_each_have_an_end(tmp_path: Path, path: str) -> None:
    async with far_bench(tmp_path, crumbs(100), origin=PATIENT) as (server, bench):
        if path == "near":
            bench.client.pool.path._far = 3600.0
        bench.shop.spread.twice = -float(1000 * MIB)  # no second request for what lags
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[1] is Reason.TRUNCATED
        assert SMALL.startswith(got.bytes())
        ends = Counter(asked.fields.get("range", "-").rpartition("-")[2] for asked in server.asked)
        assert max(ends.values()) <= 2 + RESUME_MAX  # all tries of a piece, or a body, have the same end


@pytest.mark.parametrize("count", [PROGRESS // RESUME_MAX + 1, 200_000])
@paths
async def test_over_a_link_that_breaks_often_and_brings_something_each_time_a_body_is_had(
    tmp_path: Path, path: str, count: int
) -> None:
    """By the only member there is, though all its bodies break."""
    async with far_bench(tmp_path, crumbs(count), origin=PATIENT) as (_server, bench):
        if path == "near":
            bench.client.pool.path._far = 3600.0
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == stored(bench, "/a.ts") == SMALL
