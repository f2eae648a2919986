"""Origins whose parts cannot be used: what is asked for instead, and how narrowly that is remembered."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.fill.messages import UNKNOWN
from edge.fill.rangeless import MOST, Rangeless
from edge.origin.breaker import FAILURES
from edge.policy.rules import RFC9111
from edge.words import KIB, MIB, Kind, Reason
from tests.contract.test_spread import FarPath, far_bench
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Script, Wire, answer, range_of
from tests.unit.fill.test_plan import fetch

BODY = os.urandom(MIB + 12345)


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


async def without_ranges(asked: Asked, wire: Wire) -> None:
    fields = {name: value for name, value in asked.fields.items() if name != "range"}
    await wire.send(answer(replace(asked, fields=fields), BODY, etag=""))


HOWS = ["star", "short", "encoded", "several", "several beside a range", "late", "too long", "malformed", "416", "none"]


def unusable(how: str, asked: Asked) -> bytes:
    """What comes for a range; for the whole it is right."""
    span = range_of(asked, len(BODY))
    if span is None:
        return answer(asked, BODY)
    if how == "416":
        return b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n"
    start, end = span
    if how == "short":
        end -= 1000
    elif how == "late":
        start += 1
    elif how == "too long":
        end += 1
    told = {
        "star": f"Content-Range: bytes {start}-{end - 1}/*",
        "malformed": "Content-Range: bytes 0-",
        "several": "Content-Type: multipart/byteranges; boundary=x",
        "none": "X-None: 1",
    }.get(how, f"Content-Range: bytes {start}-{end - 1}/{len(BODY)}")
    more = {"encoded": "Content-Encoding: gzip", "several beside a range": "Content-Type: multipart/byteranges"}
    lines = ["HTTP/1.1 206 Partial", 'ETag: "v1"', told, f"Content-Length: {end - start}"]
    lines += [more[how]] if how in more else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (BODY + b"x")[start:end]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("path", ["far", "near"])
async def test_a_part_that_cannot_be_used_is_followed_by_one_request_for_the_whole_and_remembered(
    tmp_path: Path, path: str, how: str
) -> None:
    async def odd(asked: Asked, wire: Wire) -> None:
        await wire.send(unusable(how, asked))

    async with far_bench(tmp_path, odd) as (server, bench):
        if path == "near":
            bench.client.pool.path._far = 3600.0
        for number in range(3):
            got = await bench.get(f"/v/{number}.mp4")  # near, too, a film is asked for with a bound
            assert got.failed is None
            assert got.bytes() == BODY
            assert b"".join(data for _, data in sorted(bench.stored_bytes(f"/v/{number}.mp4").items())) == BODY
        assert ["range" in asked.fields for asked in server.asked] == [True, False, False, False]


async def test_when_the_whole_cannot_be_had_either_it_is_a_502_and_nothing_is_remembered(tmp_path: Path) -> None:
    good = asyncio.Event()

    async def odd(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if not good.is_set():
            raw = raw.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 206 Partial", 1).replace(b"Content-Range", b"X-Range", 1)
        await wire.send(raw)

    async with far_bench(tmp_path, odd) as (server, bench):
        got = await bench.get("/v/1.ts")
        assert got.failed is not None
        assert got.failed[:2] == (502, Reason.BAD_RESPONSE)
        assert ["range" in asked.fields for asked in server.asked] == [True, False]
        good.set()
        server.asked.clear()
        assert (await bench.get("/v/2.ts")).bytes() == BODY
        assert len(server.asked) > 2


async def test_an_empty_object_says_nothing_of_what_lies_beside_it(tmp_path: Path) -> None:
    async def empty(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, b"" if asked.target == "/v/0.ts" else BODY))

    async with far_bench(tmp_path, empty) as (server, bench):
        assert (await bench.get("/v/0.ts")).bytes() == b""
        server.asked.clear()
        assert (await bench.get("/v/1.ts")).bytes() == BODY
        assert len(server.asked) > 2


@pytest.mark.parametrize("how", HOWS[:-2])
async def test_a_players_range_is_asked_for_as_it_is_when_the_wider_one_brings_what_cannot_be_used(
    tmp_path: Path, how: str
) -> None:
    async def odd(asked: Asked, wire: Wire) -> None:
        start, end = range_of(asked, len(BODY)) or (0, 0)
        await wire.send(unusable(how, asked) if end - start > 100 * KIB else answer(asked, BODY))

    async with RawServer(odd) as server, fill_bench(tmp_path, server.url) as bench:
        got = await bench.get("/a.mp4", 500, 70_000)
        assert got.failed is None
        assert got.bytes() == BODY[500:70_000]
        assert [asked.fields["range"] for asked in server.asked] == [f"bytes=0-{MIB - 1}", "bytes=500-69999"]
        assert bench.stored("/a.mp4") is None
        server.asked.clear()
        assert (await bench.get("/a.mp4", 600, 700)).bytes() == BODY[600:700]
        assert [asked.fields["range"] for asked in server.asked] == ["bytes=600-699"]


async def test_a_hole_that_is_brought_as_something_else_is_no_answer_of_a_plain_cache(tmp_path: Path) -> None:
    async def odd(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY, "Cache-Control: max-age=60")
        if "if-range" in asked.fields:
            raw = raw.replace(b"Content-Range: bytes ", b"Content-Range: bytes 1", 1)
        await wire.send(raw)

    rules = replace(RFC9111, name="default")
    async with RawServer(odd) as server, fill_bench(tmp_path, server.url, rules=rules) as bench:
        assert (await bench.get("/a.mp4", 0, MIB)).bytes() == BODY[:MIB]
        got = await bench.get("/a.mp4", 0, len(BODY))
        assert got.failed is None
        assert got.bytes() == BODY
        assert [asked.fields["range"] for asked in server.asked[1:]] == [
            f"bytes={MIB}-{len(BODY) - 1}",
            f"bytes=0-{len(BODY) - 1}",
        ]


async def requests(bench: FillBench, server: RawServer, path: str) -> int:
    """How many it takes to bring an object."""
    before = len(server.asked)
    assert (await bench.get(path)).bytes() == BODY
    return len(server.asked) - before


async def test_one_packagers_segment_turns_pieces_off_for_nobody_else(tmp_path: Path) -> None:
    async def either(asked: Asked, wire: Wire) -> None:
        script = without_ranges if asked.target.startswith("/live/") and asked.target.endswith(".ts") else correct
        await script(asked, wire)

    async with far_bench(tmp_path, either) as (server, bench):
        assert await requests(bench, server, "/live/a/1.ts") == 1
        assert await requests(bench, server, "/live/a/2.ts") == 1
        assert "range" not in server.asked[-1].fields
        for path in ("/vod/1.ts", "/live/a/3.mp4", "/live/1.m4s", "/vod/live/a/1.ts"):
            assert await requests(bench, server, path) > 2, path


@asynccontextmanager
async def two(directory: Path, one: Script, other: Script) -> AsyncIterator[tuple[RawServer, RawServer, FillBench]]:
    async with (
        RawServer(one) as first,
        RawServer(other) as second,
        fill_bench(directory, first.url, more=(second.url,)) as bench,
    ):
        for member in bench.shop.group.members:
            member.client.pool.path = FarPath()
        yield first, second, bench


async def test_a_member_without_ranges_turns_pieces_off_for_no_other(tmp_path: Path) -> None:
    async with two(tmp_path, without_ranges, correct) as (first, second, bench):
        assert await requests(bench, first, "/v/1.ts") == 1
        for _ in range(FAILURES):
            bench.client.breaker.failed()
        assert await requests(bench, second, "/v/2.ts") > 2
        bench.client.breaker.succeeded()
        assert await requests(bench, first, "/v/3.ts") == 1
        assert "range" not in first.asked[-1].fields


async def test_a_part_from_a_member_of_which_it_was_remembered_that_it_brings_none_is_followed_by_others(
    tmp_path: Path,
) -> None:
    """The other who waited, and whoever came after, had waited for ever for what nobody asked for."""
    gate = asyncio.Event()

    async def fails(asked: Asked, wire: Wire) -> None:
        wire.reset()

    async def brings(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await correct(asked, wire)

    async with two(tmp_path, fails, brings) as (_, second, bench):
        member = bench.shop.group.members[1].client
        member.pool.path._far = 3600.0
        bench.client.pool.path._far = 3600.0
        bench.shop.rangeless.note(member.member, fetch(path=b"/v/0.ts"))
        first, rest = bench.ask("/v/1.ts", 0, 1000), bench.ask("/v/1.ts", MIB, len(BODY))
        async with asyncio.timeout(20):
            while not second.asked:
                await asyncio.sleep(0.001)
        gate.set()
        assert "range" in second.asked[0].fields
        assert (await first.finish()).bytes() == BODY[:1000]
        assert (await rest.finish()).bytes() == BODY[MIB:]


async def test_where_ranges_are_not_had_a_forgotten_place_costs_one_request_and_no_guess(tmp_path: Path) -> None:
    async with far_bench(tmp_path, without_ranges) as (server, bench):
        for number in range(4):
            assert await requests(bench, server, f"/v/{number}.ts") == 1
            assert ("range" in server.asked[-1].fields) is (number % 2 == 0)
            if number == 1:
                bench.shop.rangeless.clear()  # as after its time


def test_places_are_forgotten_after_their_time_and_before_they_are_too_many() -> None:
    clock = FakeClock()
    places = Rangeless(600.0, clock)
    here = fetch(path=b"/a/1.ts")
    places.note("one", here)
    for there in (fetch(path=b"/b/1.ts"), fetch(path=b"/a/b/1.ts"), fetch(Kind.MP4, path=b"/a/1.mp4")):
        assert not places.at("one", there)
        assert not places.anywhere(there)
    assert not places.at("one", replace(here, site="other"))
    assert not places.at("other", here)
    assert places.at("one", fetch(path=b"/a/2.ts"))
    assert places.anywhere(here)
    clock.advance(601.0)
    assert not places.at("one", here)
    assert not places.anywhere(here)
    for number in range(MOST):
        places.note("one", fetch(path=b"/%d/1.ts" % number))
    assert places.at("one", fetch(path=b"/%d/1.ts" % (MOST - 1)))
    assert not places.at("one", fetch(path=b"/0/1.ts"))


@pytest.mark.parametrize("others", [(0, 100), (0, UNKNOWN)])
async def test_a_range_that_cannot_be_satisfied_is_refused_to_those_who_asked_for_it_alone(
    tmp_path: Path, others: tuple[int, int]
) -> None:
    beyond, gate = 50 * MIB, asyncio.Event()

    async def late(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("range", "").startswith(f"bytes={beyond}-"):
            await gate.wait()
            await wire.send(b"HTTP/1.1 416 No\r\nContent-Range: bytes */%d\r\nContent-Length: 0\r\n\r\n" % len(BODY))
        else:
            await wire.send(answer(asked, BODY))

    async with far_bench(tmp_path, late) as (server, bench):
        refused = bench.ask("/v/1.ts", beyond, beyond + 10)
        async with asyncio.timeout(20):
            while not server.asked:
                await asyncio.sleep(0.001)
        too = [bench.ask("/v/1.ts", beyond, beyond + 10) for _ in range(3)]
        served = [bench.ask("/v/1.ts", *others) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert len(server.asked) == 1, "all wait for one answer"
        gate.set()
        for got in (refused, *too):
            assert (await got.finish()).record.status == 416
        for got in served:
            assert (await got.finish()).record.status == 200
            assert got.bytes() == BODY[others[0] : others[1] if others[1] != UNKNOWN else None]
        assert sum(asked.fields.get("range", "").startswith(f"bytes={beyond}-") for asked in server.asked) == 1
