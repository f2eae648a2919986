"""Bodies from a far origin, brought over several connections: the right bytes or none, and few of them twice."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.fill.messages import HeadFlag, Mode, Pin
from edge.fill.settings import FillSettings
from edge.fill.shares import HEAD, MOST
from edge.fill.shop import TWICE_SHARE
from edge.fill.spread import FIRST, Spread
from edge.origin.budget import RETRIES_MOST
from edge.origin.pace import MOST as MOST_FACTOR
from edge.origin.path import LATE_MOST, PathStatistics
from edge.origin.settings import OriginSettings
from edge.policy.rules import RFC9111, SiteRules
from edge.words import KIB, MIB, Reason
from tests.support.counting import Counting
from tests.support.fillbench import QUICK, FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Script, Wire, answer, range_of

BODY = os.urandom(3 * MIB + 12345)
OTHER = os.urandom(len(BODY))
ROUND_TRIP = 0.2  # seconds; a piece lags after twice that
PATIENT = replace(QUICK, stall_timeout=5.0)


class FarPath(PathStatistics):
    """The loopback, said to be far."""

    def __init__(self) -> None:
        super().__init__(0.02)
        super().connected(ROUND_TRIP)

    def connected(self, seconds: float) -> None:
        super().connected(ROUND_TRIP)


@asynccontextmanager
async def far_bench(
    directory: Path,
    script: Script,
    *,
    origin: OriginSettings = QUICK,
    settings: FillSettings | None = None,
    rules: SiteRules | None = None,
) -> AsyncIterator[tuple[RawServer, FillBench]]:
    async with (
        RawServer(script) as server,
        fill_bench(directory, server.url, origin=origin, settings=settings, rules=rules) as bench,
    ):
        bench.client.pool.path = FarPath()
        yield server, bench
        await bench.settled()
        assert bench.shop.spread.held == 0
        assert bench.shop.spread.bodies == []
        assert bench.client.pool.pieces == 0
        assert bench.client.pool.path.load.asked == 0


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


def stored(bench: FillBench, path: str) -> bytes:
    return b"".join(data for _, data in sorted(bench.stored_bytes(path).items()))


def bytes_asked(server: RawServer, total: int) -> int:
    spans = [range_of(asked, total) for asked in server.asked]
    return sum(max(0, span[1] - span[0]) for span in spans if span is not None)


async def test_a_cold_segment_comes_in_pieces_of_one_version_the_first_one_small(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert got.bytes() == stored(bench, "/v/1.ts") == BODY
        assert server.asked[0].fields["range"] == f"bytes=0-{FIRST - 1}"
        assert len(server.asked) > 8
        assert all(asked.fields["if-range"] == '"v1"' for asked in server.asked[1:])
        assert bytes_asked(server, len(BODY)) == len(BODY)
        assert (await bench.get("/v/1.ts")).again


async def test_the_next_segment_is_asked_for_as_a_whole_before_its_head_has_come(tmp_path: Path) -> None:
    gate = asyncio.Event()
    gate.set()

    async def gated(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await correct(asked, wire)

    async with far_bench(tmp_path, gated) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        gate.clear()
        got = bench.ask("/v/2.ts")
        async with asyncio.timeout(5):
            while bytes_asked(server, len(BODY)) < len(BODY):
                await asyncio.sleep(0.001)
        gate.set()
        assert (await got.finish()).bytes() == BODY
        assert bytes_asked(server, len(BODY)) == len(BODY)


@pytest.mark.parametrize("size", [0, 1, 1000, FIRST, FIRST + 1, MIB, 2 * MIB + 1, 4 * MIB])
async def test_a_guess_of_the_length_that_was_wrong_gives_the_right_bytes(tmp_path: Path, size: int) -> None:
    body = os.urandom(size)

    async def either(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY if asked.target == "/v/1.ts" else body))

    async with far_bench(tmp_path, either) as (_server, bench):
        await bench.get("/v/1.ts")
        got = await bench.get("/v/2.ts")
        assert got.failed is None
        assert got.bytes() == body
        assert stored(bench, "/v/2.ts")[:size] == body  # an empty one has a mark in the pack


async def test_an_origin_without_ranges_is_one_stream_and_remembered(tmp_path: Path) -> None:
    async def whole(asked: Asked, wire: Wire) -> None:
        asked.fields.pop("range", None)
        await wire.send(answer(asked, BODY))

    async with far_bench(tmp_path, whole) as (server, bench):
        assert (await bench.get("/v/1.ts")).bytes() == BODY
        assert len(server.asked) == 1
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        assert len(server.asked) == 2
        assert "range" not in server.asked[1].fields


@pytest.mark.parametrize("etag", ["", 'W/"v1"'])
async def test_without_a_strong_validator_it_is_one_stream_and_remembered(tmp_path: Path, etag: str) -> None:
    async def weak(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY, etag=etag))

    async with far_bench(tmp_path, weak) as (server, bench):
        assert (await bench.get("/v/1.ts")).bytes() == BODY
        assert ["range" in asked.fields for asked in server.asked] == [True, False]
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        assert len(server.asked) == 3


@pytest.mark.parametrize("guessed", [False, True])
@pytest.mark.parametrize("at", [1, 2, 7])
async def test_a_piece_that_breaks_is_asked_for_again_from_where_it_broke(
    tmp_path: Path, at: int, guessed: bool
) -> None:
    broken: list[str] = []

    async def breaks(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if asked.target == "/v/2.ts" and len(server.asked) == at + 1 and not broken:
            broken.append(asked.fields["range"])
            await wire.send(raw[:-1000])
            wire.close()
            return
        await wire.send(raw)

    counting = Counting()
    async with far_bench(tmp_path, breaks, origin=PATIENT) as (server, bench):
        bench.client.observe(counting)
        if guessed:
            await bench.get("/v/1.ts")
            server.asked.clear()
        got = await bench.get("/v/2.ts")
        assert broken
        assert got.bytes() == stored(bench, "/v/2.ts") == BODY
        rest = int(broken[0].rpartition("-")[2]) - 999
        assert [asked for asked in server.asked if asked.fields.get("range", "").startswith(f"bytes={rest}-")]
        assert bytes_asked(server, len(BODY)) == len(BODY) + 1000
        assert counting.seen["resume"] == 1


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_piece_that_fails_for_a_moment_is_asked_for_again(tmp_path: Path, status: int) -> None:
    refused: list[str] = []

    async def busy(asked: Asked, wire: Wire) -> None:
        if len(server.asked) > 3 and len(refused) < 2:
            refused.append(asked.fields["range"])
            await wire.send(f"HTTP/1.1 {status} Busy\r\nContent-Length: 4\r\n\r\nbusy".encode())
            return
        await wire.send(answer(asked, BODY))

    async with far_bench(tmp_path, busy) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert len(refused) == 2
        assert got.bytes() == BODY


async def test_an_origin_that_dies_amid_the_pieces_fails_the_fill_after_the_configured_tries(tmp_path: Path) -> None:
    async def dies(asked: Asked, wire: Wire) -> None:
        if len(server.asked) > 3:
            wire.reset()
            return
        await wire.send(answer(asked, BODY))

    settings = FillSettings(parallel_max=4)
    async with far_bench(tmp_path, dies, settings=settings) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert got.failed is not None
        assert got.failed[0] == 502
        assert BODY.startswith(got.bytes())
        assert len(server.asked) <= 3 + 4 * 4 + RETRIES_MOST * 1.3
        assert bench.stored("/v/1.ts") is None or BODY.startswith(stored(bench, "/v/1.ts"))


@pytest.mark.parametrize("guessed", [False, True])
@pytest.mark.parametrize("how", ["etag", "total", "whole"])
async def test_pieces_of_different_versions_are_never_mixed(tmp_path: Path, how: str, guessed: bool) -> None:
    async def changes(asked: Asked, wire: Wire) -> None:
        if asked.target == "/v/1.ts" or len(server.asked) < 4:
            await wire.send(answer(asked, BODY))
        elif how == "total":
            asked.fields.pop("if-range", None)
            await wire.send(answer(asked, OTHER + b"more"))
        else:
            if how == "etag":
                asked.fields.pop("if-range", None)
            await wire.send(answer(asked, OTHER, etag='"v2"'))

    async with far_bench(tmp_path, changes) as (server, bench):
        if guessed:
            await bench.get("/v/1.ts")
            server.asked.clear()
        got = await bench.get("/v/2.ts")
        assert got.failed is not None
        assert got.failed[1] is Reason.OBJECT_CHANGED
        assert BODY.startswith(got.bytes())
        record = bench.stored("/v/2.ts")
        assert record is None
        server.asked.extend(server.asked[:1] * 8)  # from now on all of it is the new version
        again = await bench.get("/v/2.ts")
        assert again.failed is None
        assert again.bytes() == (OTHER + b"more" if how == "total" else OTHER)


@pytest.mark.parametrize("how", ["etag", "total"])
async def test_what_came_on_a_guess_and_is_of_another_version_than_the_head_is_asked_for_anew(
    tmp_path: Path, how: str
) -> None:
    """Two servers behind one address, perhaps, of which one is a moment behind: no piece of it may stay."""
    guessed = 0
    came = asyncio.Event()

    async def two(asked: Asked, wire: Wire) -> None:
        nonlocal guessed
        beginning = asked.fields["range"].startswith("bytes=0-")
        if asked.target == "/v/1.ts" or "if-range" in asked.fields:
            await wire.send(answer(asked, BODY))
        elif beginning:
            await came.wait()
            await wire.send(answer(asked, BODY))
        else:
            guessed += 1
            await wire.send(answer(asked, OTHER, etag='"v0"') if how == "etag" else answer(asked, OTHER + b"more"))
            if guessed == 4:
                came.set()

    async with far_bench(tmp_path, two, origin=PATIENT) as (_server, bench):
        await bench.get("/v/1.ts")
        got = await bench.get("/v/2.ts")
        assert guessed >= 4
        assert got.failed is None
        assert got.bytes() == stored(bench, "/v/2.ts") == BODY


async def test_a_piece_that_hangs_is_asked_for_on_another_connection_and_the_first_answer_wins(tmp_path: Path) -> None:
    hung: list[str] = []
    release = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(server.asked) == 4 and not hung:
            hung.append(asked.fields["range"])
            await wire.send(raw[:-20_000])
            await release.wait()
        await wire.send(raw)

    counting = Counting()
    async with far_bench(tmp_path, hangs, origin=PATIENT) as (server, bench):
        bench.client.observe(counting)
        got = await bench.get("/v/1.ts")
        assert got.bytes() == stored(bench, "/v/1.ts") == BODY
        assert hung
        assert bytes_asked(server, len(BODY)) == len(BODY) + 20_000
        assert counting.seen["repeat"] == 1
        release.set()


async def test_where_every_piece_lags_few_bytes_are_asked_for_twice(tmp_path: Path) -> None:
    """Else a path that is slow for a moment would be asked for twice of what it cannot bring once."""

    async def slow(asked: Asked, wire: Wire) -> None:
        if asked.target != "/v/0.ts" and not asked.fields["range"].startswith("bytes=0-"):
            await asyncio.sleep(LATE_MOST * ROUND_TRIP + 0.4)
        await wire.send(answer(asked, BODY))

    counting = Counting()
    async with far_bench(tmp_path, slow, origin=replace(PATIENT, first_byte_timeout=10.0)) as (server, bench):
        await bench.get("/v/0.ts")
        bench.client.observe(counting)
        pool = bench.client.pool
        pool.expect(80)
        async with asyncio.timeout(10):
            while pool.counts[0] or pool.counts[1] < 70:
                await pool.keep_warm()
        for connection in pool._idle:
            connection.window.size = 60 * KIB  # half of them bring a body, and the others are free
        saved = bench.shop.spread.twice
        server.asked.clear()
        for number in (1, 2):
            assert (await bench.get(f"/v/{number}.ts")).bytes() == BODY
        asked = bytes_asked(server, len(BODY))
        assert counting.seen["repeat"] > 0
        assert asked <= 2 * len(BODY) + saved + TWICE_SHARE * asked


async def test_the_lagging_piece_wins_when_it_comes_before_its_rival(tmp_path: Path) -> None:
    hung: list[str] = []
    asked_again = asyncio.Event()
    release = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(server.asked) == 4 and not hung:
            hung.append(asked.fields["range"])
            await wire.send(raw[:-20_000])
            await asked_again.wait()
            await wire.send(raw[-20_000:])
            return
        if hung and range_of(asked, len(BODY)) in _ends(hung[0]):
            asked_again.set()
            await release.wait()
        await wire.send(raw)

    async with far_bench(tmp_path, hangs, origin=PATIENT) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert got.bytes() == BODY
        assert asked_again.is_set()
        release.set()


async def test_what_the_lagging_piece_brings_before_it_loses_is_not_given_out_twice(tmp_path: Path) -> None:
    hung: list[str] = []
    asked_again, release = asyncio.Event(), asyncio.Event()

    def has_moved() -> bool:
        bodies = [body for body in bench.shop.spread.bodies if isinstance(body, Spread)]
        raced = [piece for body in bodies for piece in body._pieces if piece.rivals]
        return any(piece.position > piece.rivals[0].start for piece in raced)

    async def hangs(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(server.asked) == 4 and not hung:
            hung.append(asked.fields["range"])
            await wire.send(raw[:-20_000])
            await asked_again.wait()
            await wire.send(raw[-20_000:-15_000])
            await release.wait()
            return
        if hung and range_of(asked, len(BODY)) in _ends(hung[0]):
            asked_again.set()
            while not has_moved():
                await asyncio.sleep(0.001)
        await wire.send(raw)

    async with far_bench(tmp_path, hangs, origin=PATIENT) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert asked_again.is_set()
        assert got.bytes() == stored(bench, "/v/1.ts") == BODY
        release.set()


def _ends(field: str) -> list[tuple[int, int]]:
    last = int(field.rpartition("-")[2]) + 1
    return [(last - 20_000, last)]


async def test_a_piece_that_breaks_while_its_rival_is_under_way_waits_for_the_rival(tmp_path: Path) -> None:
    hung: list[str] = []
    broke = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(server.asked) == 4 and not hung:
            hung.append(asked.fields["range"])
            await wire.send(raw[:-20_000])
            await asyncio.sleep(ROUND_TRIP * 2.5)
            await wire.send(b"")
            broke.set()
            wire.reset()
            return
        if hung and range_of(asked, len(BODY)) in _ends(hung[0]) and not broke.is_set():
            await broke.wait()
        await wire.send(raw)

    settings = FillSettings(resume_max=0)
    async with far_bench(tmp_path, hangs, origin=PATIENT, settings=settings) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert broke.is_set()
        assert got.bytes() == BODY


async def test_what_is_left_of_a_piece_that_hangs_is_asked_of_as_many_as_bring_it_in_a_round_trip(
    tmp_path: Path,
) -> None:
    hung: list[tuple[int, int]] = []
    release = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(BODY))
        if asked.target == "/v/2.ts" and not hung and span is not None and span[1] - span[0] > 150 * KIB:
            hung.append(span)
            while bench.client.pool.counts[0] > 1:
                await asyncio.sleep(0.001)  # until the others have come
            for connection in bench.client.pool._idle:
                connection.window.size = 80 * KIB
            bench.shop.spread.twice = float(MIB)
            await release.wait()
        await wire.send(answer(asked, BODY))

    async with far_bench(tmp_path, hangs, origin=replace(PATIENT, first_byte_timeout=10.0)) as (server, bench):
        await bench.get("/v/1.ts")
        async with asyncio.timeout(5):
            while bench.client.pool.counts[0] or bench.client.pool.counts[1] < 30:
                await bench.client.pool.keep_warm()
        for connection in bench.client.pool._idle:
            connection.window.size = 80 * KIB
        for connection in list(bench.client.pool._idle)[:2]:  # one of these brings the beginning
            connection.window.size = 200 * KIB
        bench.shop.spread.twice = -float(1000 * MIB)
        server.asked.clear()
        got = await bench.get("/v/2.ts")
        assert got.bytes() == BODY
        start, end = hung[0]
        spans = [range_of(asked, len(BODY)) or (0, 0) for asked in server.asked]
        again = [span for span in spans if start <= span[0] < end and span != hung[0]]
        assert max(span[1] - span[0] for span in again) <= 80 * KIB
        assert sum(span[1] - span[0] for span in again) == end - start
        release.set()


async def test_a_piece_whose_first_byte_does_not_come_is_taken_up_again(tmp_path: Path) -> None:
    """Once without a budget for that: a body under way goes on as it does after a stall."""
    hung: list[str] = []

    async def hangs(asked: Asked, wire: Wire) -> None:
        if len(server.asked) > 3 and not hung:
            hung.append(asked.fields["range"])
            await wire.reader.read()
            return
        await wire.send(answer(asked, BODY))

    async with far_bench(tmp_path, hangs) as (server, bench):
        bench.shop.spread.twice = -float(1000 * MIB)  # no second request for what lags
        bench.client._retries._tokens, bench.client._retries._per_second = -1000.0, 0.0
        got = await bench.get("/v/1.ts")
        assert hung
        assert got.failed is None
        assert got.bytes() == stored(bench, "/v/1.ts") == BODY


@pytest.mark.parametrize("how", ["stall", "break"])
async def test_a_byte_that_never_comes_is_asked_for_as_often_as_is_configured_and_no_more(
    tmp_path: Path, how: str
) -> None:
    at = 2 * MIB
    tries = []

    async def never(asked: Asked, wire: Wire) -> None:
        raw, span = answer(asked, BODY), range_of(asked, len(BODY))
        if span is None or not span[0] <= at < span[1]:
            await wire.send(raw)
            return
        tries.append(span)
        await wire.send(raw[: len(raw) - (span[1] - at)])
        if how == "stall":
            await wire.reader.read()
        wire.close()

    resume_max = 3
    async with far_bench(tmp_path, never, settings=FillSettings(resume_max=resume_max)) as (_server, bench):
        bench.shop.spread.twice = -float(1000 * MIB)  # no second request for what lags
        got = await bench.get("/v/1.ts")
        assert got.failed is not None
        assert got.bytes() == BODY[:at]
        assert 2 + resume_max >= len(tries) > resume_max  # the first has brought something


async def test_a_body_whose_origin_falls_silent_ends_in_the_time_that_an_answer_may_take(tmp_path: Path) -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        if len(server.asked) > 3:
            await wire.reader.read()
            return
        await wire.send(answer(asked, BODY))

    settings = FillSettings(parallel_max=4, resume_max=1000)
    async with far_bench(tmp_path, silent, settings=settings) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert got.failed is not None
        assert got.failed[:2] == (504, Reason.FIRST_BYTE_TIMEOUT)
        assert BODY.startswith(got.bytes())


async def test_no_more_pieces_are_under_way_than_allowed(tmp_path: Path) -> None:
    under_way: set[int] = set()
    most: list[int] = []

    async def counted(asked: Asked, wire: Wire) -> None:
        under_way.add(wire.number)
        most.append(len(under_way))
        await asyncio.sleep(0.001)
        await wire.send(answer(asked, BODY))
        under_way.discard(wire.number)

    async with far_bench(tmp_path, counted, settings=FillSettings(parallel_max=5)) as (_server, bench):
        assert (await bench.get("/v/1.ts")).bytes() == BODY
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        assert 3 <= max(most) <= 6  # five pieces, and the first one


async def test_bodies_that_come_later_get_their_share_of_the_connections(tmp_path: Path) -> None:
    steps = asyncio.Semaphore(0)

    async def held(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("range") != f"bytes=0-{FIRST - 1}":
            await steps.acquire()
        await wire.send(answer(asked, BODY))

    def pieces(path: str) -> int:
        return sum(asked.target == path for asked in server.asked)

    origin = replace(QUICK, max_connections=32, first_byte_timeout=5.0)
    kept = 2  # idle connections, for first requests
    async with far_bench(tmp_path, held, origin=origin) as (server, bench):
        paths = [f"/v{n}/1.ts" for n in range(4)]
        got = [bench.ask(path) for path in paths]
        async with asyncio.timeout(5):
            while min(pieces(path) for path in paths) < 1 or sum(pieces(path) for path in paths) < 4 + 24:
                await asyncio.sleep(0.001)
        assert sum(pieces(path) for path in paths) <= 4 + 24 + 3  # each body has one; the others are for first requests
        for _ in range(18):  # pieces of the first body end one after another
            steps.release()
        async with asyncio.timeout(5):
            while sum(pieces(path) for path in paths) < 4 + 24 + 18 - kept:
                await asyncio.sleep(0.001)
        assert min(pieces(path) for path in paths) >= 5
        for _ in range(1000):
            steps.release()
        for one in got:
            assert (await one.finish()).bytes() == BODY


def crowd(bench: FillBench, carries: int) -> None:
    """The path has a queue, and carries so many bytes a second."""
    load, now = bench.client.pool.path.load, bench.shop.clock.monotonic()
    load._most, load._crowded_until = carries * ROUND_TRIP, now + 60.0
    load._came, load._since = 0, now


@asynccontextmanager
async def answered_when_all_is_asked(tmp_path: Path, bodies: int) -> AsyncIterator[tuple[RawServer, FillBench]]:
    """Connections are warm and the length is known; what is asked from now on is answered when all of it has been."""
    held = False

    async def gated(asked: Asked, wire: Wire) -> None:
        while held and bytes_asked(server, len(BODY)) < bodies * len(BODY):
            await asyncio.sleep(0.001)
        await correct(asked, wire)

    async with far_bench(tmp_path, gated, origin=PATIENT) as (server, bench):
        await asyncio.gather(*(bench.get(f"/v/{number}.ts") for number in range(bodies)))
        server.asked.clear()
        held = True
        yield server, bench


async def test_on_a_crowded_path_several_bodies_are_asked_for_no_faster_than_it_carries(tmp_path: Path) -> None:
    carries, counting = 20 * MIB, Counting()
    async with answered_when_all_is_asked(tmp_path, 2) as (server, bench):
        bench.client.observe(counting)
        crowd(bench, carries)
        begun = bench.shop.clock.monotonic()
        both = [bench.ask("/v/2.ts"), bench.ask("/v/3.ts")]
        async with asyncio.timeout(10):
            while bytes_asked(server, len(BODY)) < 2 * len(BODY):
                await asyncio.sleep(0.001)
        took = bench.shop.clock.monotonic() - begun
        for got in both:
            assert (await got.finish()).bytes() == BODY
    # One piece of each body does not wait, the last one of all is asked for and still has to come.
    assert counting.seen["pause"] > 0
    assert took > 0.9 * (2 * len(BODY) - 3 * MOST) / (carries * MOST_FACTOR)


async def test_a_body_that_has_a_crowded_path_for_itself_is_not_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answered_when_all_is_asked(tmp_path, 1) as (_, bench):
        crowd(bench, 20 * MIB)
        monkeypatch.setattr(bench.client.pool.path.load, "hold", lambda now: 60.0)
        async with asyncio.timeout(10):
            assert (await bench.get("/v/2.ts")).bytes() == BODY


async def test_what_has_come_of_a_piece_is_not_under_way_any_more(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def most_of_it(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if asked.target == "/v/2.ts":
            await wire.send(raw[: len(raw) * 7 // 8])
            await gate.wait()
            await wire.send(raw[len(raw) * 7 // 8 :])
        else:
            await wire.send(raw)

    async with far_bench(tmp_path, most_of_it, origin=PATIENT) as (_, bench):
        await bench.get("/v/1.ts")
        load = bench.client.pool.path.load
        got = bench.ask("/v/2.ts")
        most = 0
        async with asyncio.timeout(10):
            while not most or load.asked > 0.6 * most:
                most = max(most, load.asked)
                await asyncio.sleep(0.001)
        assert bench.client.pool.pieces > 1, "no piece is complete"
        gate.set()
        assert (await got.finish()).bytes() == BODY


async def test_a_private_answer_stops_the_pieces_and_reaches_its_leader_alone(tmp_path: Path) -> None:
    async def private(asked: Asked, wire: Wire) -> None:
        more = ["Cache-Control: private"] if asked.target == "/v/2.ts" else []
        await wire.send(answer(asked, BODY, *more))

    async with far_bench(tmp_path, private) as (_server, bench):
        await bench.get("/v/1.ts")
        got = [bench.ask("/v/2.ts") for _ in range(3)]
        for one in got:
            await one.finish()
            assert one.bytes() == BODY
            assert one.head is not None
            assert one.head.flags & HeadFlag.ALONE
        await bench.settled()
        assert bench.stored("/v/2.ts") is None


async def test_a_range_and_a_suffix_of_a_cold_film_are_right(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (_server, bench):
        got = await bench.get("/a.mp4", MIB + 5, 2 * MIB + 7)
        assert got.bytes() == BODY[MIB + 5 : 2 * MIB + 7]
        assert (await bench.get("/b.mp4", suffix=1000)).bytes() == BODY[-1000:]
        rest = await bench.get("/a.mp4", 0, len(BODY))
        assert all(BODY[at : at + len(data)] == data for at, data in rest.body.items())
        await bench.settled()
        have = bench.stored_bytes("/a.mp4")
        assert all(BODY[at : at + len(data)] == data for at, data in have.items())


async def test_readers_that_leave_end_the_requests(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("range") != f"bytes=0-{FIRST - 1}":
            await gate.wait()
        await wire.send(answer(asked, BODY))

    settings = FillSettings(finish_share=0.0)
    async with far_bench(tmp_path, held, settings=settings, origin=PATIENT) as (_server, bench):
        got = bench.ask("/a.mp4", 0, len(BODY))
        await got.headed()
        assert got.asking is not None
        got.asking.cancel()
        gate.set()
        await bench.settled()
        assert bench.client.pool.counts[0] == 0
        again = await bench.get("/a.mp4", 0, len(BODY))
        assert all(BODY[at : at + len(data)] == data for at, data in again.body.items())


async def test_a_fill_that_ends_in_an_error_of_the_system_has_no_pieces_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails, and there is no descriptor for scratch either: the pieces were asked for on and on, by nobody."""

    def fails(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    failed = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        await wire.send(raw[: len(raw) // 2])
        await failed.wait()
        await wire.send(raw[len(raw) // 2 :])

    async with far_bench(tmp_path, script) as (_, bench):
        monkeypatch.setattr(bench.volume, "write", fails)
        monkeypatch.setattr(os, "memfd_create", fails)
        got = bench.ask("/v/1.ts")
        async with asyncio.timeout(20):
            while not bench.store.errors:
                await asyncio.sleep(0.001)
        failed.set()
        await got.finish()
        assert got.failed is not None
        assert got.failed[0] == 500


async def test_a_piece_that_came_when_its_time_was_up_has_no_rival(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (server, bench):
        spread = Spread(bench.shop, bench.client, b"/v/1.ts", (), 0, MIB)
        spread.begin()
        piece = spread._pieces[0]
        piece.add(bytes(piece.size), 0.0)
        spread._hedge(piece)
        assert piece.rivals == ()
        await spread.close()
        assert len(server.asked) == 0


async def test_on_a_short_path_a_pause_of_milliseconds_is_no_lag(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (_server, bench):
        bench.client.pool.path = PathStatistics(0.02)
        bench.client.pool.path.connected(0.021)
        spread = Spread(bench.shop, bench.client, b"/v/1.ts", (), 0, MIB)
        spread.begin()
        piece = spread._pieces[0]
        piece.add(bytes(piece.size - 1), 10.0)
        assert not piece.lags(10.014, 0.05)
        await spread.close()


async def test_after_a_race_both_connections_are_kept(tmp_path: Path) -> None:
    hung: list[str] = []
    release = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if asked.target == "/v/2.ts" and len(server.asked) == 4 and not hung:
            hung.append(asked.fields["range"])
            await wire.send(raw[:-2000])
            await release.wait()
            await wire.send(raw[-2000:])
            return
        await wire.send(raw)

    async with far_bench(tmp_path, hangs, origin=PATIENT) as (server, bench):
        await bench.get("/v/1.ts")
        server.asked.clear()
        got = bench.ask("/v/2.ts")
        assert (await got.finish()).bytes() == BODY
        assert hung
        opened = server.connections
        release.set()
        async with asyncio.timeout(5):
            while bench.client.pool.counts[0]:
                await asyncio.sleep(0.005)
        assert server.connections == opened
        assert bench.client.pool.counts[1] == opened  # none has been closed


async def test_each_connection_is_asked_for_what_its_window_holds(tmp_path: Path) -> None:
    async with far_bench(tmp_path, correct) as (server, bench):
        await bench.get("/v/1.ts")
        async with asyncio.timeout(5):
            while bench.client.pool.counts[0] or bench.client.pool.counts[1] < 20:
                await bench.client.pool.keep_warm()
        for number, connection in enumerate(bench.client.pool._idle):
            connection.window.size = (200 if number % 2 else 40) * KIB
        server.asked.clear()
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        sizes = [end - start for start, end in (range_of(asked, len(BODY)) or (0, 0) for asked in server.asked[1:])]
        assert sizes[0] >= 200 * KIB - HEAD
        wide = sum(size >= 200 * KIB - HEAD for size in sizes)
        assert wide * 200 * KIB > len(BODY) / 2  # the wide ones bring most of it, and come first
        assert sizes[:wide] == sorted(sizes, reverse=True)[:wide]


async def test_a_body_on_few_connections_is_asked_for_once(tmp_path: Path) -> None:
    settings = FillSettings(parallel_max=2)
    async with far_bench(tmp_path, correct, settings=settings, origin=replace(QUICK, max_connections=4)) as found:
        server, bench = found
        for number in range(4):
            server.asked.clear()
            assert (await bench.get(f"/v/{number}.ts")).bytes() == BODY
            assert bytes_asked(server, len(BODY)) == len(BODY)


FILM = os.urandom(12 * MIB)


async def film(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, FILM))


def ahead(bench: FillBench, start: int, end: int, *, etag: bytes = b'"v1"') -> None:
    bench.ask("/a.mp4", start, end, mode=Mode.AHEAD, pin=Pin(0, len(FILM), etag))


async def has(bench: FillBench, end: int) -> None:
    async with asyncio.timeout(10):
        while bench.stored("/a.mp4") is None or sum(map(len, bench.stored_bytes("/a.mp4").values())) < end:
            await asyncio.sleep(0.005)


async def test_what_is_fetched_ahead_is_there_when_it_is_asked_for(tmp_path: Path) -> None:
    async with far_bench(tmp_path, film) as (server, bench):
        await bench.get("/a.mp4", 0, MIB)
        ahead(bench, MIB, 5 * MIB)
        await has(bench, 5 * MIB)
        await bench.settled()
        server.asked.clear()
        assert (await bench.get("/a.mp4", MIB, 5 * MIB)).again
        assert server.asked == []
        assert stored(bench, "/a.mp4") == FILM[: 5 * MIB]


async def test_a_plain_cache_fetches_nothing_ahead(tmp_path: Path) -> None:
    async def lasting(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, FILM, "Cache-Control: max-age=60"))

    async with far_bench(tmp_path, lasting, rules=replace(RFC9111, name="default")) as (server, bench):
        await bench.get("/a.mp4", 0, MIB)
        await bench.settled()
        ahead(bench, MIB, 5 * MIB)
        assert (await bench.get("/a.mp4", MIB, 2 * MIB)).bytes() == FILM[MIB : 2 * MIB]
        assert [asked.fields.get("range") for asked in server.asked] == ["bytes=0-1048575", "bytes=1048576-2097151"]


async def test_fetching_ahead_goes_on_beside_who_reads_and_between_two_of_its_ranges(tmp_path: Path) -> None:
    async with far_bench(tmp_path, film) as (server, bench):
        got = bench.ask("/a.mp4", 0, MIB)
        await got.headed()
        ahead(bench, MIB, 4 * MIB)
        assert (await got.finish()).bytes() == FILM[:MIB]
        await has(bench, 4 * MIB)
        assert stored(bench, "/a.mp4") == FILM[: 4 * MIB]
        assert bytes_asked(server, len(FILM)) == 4 * MIB


async def test_who_asks_for_what_is_being_fetched_ahead_joins_it(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(FILM))
        if span is not None and span[0] >= MIB:
            await gate.wait()
        await film(asked, wire)

    async with far_bench(tmp_path, held, origin=replace(QUICK, first_byte_timeout=5.0)) as (server, bench):
        await bench.get("/a.mp4", 0, MIB)
        ahead(bench, MIB, 4 * MIB)
        got = bench.ask("/a.mp4", MIB, 3 * MIB)
        await got.headed()
        gate.set()
        assert (await got.finish()).bytes() == FILM[MIB : 3 * MIB]
        await bench.settled()
        assert bytes_asked(server, len(FILM)) == 4 * MIB


async def test_who_reads_on_in_ranges_does_not_wait_for_what_is_fetched_ahead_of_it(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(FILM))
        if span is not None and span[0] >= 4 * MIB:
            await gate.wait()
        await film(asked, wire)

    settings = FillSettings(run_max=2 * MIB)
    patient = replace(QUICK, first_byte_timeout=5.0, stall_timeout=5.0)
    async with far_bench(tmp_path, held, origin=patient, settings=settings) as (server, bench):
        await bench.get("/a.mp4", 0, MIB)
        ahead(bench, MIB, 8 * MIB)
        async with asyncio.timeout(5):
            while not any((range_of(asked, len(FILM)) or (0, 0))[0] >= 4 * MIB for asked in server.asked):
                await asyncio.sleep(0.001)
        for start in range(MIB, 4 * MIB, MIB):
            async with asyncio.timeout(5):
                got = await bench.ask("/a.mp4", start, start + MIB).finish()
            assert got.again or got.bytes() == FILM[start : start + MIB]
        assert not gate.is_set()
        gate.set()
        await bench.settled()
        assert stored(bench, "/a.mp4") == FILM[: 8 * MIB]


async def test_while_one_stretch_lags_the_one_after_the_next_is_begun(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(asked: Asked, wire: Wire) -> None:
        span = range_of(asked, len(FILM))
        if span is not None and FIRST <= span[0] < MIB:
            await gate.wait()
        await film(asked, wire)

    settings = FillSettings(run_max=MIB, runs_per_flight=2)
    patient = replace(QUICK, first_byte_timeout=5.0, stall_timeout=5.0)
    async with far_bench(tmp_path, held, origin=patient, settings=settings) as (server, bench):
        got = bench.ask("/a.mp4", 0, 4 * MIB)
        async with asyncio.timeout(5):
            while not any((range_of(asked, len(FILM)) or (0, 0))[0] >= 2 * MIB for asked in server.asked):
                await asyncio.sleep(0.001)
        gate.set()
        assert (await got.finish()).bytes() == FILM[: 4 * MIB]


@pytest.mark.parametrize("why", ["near", "busy", "another version", "unknown"])
async def test_nothing_is_fetched_ahead(tmp_path: Path, why: str) -> None:
    async with far_bench(tmp_path, film) as (server, bench):
        if why != "unknown":
            await bench.get("/a.mp4", 0, MIB)
        server.asked.clear()
        pool = bench.client.pool
        if why == "near":
            pool.path = PathStatistics(0.02)
        held = [await pool.take() for _ in range(pool.for_pieces if why == "busy" else 0)]
        ahead(bench, MIB, 4 * MIB, etag=b'"v0"' if why == "another version" else b'"v1"')
        assert (await bench.get("/a.mp4", 0, MIB)).again or why == "unknown"
        for connection in held:
            pool.give_back(connection)
        assert all(asked.fields["range"].startswith("bytes=0-") or why == "unknown" for asked in server.asked)
        assert len(server.asked) == 0 or why == "unknown"
