"""The fill against scripted origins: one request per missing run, whoever waits; the right bytes or none."""

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge.fill.messages import Bad, HeadFlag, Mode, Pin
from edge.fill.settings import FillSettings
from edge.policy.rules import RFC9111, SiteRules
from edge.store.names import name_of
from edge.words import KIB, MIB, CacheStatus, Reason
from tests.support.counting import Counting
from tests.support.fillbench import QUICK, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

BODY = os.urandom(3 * MIB + 12345)


async def correct(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, BODY))


async def test_a_cold_segment_is_fetched_once_streamed_and_kept(tmp_path: Path) -> None:
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.bytes() == BODY
        assert got.head is not None
        assert got.head.flags & HeadFlag.STORED
        assert b"".join(data for _, data in sorted(bench.stored_bytes("/a.ts").items())) == BODY
        assert len(origin.asked) == 1
        assert "range" not in origin.asked[0].fields
        assert (await bench.get("/a.ts")).again


@pytest.mark.parametrize("gone", ["reader", "origin"])
@pytest.mark.parametrize("sent", [0, 1, len(BODY)])
async def test_space_that_was_had_ready_is_given_back_however_a_fill_ends(tmp_path: Path, gone: str, sent: int) -> None:
    """A pack with an open reservation is never sealed nor evicted."""
    may_end = asyncio.Event()

    async def stops(asked: Asked, wire: Wire) -> None:
        head, _, body = answer(asked, BODY, etag="").partition(b"\r\n\r\n")
        await wire.send(head + b"\r\n\r\n" + body[:sent])
        if gone == "reader":
            await may_end.wait()
        wire.close()

    async with RawServer(stops) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.ask("/a.ts").headed()
        if gone == "reader":
            assert got.asking is not None
            got.asking.cancel()
        else:
            await got.finish()
        await bench.settled()
        await bench.store.call(lambda: None)  # behind what was posted for a reservation that nobody waits for
        may_end.set()
        packs = bench.volume.packs.all.values()
        assert sum(pack.used for pack in packs) >= len(BODY) or not sent, "there was one"
        assert [pack.open_reservations for pack in packs] == [0] * len(packs)


async def test_no_space_is_spent_for_answers_of_which_no_byte_comes(tmp_path: Path) -> None:
    async def only_the_head(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY, etag="").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        wire.close()

    async with RawServer(only_the_head) as origin, fill_bench(tmp_path, origin.url) as bench:
        for number in range(3):
            assert (await bench.get(f"/{number}.ts")).failed
        assert bench.volume.packs.used_bytes == 0
        assert bench.volume.room.written_today == 0


