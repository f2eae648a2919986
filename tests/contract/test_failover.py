"""Several upstreams: when one fails, another one goes on, and a player sees nothing of it."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from edge.origin.breaker import FAILURES, State
from edge.origin.group import Selection
from edge.words import MIB, Reason
from tests.contract.test_spread import FarPath
from tests.support.fillbench import QUICK, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(2 * MIB + 12345)
OTHER = bytes(len(BODY))


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


@pytest.mark.parametrize("how", ["reset", "502", "503", "504", "silent"])
async def test_when_the_first_fails_before_its_answer_the_next_one_is_asked_at_once(tmp_path: Path, how: str) -> None:
    async def fails(asked: Asked, wire: Wire) -> None:
        if how == "reset":
            wire.reset()
        elif how == "silent":
            await wire.reader.read()
        else:
            await wire.send(f"HTTP/1.1 {how} No\r\nContent-Length: 0\r\n\r\n".encode())

    quick = replace(QUICK, first_byte_timeout=0.2, retry_jitter=(30.0, 30.0))
    async with (
        RawServer(fails) as bad,
        RawServer(correct) as good,
        fill_bench(tmp_path, bad.url, more=(good.url,), origin=quick) as bench,
    ):
        got = await bench.get("/a.ts")
        assert got.bytes() == BODY
        assert len(good.asked) == 1


async def test_all_that_a_dying_member_was_asked_goes_on_at_the_next_one_however_much_that_is(tmp_path: Path) -> None:
    arrived, dies = 0, asyncio.Event()
    players = 120  # many more than the budget of retries holds

    async def bad(asked: Asked, wire: Wire) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == players:
            dies.set()
        await dies.wait()
        wire.reset()

    async def small(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, b"#EXTM3U"))

    patient = replace(QUICK, connect_timeout=20.0, first_byte_timeout=20.0, total_first_byte=30.0)
    many = replace(patient, max_connections=players, queue_timeout=20.0)
    async with (
        RawServer(bad) as first,
        RawServer(small) as second,
        fill_bench(tmp_path, first.url, more=(second.url,), origin=many) as bench,
    ):
        fetches = [bench.ask(f"/{number}.m3u8") for number in range(players)]
        for got in await asyncio.gather(*(each.finish() for each in fetches)):
            assert got.failed is None
        assert len({asked.target for asked in first.asked} - {"/"}) == players  # a check asks for the root
        assert len({asked.target for asked in second.asked}) == players


async def test_one_that_is_not_there_is_not_asked_any_more_until_it_is_back(tmp_path: Path) -> None:
    up = asyncio.Event()

    async def away(asked: Asked, wire: Wire) -> None:
        if not up.is_set():
            wire.reset()
            return
        await correct(asked, wire)

    async with (
        RawServer(away) as first,
        RawServer(correct) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        breaker = bench.client.breaker
        for number in range(FAILURES):
            assert (await bench.get(f"/{number}.ts")).bytes() == BODY
        assert breaker.state is State.OPEN
        asked = len(first.asked)
        assert (await bench.get("/x.ts")).bytes() == BODY
        assert len(first.asked) == asked
        up.set()
        async with asyncio.timeout(10):
            while breaker.state is State.OPEN:
                await asyncio.sleep(0.05)
        second.asked.clear()
        assert (await bench.get("/y.ts")).bytes() == BODY
        assert breaker.state is State.CLOSED
        assert second.asked == []


async def test_a_body_that_breaks_goes_on_at_the_next_upstream_when_the_first_does_not_come_back(
    tmp_path: Path,
) -> None:
    async def dies(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(first.asked) == 1:
            await wire.send(raw[: MIB + 777])
        wire.reset()

    async with (
        RawServer(dies) as first,
        RawServer(correct) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == BODY
        assert second.asked[0].fields["if-range"] == '"v1"'
        assert b"".join(data for _, data in sorted(bench.stored_bytes("/a.ts").items())) == BODY


async def test_another_version_at_the_next_upstream_is_never_mixed_in(tmp_path: Path) -> None:
    async def dies(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(first.asked) == 1:
            await wire.send(raw[: MIB + 777])
        wire.reset()

    async def other(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, OTHER, etag='"v2"'))

    async with (
        RawServer(dies) as first,
        RawServer(other) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert BODY.startswith(got.bytes())
        assert len(second.asked) >= 1


@pytest.mark.parametrize("how", ["etag", "total"])
async def test_a_rest_of_another_version_is_not_put_behind_what_has_come_though_its_server_knows_no_conditions(
    tmp_path: Path, how: str
) -> None:
    """It says 206 to If-Range whatever is named there."""

    async def changes(asked: Asked, wire: Wire) -> None:
        if len(origin.asked) == 1:
            await wire.send(answer(asked, BODY)[: MIB + 777])
            wire.close()
            return
        asked.fields.pop("if-range", None)
        if how == "etag":
            await wire.send(answer(asked, OTHER, etag='"v2"'))
        else:
            await wire.send(answer(asked, OTHER + b"more"))

    async with RawServer(changes) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[1] is Reason.OBJECT_CHANGED
        assert BODY.startswith(got.bytes())
        assert bench.stored("/a.ts") is None
        again = await bench.get("/a.ts")
        assert again.bytes() == OTHER + (b"more" if how == "total" else b"")


@pytest.mark.parametrize("how", ["reset", "silent"])
@pytest.mark.parametrize("at", [2, 5])
async def test_a_far_body_in_pieces_goes_on_at_the_next_upstream(tmp_path: Path, at: int, how: str) -> None:
    async def dies(asked: Asked, wire: Wire) -> None:
        if len(first.asked) > at and how == "reset":
            wire.reset()
            return
        if len(first.asked) > at:
            await wire.reader.read()
            return
        await correct(asked, wire)

    async with (
        RawServer(dies) as first,
        RawServer(correct) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        for member in bench.shop.group.members:
            member.client.pool.path = FarPath()
        got = await bench.get("/a.ts")
        assert got.failed is None
        assert got.bytes() == BODY
        assert second.asked
        ranges = [asked.fields["range"] for asked in first.asked]
        # Once, or twice where it seemed to lag; one that is silent costs its time once, not once a try.
        assert how == "reset" or max(map(ranges.count, ranges)) <= 2


async def test_by_rendezvous_objects_are_shared_out_and_each_is_asked_of_one(tmp_path: Path) -> None:
    async with (
        RawServer(correct) as first,
        RawServer(correct) as second,
        fill_bench(tmp_path, first.url, more=(second.url,), selection=Selection.RENDEZVOUS) as bench,
    ):
        for number in range(24):
            assert (await bench.get(f"/{number}.ts", 0, 100)).bytes() == BODY[:100]
        assert len(first.asked) + len(second.asked) == 24
        assert min(len(first.asked), len(second.asked)) >= 3


async def test_when_all_are_away_a_miss_fails_in_time_and_recovery_is_at_once(tmp_path: Path) -> None:
    up = asyncio.Event()

    async def away(asked: Asked, wire: Wire) -> None:
        if not up.is_set():
            wire.reset()
            return
        await correct(asked, wire)

    async with (
        RawServer(away) as first,
        RawServer(away) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        for number in range(8):
            got = await bench.get(f"/{number}.ts")
            assert got.failed is not None
            assert got.failed[0] == 502
        up.set()
        assert (await bench.get("/a.ts")).bytes() == BODY


async def test_while_a_member_may_be_back_the_one_that_serves_says_whether_what_is_stored_has_changed(
    tmp_path: Path,
) -> None:
    """Of its slices the one that serves is asked. It was taken for a member with a version of its own, and the one that
    hung was waited for."""
    changed = asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        if changed.is_set():
            await wire.reader.read()
        await wire.send(answer(asked, BODY))

    async def serves(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY[::-1], etag='"v2"'))

    async with (
        RawServer(hangs) as first,
        RawServer(serves) as second,
        fill_bench(tmp_path, first.url, more=(second.url,)) as bench,
    ):
        await bench.get("/a.mp4", 0, MIB)
        changed.set()
        breaker = bench.client.breaker
        for _ in range(FAILURES):
            breaker.failed("it hangs")
        breaker.checked(well=True)
        assert breaker.state is State.HALF_OPEN
        asked = len(first.asked)
        got = await bench.get("/a.mp4", MIB, 2 * MIB)
        assert got.failed is not None
        assert got.failed[1] is Reason.OBJECT_CHANGED
        assert len(first.asked) == asked
        assert bench.stored("/a.mp4") is None
