"""Requests with a body wait for nothing within a keeper: what comes next of them is that, and goes to the origin."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

from edge.fill.asking import Asker
from edge.fill.messages import Bad, Body, Mode
from edge.store.names import name_of
from edge.words import Reason
from tests.support.fillbench import FillBench, Got, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

STORED = b"stored" * 1000


class Origin:
    """Keeps the bodies that it is sent, in chunks, and answers what they were."""

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        if asked.target == "/small" and asked.method == "GET" and "transfer-encoding" not in asked.fields:
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
            return
        if "transfer-encoding" not in asked.fields:
            await wire.send(answer(asked, STORED))
            return
        body = b""
        while size := int(await wire.reader.readline(), 16):
            body += await wire.reader.readexactly(size)
            await wire.reader.readexactly(2)
        await wire.reader.readexactly(2)
        await wire.send(answer(asked, b"got " + body, "Cache-Control: no-store", etag=""))


def send(bench: FillBench, path: str, method: bytes) -> Got:
    """The beginning of a request with a body."""
    likeness = bench.ask(path, mode=Mode.AHEAD).want
    got = Got(bench, replace(likeness, id=bench.asker.next_id(), method=method, mode=Mode.PASS, has_body=True))
    got.asking = bench.asker.ask(got.want, got)
    bench.asker.send(Body(got.want.id, False, b"first, "))
    return got


async def end(bench: FillBench, got: Got) -> bytes:
    bench.asker.send(Body(got.want.id, True, b"last"))
    await got.finish()
    assert (got.failed, got.again) == (None, False)
    return got.bytes()


async def test_while_a_bad_extent_of_the_same_name_is_on_its_way_out_of_the_index(tmp_path: Path) -> None:
    """What had come of the body by then was lost, and the origin was sent the rest as if it were all."""
    may_go_on = threading.Event()
    async with RawServer(Origin()) as origin, fill_bench(tmp_path, origin.url) as bench:
        await bench.get("/a.ts")
        record = bench.stored("/a.ts")
        assert record is not None
        assert record.first is not None
        name = name_of(record.key, bench.volume.hello.secret)
        bench.store.post(may_go_on.wait, 20)
        bench.asker.tell(Bad(name, record.generation, record.first.pack, record.first.offset, Reason.CORRUPT))
        got = send(bench, "/a.ts", b"POST")
        await asyncio.sleep(0.1)
        may_go_on.set()
        await bench.store.call(lambda: None)
        assert await end(bench, got) == b"got first, last"


async def test_while_what_a_flight_has_brought_is_on_its_way_into_the_index(tmp_path: Path) -> None:
    may_commit = threading.Event()
    async with RawServer(Origin()) as origin, fill_bench(tmp_path, origin.url) as bench:
        bench.store.post(may_commit.wait, 20)
        try:
            bench.ask("/small")
            async with asyncio.timeout(20):
                while not bench.shop.landing:
                    await asyncio.sleep(0.001)
            got = send(bench, "/small", b"GET")
            assert await end(bench, got) == b"got first, last"
        finally:
            may_commit.set()


async def test_what_comes_while_there_is_no_keeper_is_kept_for_its_successor(tmp_path: Path) -> None:
    """The fetch was, and what came of its body before that was not: the origin was sent the rest as if it were all."""
    async with RawServer(Origin()) as origin, fill_bench(tmp_path, origin.url) as bench:
        bench.asker.close()
        bench.asker = Asker(str(tmp_path / "link"), lambda hello: None)
        left, got = send(bench, "/b", b"PUT"), send(bench, "/a", b"PUT")
        assert left.asking is not None
        left.asking.cancel()
        bench.asker.connect()
        async with asyncio.timeout(20):
            while not bench.asker.up:
                await asyncio.sleep(0.001)
        assert await end(bench, got) == b"got first, last"
        assert [asked.target for asked in origin.asked] == ["/a"]
        bench.asker.close()