async def test_many_waiters_cost_one_request_and_late_ones_get_all(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        await wire.send(raw[: len(raw) // 2])
        await gate.wait()
        await wire.send(raw[len(raw) // 2 :])

    patient = replace(QUICK, stall_timeout=10.0)  # half a body stalls while the others are asked for
    async with RawServer(slow) as origin, fill_bench(tmp_path, origin.url, origin=patient) as bench:
        first = [bench.ask("/a.ts") for _ in range(50)]
        await first[0].headed()
        late = [bench.ask("/a.ts"), bench.ask("/a.ts", 100, 200), bench.ask("/a.ts", suffix=50)]
        for got in late:
            await got.headed()
        gate.set()
        for got in first + [late[0]]:
            assert (await got.finish()).bytes() == BODY
        assert (await late[1].finish()).bytes() == BODY[100:200]
        assert (await late[2].finish()).bytes() == BODY[-50:]
        assert len(origin.asked) == 1
        assert late[0].head is not None
        assert late[0].head.flags & HeadFlag.COLLAPSED


async def test_a_range_on_a_cold_object_fetches_only_its_slices(tmp_path: Path) -> None:
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.mp4", MIB + 5, MIB + 10)
        assert got.bytes() == BODY[MIB + 5 : MIB + 10]
        assert origin.asked[0].fields["range"] == f"bytes={MIB}-{2 * MIB - 1}"
        assert bench.stored_bytes("/a.mp4") == {MIB: BODY[MIB : 2 * MIB]}
        rest = await bench.get("/a.mp4", 0, len(BODY))
        assert b"".join(data for at, data in sorted(rest.body.items()) if at < MIB) == BODY[:MIB]
        await bench.settled()
        stored = bench.stored_bytes("/a.mp4")
        assert all(data == BODY[start : start + len(data)] for start, data in stored.items())
        assert sum(len(data) for data in stored.values()) == len(BODY)
        assert all(asked.fields.get("if-range") == '"v1"' for asked in origin.asked[1:])


async def test_a_suffix_of_a_cold_object_is_found_in_one_request(tmp_path: Path) -> None:
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.mp4", suffix=1000)
        assert got.bytes() == BODY[-1000:]
        assert len(origin.asked) == 1


async def test_an_origin_without_ranges_is_remembered(tmp_path: Path) -> None:
    ranged = []

    async def rangeless(asked: Asked, wire: Wire) -> None:
        ranged.append(asked.fields.pop("range", None) is not None)
        await wire.send(answer(asked, BODY))

    async with RawServer(rangeless) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/a.mp4", MIB, MIB + 9)).bytes() == BODY[MIB : MIB + 9]
        assert (await bench.get("/b.mp4", MIB, MIB + 9)).bytes() == BODY[MIB : MIB + 9]
        assert ranged == [True, False]
        assert b"".join(d for _, d in sorted(bench.stored_bytes("/a.mp4").items())) == BODY


async def test_a_chunked_body_is_streamed_and_kept_when_its_last_chunk_has_come(tmp_path: Path) -> None:
    async def chunked(asked: Asked, wire: Wire) -> None:
        await wire.send(b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nTransfer-Encoding: chunked\r\n\r\n')
        for at in range(0, len(BODY), 100_000):
            part = BODY[at : at + 100_000]
            await wire.send(b"%x\r\n%s\r\n" % (len(part), part))
        await wire.send(b"0\r\nX-Trailer: 1\r\n\r\n")

    async with RawServer(chunked) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.total == len(BODY)
        assert got.bytes() == BODY
        record = bench.stored("/a.ts")
        assert record is not None
        assert b"".join(d for _, d in sorted(bench.stored_bytes("/a.ts").items())) == BODY
        assert b"X-Trailer" not in record.head


@pytest.mark.parametrize("cut", [b"", b"5\r\nabc", b"zz\r\n"])
async def test_a_chunked_body_without_its_end_is_never_kept(tmp_path: Path, cut: bytes) -> None:
    async def broken(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + cut)
        wire.close()

    async with RawServer(broken) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert bench.stored("/a.ts") is None
        assert bench.live("/a.ts") is None


async def test_a_body_delimited_by_the_connections_end_is_never_kept(tmp_path: Path) -> None:
    async def until_close(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        wire.close()

    async with RawServer(until_close) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.bytes() == b"hello"
        assert bench.stored("/a.ts") is None


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
async def test_a_body_that_breaks_is_resumed_where_it_broke(tmp_path: Path, how: str) -> None:
    async def breaking(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        if len(origin.asked) >= 4:
            await wire.send(raw)
            return
        await wire.send(raw[: 500_000 + len(origin.asked)])
        if how == "stall":
            await wire.reader.read()
        elif how == "reset":
            await asyncio.sleep(0.05)
            wire.reset()
        else:
            wire.close()

    counting = Counting()
    async with RawServer(breaking) as origin, fill_bench(tmp_path, origin.url) as bench:
        bench.client.observe(counting)
        got = await bench.get("/a.ts")
        assert got.bytes() == BODY
        assert b"".join(d for _, d in sorted(bench.stored_bytes("/a.ts").items())) == BODY
        assert len(origin.asked) == 4
        assert all(asked.fields["if-range"] == '"v1"' for asked in origin.asked[1:])
        assert counting.seen == {"resume": 3}


async def test_a_body_that_never_gets_further_is_given_up_after_the_configured_tries(tmp_path: Path) -> None:
    async def stuck(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY)
        head = raw.index(b"\r\n\r\n") + 4
        await wire.send(raw[: head + (1000 if len(origin.asked) == 1 else 0)])
        wire.close()

    async with RawServer(stuck) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.bytes() == BODY[:1000]
        assert len(origin.asked) == 1 + FillSettings().resume_max


async def test_without_a_strong_validator_nothing_is_resumed_nor_kept(tmp_path: Path) -> None:
    async def weak(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY, etag='W/"v1"')[:500_000])
        wire.close()

    async with RawServer(weak) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert len(origin.asked) == 1
        assert bench.stored("/a.ts") is None


async def test_an_object_that_changes_while_it_is_resumed_is_never_mixed(tmp_path: Path) -> None:
    other = os.urandom(len(BODY))

    async def changing(asked: Asked, wire: Wire) -> None:
        if len(origin.asked) == 1:
            await wire.send(answer(asked, BODY)[:1_500_000])
            wire.close()
        else:
            await wire.send(answer(asked, other, etag='"v2"'))

    async with RawServer(changing) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[1] is Reason.OBJECT_CHANGED
        assert got.bytes() == BODY[: len(got.bytes())]
        assert (await bench.get("/a.ts")).bytes() == other


async def test_an_object_that_changed_between_slices_begins_a_new_generation(tmp_path: Path) -> None:
    other = os.urandom(len(BODY))
    version = {"etag": '"v1"', "body": BODY}

    async def versioned(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, version["body"], etag=version["etag"]))  # type: ignore[arg-type]

    async with RawServer(versioned) as origin, fill_bench(tmp_path, origin.url) as bench:
        first = await bench.get("/a.mp4", 0, 10)
        version.update(etag='"v2"', body=other)
        pin = Pin(first.record.generation, len(BODY), b'"v1"')
        second = await bench.get("/a.mp4", 2 * MIB, 2 * MIB + 10, pin=pin)
        assert second.failed is not None
        assert second.failed[1] is Reason.OBJECT_CHANGED
        third = await bench.get("/a.mp4", 2 * MIB, 2 * MIB + 10)
        assert third.bytes() == other[2 * MIB : 2 * MIB + 10]
        assert bench.stored_bytes("/a.mp4") == {2 * MIB: other[2 * MIB : 3 * MIB]}


async def test_a_bad_extent_is_fetched_again_also_while_another_part_of_its_object_is_on_its_way(
    tmp_path: Path,
) -> None:
    going_on, asked_for = asyncio.Event(), list[str]()

    async def slow(asked: Asked, wire: Wire) -> None:
        asked_for.append(asked.fields.get("range", ""))
        if "2097152-" in asked_for[-1]:
            await going_on.wait()
        await wire.send(answer(asked, BODY))

    async with RawServer(slow) as origin, fill_bench(tmp_path, origin.url) as bench:
        await bench.get("/a.mp4", 0, 10)
        other = bench.ask("/a.mp4", 2 * MIB, 2 * MIB + 10)
        while len(asked_for) < 2:
            await asyncio.sleep(0.001)
        with bench.volume.packs.pack_path(1).open("r+b") as pack:
            pack.write(b"wrong")
        stored = bench.stored("/a.mp4")
        assert stored is not None
        assert stored.first is not None
        name = name_of(other.want.key, bench.volume.hello.secret)
        bad = Bad(name, stored.generation, stored.first.pack, stored.first.offset, Reason.CORRUPT)
        bench.asker.tell(bad)
        pin = Pin(stored.generation, len(BODY), stored.etag)
        again = await bench.ask("/a.mp4", 0, 10, pin=pin).finish()
        assert again.bytes() == BODY[:10]
        going_on.set()
        assert (await other.finish()).bytes() == BODY[2 * MIB : 2 * MIB + 10]


SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"


@pytest.mark.parametrize("when", ["same packet", "later packet", "junk"])
async def test_surplus_bytes_are_never_read_by_the_next_request(tmp_path: Path, when: str) -> None:
    async def generous(asked: Asked, wire: Wire) -> None:
        good = answer(asked, asked.target.encode())
        if when == "same packet":
            await wire.send(good + SURPLUS)
        elif when == "junk":
            await wire.send(good + b"xx")
        else:
            await wire.send(good)
            await asyncio.sleep(0.02)
            await wire.send(SURPLUS)

    async with RawServer(generous) as origin, fill_bench(tmp_path, origin.url) as bench:
        for n in range(5):
            got = await bench.get(f"/{n}.ts")
            assert got.bytes() == b"/%d.ts" % n
            await asyncio.sleep(0.04)
        assert origin.connections == 5


BAD_HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-2/3\r\nContent-Length: 3\r\n\r\nabc",
    b"hello\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("raw", BAD_HEADS)
async def test_a_malformed_or_ambiguous_head_is_a_502(tmp_path: Path, raw: bytes) -> None:
    async def bad(asked: Asked, wire: Wire) -> None:
        await wire.send(raw)

    async with RawServer(bad) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[0] == 502
        assert bench.stored("/a.ts") is None


@pytest.mark.parametrize("content_range", ["bytes 5-9/100", "bytes 0-9/*", "bytes 0-8/100", "x", "bytes 0-9/5", ""])
async def test_a_partial_answer_to_something_else_is_a_502(tmp_path: Path, content_range: str) -> None:
    async def bad(asked: Asked, wire: Wire) -> None:
        line = f"Content-Range: {content_range}\r\n" if content_range else ""
        await wire.send(f'HTTP/1.1 206 P\r\nETag: "v1"\r\n{line}Content-Length: 10\r\n\r\n0123456789'.encode())

    async with RawServer(bad) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.mp4", 0, 10)
        assert got.failed is not None
        assert got.failed[0] == 502
        assert bench.stored("/a.mp4") is None


@pytest.mark.parametrize("status", [404, 410])
async def test_not_found_reaches_all_waiters_and_is_remembered_for_a_moment(tmp_path: Path, status: int) -> None:
    async def missing(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.05)
        await wire.send(f"HTTP/1.1 {status} No\r\nContent-Length: 4\r\n\r\nnope".encode())

    async with RawServer(missing) as origin, fill_bench(tmp_path, origin.url) as bench:
        for got in [bench.ask("/a.ts") for _ in range(5)]:
            assert (await got.finish()).bytes() == b"nope"
            assert got.record.status == status
        await bench.settled()
        assert bench.live("/a.ts") is not None
        assert len(origin.asked) == 1


async def test_what_is_missing_beside_a_live_playlist_is_asked_for_again_a_second_later(tmp_path: Path) -> None:
    live, vod = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n", b"#EXTM3U\n#EXTINF:6,\n1.ts\n#EXT-X-ENDLIST\n"

    async def lists(asked: Asked, wire: Wire) -> None:
        body = {"/live/a/x.m3u8": live, "/vod/x.m3u8": vod}.get(asked.target)
        await wire.send(answer(asked, body or b"nope", status=200 if body else 404))

    async with RawServer(lists) as origin, fill_bench(tmp_path, origin.url) as bench:
        await bench.get("/live/a/x.m3u8")
        await bench.get("/vod/x.m3u8")
        lives = {}
        for path in ("/live/a/2.ts", "/live/a/720p/2.ts", "/live/b/2.ts", "/live/2.ts", "/vod/2.ts"):
            await bench.get(path)
            found = bench.live(path)
            assert found is not None
            lives[path] = round(found.fresh_until - found.base_time)
        assert lives == {
            "/live/a/2.ts": 1,
            "/live/a/720p/2.ts": 1,
            "/live/b/2.ts": 10,
            "/live/2.ts": 10,
            "/vod/2.ts": 10,
        }


@pytest.mark.parametrize("status", [400, 401, 403, 500, 501, 302])
async def test_other_statuses_reach_all_waiters_and_are_not_kept(tmp_path: Path, status: int) -> None:
    async def other(asked: Asked, wire: Wire) -> None:
        await asyncio.sleep(0.05)
        await wire.send(f"HTTP/1.1 {status} X\r\nLocation: /b\r\nContent-Length: 4\r\n\r\nbody".encode())

    async with RawServer(other) as origin, fill_bench(tmp_path, origin.url) as bench:
        for got in [bench.ask("/a.ts") for _ in range(5)]:
            assert (await got.finish()).bytes() == b"body"
            assert got.record.status == status
        await bench.settled()
        assert bench.live("/a.ts") is None
        assert bench.stored("/a.ts") is None
        assert len(origin.asked) == 1


async def test_503_is_tried_again_and_the_last_answer_counts(tmp_path: Path) -> None:
    async def failing(asked: Asked, wire: Wire) -> None:
        if len(origin.asked) < 3:
            await wire.send(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        else:
            await wire.send(answer(asked, BODY))

    async with RawServer(failing) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/a.ts")).bytes() == BODY
        assert len(origin.asked) == 3


async def test_an_origin_that_is_not_there_is_a_502_and_one_that_is_silent_a_504(tmp_path: Path) -> None:
    async def silent(asked: Asked, wire: Wire) -> None:
        await wire.reader.read()

    async with fill_bench(tmp_path, "http://127.0.0.1:1") as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[:2] == (502, Reason.CONNECT_FAILED)
    (tmp_path / "2").mkdir()
    async with RawServer(silent) as origin, fill_bench(tmp_path / "2", origin.url) as bench:
        got = await bench.get("/a.ts")
        assert got.failed is not None
        assert got.failed[:2] == (504, Reason.FIRST_BYTE_TIMEOUT)


@pytest.mark.parametrize("line", ["Cache-Control: private", "Cache-Control: no-store", "Set-Cookie: a=b", "Vary: *"])
async def test_two_clients_never_share_a_private_answer(tmp_path: Path, line: str) -> None:
    count = 0

    async def private(asked: Asked, wire: Wire) -> None:
        nonlocal count
        count += 1
        mine = count
        await asyncio.sleep(0.05)
        await wire.send(answer(asked, b"answer %d" % mine, line))

    async with RawServer(private) as origin, fill_bench(tmp_path, origin.url) as bench:
        bodies = {(await got.finish()).bytes() for got in [bench.ask("/me.ts") for _ in range(6)]}
        assert len(bodies) == 6
        await bench.settled()
        assert bench.stored("/me.ts") is None
        assert bench.live("/me.ts") is None
        again = await bench.get("/me.ts")
        assert again.bytes() not in bodies
        assert again.head is not None
        assert again.head.status is CacheStatus.BYPASS
        assert list((tmp_path / "cache" / "packs").glob("*.pack")) == []


async def test_a_large_private_body_goes_through_scratch_and_no_store_bytes_never_touch_the_disk(
    tmp_path: Path,
) -> None:
    big = os.urandom(9 * MIB)

    async def private(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, big, "Cache-Control: no-store"))

    async with RawServer(private) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/a.ts")).bytes() == big
        assert (await bench.get("/a.ts", 5 * MIB, 5 * MIB + 100)).bytes() == big[5 * MIB : 5 * MIB + 100]
        assert list((tmp_path / "cache" / "packs").glob("*.pack")) == []


async def test_a_client_that_leaves_stops_a_fill_at_a_slice_border_and_what_is_complete_stays(
    tmp_path: Path,
) -> None:
    body = os.urandom(12 * MIB)

    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, body)
        for at in range(0, len(raw), 64 * KIB):
            await wire.send(raw[at : at + 64 * KIB])
            await asyncio.sleep(0.002)

    async with RawServer(slow) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = bench.ask("/a.ts")
        while got.position < 2 * MIB:
            got.moved.clear()
            await got.moved.wait()
        assert got.asking is not None
        got.asking.cancel()
        await bench.settled()
        stored = bench.stored_bytes("/a.ts")
        whole = b"".join(data for _, data in sorted(stored.items()))
        assert 2 * MIB <= len(whole) < len(body)
        assert len(whole) % MIB == 0
        assert whole == body[: len(whole)]
        rest = await bench.get("/a.ts", len(whole), len(body))
        assert rest.bytes() == body[len(whole) :]


async def test_a_fill_stays_within_ahead_of_its_reader(tmp_path: Path) -> None:
    body = os.urandom(12 * MIB)
    sent = 0

    async def eager(asked: Asked, wire: Wire) -> None:
        nonlocal sent
        raw = answer(asked, body)
        for at in range(0, len(raw), 64 * KIB):
            await wire.send(raw[at : at + 64 * KIB])
            sent = at

    settings = FillSettings(ahead=2 * MIB, pause_limit=30.0)
    async with RawServer(eager) as origin, fill_bench(tmp_path, origin.url, settings=settings) as bench:
        got = bench.ask("/a.ts")
        got.on_bytes = lambda: None  # type: ignore[method-assign]
        await got.headed()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.3)
        assert sent < 11 * MIB  # ahead, our buffers and the kernel's
        del got.on_bytes
        got.on_bytes()
        await got.finish()
        assert got.bytes() == body


async def test_a_stale_answer_is_renewed_by_304_and_a_live_list_is_kept_in_memory(tmp_path: Path) -> None:
    async def short(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("if-none-match") == '"v1"':
            await wire.send(b'HTTP/1.1 304 N\r\nETag: "v1"\r\nCache-Control: max-age=100\r\nX-New: 1\r\n\r\n')
        else:
            await wire.send(answer(asked, BODY, "Cache-Control: max-age=0"))

    async with RawServer(short) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/a.ts")).bytes() == BODY
        second = await bench.get("/a.ts")
        assert second.head is not None
        assert second.head.status is CacheStatus.REVALIDATED
        assert second.bytes() == b""
        record = bench.stored("/a.ts")
        assert record is not None
        assert b"X-New: 1" in record.head
        assert (await bench.get("/a.ts")).again
        assert len(origin.asked) == 2


@pytest.mark.parametrize("path", ["/a.ts", "/live.m3u8"])
async def test_who_looked_a_moment_too_early_gets_what_is_served_while_it_is_renewed(tmp_path: Path, path: str) -> None:
    """It was not in the index when the worker looked; that it is stale is no reason to wait for the origin."""
    old = "Cache-Control: max-age=10, stale-while-revalidate=600", "Age: 20"

    async def once(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, b"#EXTM3U\n", *old))

    async with RawServer(once) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get(path)).bytes() == b"#EXTM3U\n"
        assert (await bench.get(path)).again
        assert len(origin.asked) == 1


@pytest.mark.parametrize("rules", [None, RFC9111])
async def test_who_looked_too_early_does_not_wait_for_a_renewal_that_is_under_way(
    tmp_path: Path, rules: SiteRules | None
) -> None:
    may_renew, renewing = asyncio.Event(), asyncio.Event()

    async def hangs(asked: Asked, wire: Wire) -> None:
        if "if-none-match" in asked.fields:
            renewing.set()
            await may_renew.wait()
        await wire.send(answer(asked, BODY, "Cache-Control: max-age=10, stale-while-revalidate=600", "Age: 20"))

    async with RawServer(hangs) as origin, fill_bench(tmp_path, origin.url, rules=rules) as bench:
        assert (await bench.get("/a.ts")).bytes() == BODY
        bench.ask("/a.ts", mode=Mode.REFRESH)
        async with asyncio.timeout(20):
            await renewing.wait()
        assert (await bench.ask("/a.ts").finish()).again
        may_renew.set()
        await bench.settled()
        assert len(origin.asked) == 2


async def test_a_flight_whose_reader_leaves_before_it_begins_asks_nobody_and_is_over(tmp_path: Path) -> None:
    """Else it would stay for ever where its answer is its reader's alone, and the keeper be full one day."""

    async def private(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY, "Cache-Control: private"))

    async with RawServer(private) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/first.ts")).bytes() == BODY  # the link is there: the keeper reads both in one step
        for number in range(5):
            got = bench.ask(f"/{number}.ts")
            assert got.asking is not None
            got.asking.cancel()
        assert (await bench.get("/last.ts")).bytes() == BODY
        assert len(bench.desk._flights) == 0
        assert [asked.target for asked in origin.asked] == ["/first.ts", "/last.ts"]


async def test_a_live_playlist_lives_in_shared_memory_and_a_finished_one_in_a_pack(tmp_path: Path) -> None:
    live = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n"

    async def lists(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, live + (b"#EXT-X-ENDLIST\n" if "vod" in asked.target else b"")))

    async with RawServer(lists) as origin, fill_bench(tmp_path, origin.url) as bench:
        await bench.get("/live.m3u8")
        await bench.get("/vod.m3u8")
        record = bench.live("/live.m3u8")
        assert record is not None
        assert 2 < record.fresh_until - record.stored_at <= 3
        assert bench.stored("/live.m3u8") is None
        vod = bench.stored("/vod.m3u8")
        assert vod is not None
        assert 290 < vod.fresh_until - vod.stored_at <= 300
        assert bench.live("/vod.m3u8") is None


async def test_all_who_wait_for_a_renewed_list_hear_its_head_before_its_body(tmp_path: Path) -> None:
    live = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n"
    gate = asyncio.Event()

    async def lists(asked: Asked, wire: Wire) -> None:
        if asked.fields.get("if-none-match") == '"v1"':
            await gate.wait()
            await wire.send(b'HTTP/1.1 304 N\r\nETag: "v1"\r\nCache-Control: max-age=5\r\n\r\n')
        else:
            await wire.send(answer(asked, live, "Cache-Control: max-age=0"))

    async with RawServer(lists) as origin, fill_bench(tmp_path, origin.url) as bench:
        await bench.get("/live.m3u8")
        waiting = [bench.ask("/live.m3u8") for _ in range(3)]
        async with asyncio.timeout(20):
            while not any(len(flight.readers) == 3 for flight in bench.desk.flights.values()):
                await asyncio.sleep(0)
        gate.set()
        for got in waiting:
            await got.finish()
            assert got.bytes() == live
            assert got.head is not None
            assert got.head.status is CacheStatus.REVALIDATED
        assert len(origin.asked) == 2


async def test_head_is_passed_on_and_an_empty_object_is_kept(tmp_path: Path) -> None:
    async def either(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, b"" if "empty" in asked.target else BODY))

    async with RawServer(either) as origin, fill_bench(tmp_path, origin.url) as bench:
        got = await bench.get("/a.ts", method=b"HEAD")
        assert got.head is not None
        assert got.head.total == len(BODY)
        assert got.bytes() == b""
        for path in ("/empty.ts", "/empty.mp4"):
            assert (await bench.get(path)).bytes() == b""
            assert bench.stored(path) is not None
        assert [asked.method for asked in origin.asked] == ["HEAD", "GET", "GET", "GET"]


async def test_a_refresh_goes_on_though_nobody_waits(tmp_path: Path) -> None:
    async with RawServer(correct) as origin, fill_bench(tmp_path, origin.url) as bench:
        bench.ask("/a.ts", mode=Mode.REFRESH)
        while bench.stored("/a.ts") is None:
            await asyncio.sleep(0.01)
        assert len(origin.asked) == 1


async def test_who_wants_only_what_is_stored_waits_for_what_has_come_and_is_not_in_the_index_yet(
    tmp_path: Path,
) -> None:
    may_commit = threading.Event()

    async def chunked(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")

    async with RawServer(chunked) as origin, fill_bench(tmp_path, origin.url) as bench:
        bench.store.post(may_commit.wait, 20)
        try:
            assert (await bench.ask("/a.ts").finish()).bytes() == b"body"
            only = bench.ask("/a.ts", mode=Mode.ONLY)
            never = await bench.ask("/never.ts", mode=Mode.ONLY).finish()
            assert never.again  # nothing of it is on its way: nobody waits
            assert not only.done.is_set()
        finally:
            may_commit.set()
        assert (await only.finish()).again
        assert bench.stored("/a.ts") is not None
        assert [asked.target for asked in origin.asked] == ["/a.ts"]


async def test_a_keeper_that_ends_leaves_nothing_under_way_and_begins_nothing_anew(tmp_path: Path) -> None:
    async def half(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, bytes(4 * MIB), etag='"1"')
        await wire.send(raw[:MIB])
        await asyncio.Event().wait()

    async with RawServer(half) as server, fill_bench(tmp_path, server.url) as bench:
        got = bench.ask("/a.ts")
        await got.headed()
        async with asyncio.timeout(10):
            while got.position < MIB // 2:
                await asyncio.sleep(0.005)
        await bench.desk.close()
        assert len(bench.desk._tasks) == 0
        await asyncio.sleep(0)
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("given", "asked", "shared"),
    [
        (("max-age=10", "20"), "max-stale=100", True),
        (("max-age=10", "20"), "max-stale=100, max-age=60", True),
        (("max-age=10", "20"), "max-stale=5", False),
        (("max-age=10", "20"), "stale-if-error=60", False),
        (("max-age=10", "20"), "", False),
        (("max-age=10, must-revalidate", "20"), "max-stale=100", False),
        (("max-age=1000", "20"), "max-age=60", True),
        (("max-age=1000", "20"), "max-age=5", False),
        (("max-age=1000", "20"), "min-fresh=2000", False),
        (("max-age=1000", "20"), "", True),
    ],
)
async def test_in_a_plain_cache_who_comes_to_an_answer_on_its_way_shares_it_if_it_is_what_was_asked_for(
    tmp_path: Path, given: tuple[str, str], asked: str, shared: bool
) -> None:
    """As it would be given from the index, where it is a moment later."""
    gate = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        raw = answer(asked, BODY, f"Cache-Control: {given[0]}", f"Age: {given[1]}")
        await wire.send(raw[: len(raw) // 2])
        await gate.wait()
        await wire.send(raw[len(raw) // 2 :])

    rules = replace(RFC9111, name="default")
    async with RawServer(slow) as origin, fill_bench(tmp_path, origin.url, rules=rules) as bench:
        first = bench.ask("/a.ts")
        await first.headed()
        late = bench.ask("/a.ts", fields=((b"Cache-Control", asked.encode()),) if asked else ())
        await late.headed()
        gate.set()
        assert (await first.finish()).bytes() == (await late.finish()).bytes() == BODY
        assert late.head is not None
        assert bool(late.head.flags & HeadFlag.COLLAPSED) is shared
        assert len(origin.asked) == (1 if shared else 2)


async def test_a_request_that_no_message_can_carry_fails_by_itself_and_costs_nobody_else_anything(
    tmp_path: Path,
) -> None:
    """With `max_head` above 64 KiB players may send such: the link was lost, and with it what all others waited for."""
    gate = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        await gate.wait()
        await wire.send(answer(asked, BODY))

    async with RawServer(script) as server, fill_bench(tmp_path, server.url) as bench:
        other = bench.ask("/other.ts")
        got = await bench.ask("/" + "x" * 90_000 + ".ts").finish()
        bench.asker.tell(replace(got.want, id=bench.asker.next_id(), mode=Mode.REFRESH))
        left = bench.ask("/" + "y" * 90_000 + ".ts")
        assert left.asking is not None
        left.asking.cancel()
        gate.set()
        assert (await other.finish()).failed is None
        assert got.failed is not None
        assert got.failed[0] == 431
        assert left.failed is None
        assert bench.asker.losses == 0
