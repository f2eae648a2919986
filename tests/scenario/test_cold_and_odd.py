"""Cold and damaged data, full disks, stale answers, private and endless bodies: through a whole edge."""

import asyncio
import json
import mmap
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from edge.demo.describing import body_slice
from edge.store import files
from edge.store.disk import Disk
from edge.store.journal import ExtentEntry, ObjectEntry, SealedEntry, encode_entry, header
from edge.store.names import name_of
from edge.store.record import Extent, Flag, Record
from edge.store.renewal import NEWEST_BYTES
from edge.store.residency import Residency
from edge.words import KIB, MIB, Kind
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer


def drop_pages(cache: Path) -> None:
    """Write packs back and forget their pages: the next read comes from the disk.

    The kernel keeps pages that are in use elsewhere at that moment, so it is asked until none is left.
    """
    residency = Residency()
    for path in (cache / "packs").glob("*.pack"):
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # evicted meanwhile
            continue
        for _ in range(200):
            os.fdatasync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            residency.resident(fd, 0, os.fstat(fd).st_size)
            if not residency._stat.cached:
                break
            time.sleep(0.02)
        os.close(fd)


async def test_cold_data_is_read_verified_and_right(tmp_path: Path) -> None:
    size = 5 * MIB + 99
    path = f"/s/{size}/a.ts"
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        async with client() as http:
            async with http.get(edge.url + path) as got:
                await got.read()
            await asyncio.sleep(1.3)  # what was just sent is believed to be warm for a second
            drop_pages(tmp_path / "c")
            async with http.get(edge.url + path) as got:
                body = await got.read()
                assert len(body) == size
                proven(path, body)
                assert got.headers["X-Cache"] == "HIT"
            await asyncio.sleep(1.2)
            assert await edge.metric("edge_cache_cold_reads_total") >= 5
            for operation, least in (("read", 5), ("write", 1), ("commit", 1), ("sync", 1)):
                labels = f'{{volume="cache",operation="{operation}"}}'
                assert await edge.metric(f"edge_disk_operation_seconds_count{labels}") >= least, operation
                assert 0 < await edge.metric(f"edge_disk_operation_seconds_sum{labels}") < 60, operation
            assert await edge.metric("edge_cache_corrupt_total{") == 0


async def test_a_flipped_bit_on_the_disk_is_found_counted_and_fetched_again(tmp_path: Path) -> None:
    """The edge is started anew in between: pages that a process has mapped do not leave the memory."""
    size = 5 * MIB + 99
    places = {f"/s/{size}/{where}.ts": where for where in (0, 100, 2 * MIB + 5, 5 * MIB)}
    more = ("--cache-size", "2GB")
    async with describing_origin() as origin, client() as http:
        async with running_edge(tmp_path / "c", origin.url, *more, workers=1) as edge:
            for path in places:
                async with http.get(edge.url + path) as got:
                    await got.read()
        (pack,) = (tmp_path / "c" / "packs").glob("*.pack")
        with pack.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
            for path, where in places.items():
                at = data.find(body_slice(path, 1, where, where + 64))
                data[at] ^= 1
        drop_pages(tmp_path / "c")
        async with running_edge(tmp_path / "c", origin.url, *more, workers=1) as edge:
            for path in places:
                for _ in range(2):
                    async with http.get(edge.url + path) as got:
                        body = await got.read()
                        assert len(body) == size
                        proven(path, body)
            await asyncio.sleep(1.2)
            assert await edge.metric('edge_cache_corrupt_total{reason="corrupt"}') >= len(places)
        for path in places:
            assert 2 <= origin.origin.counts[path] <= 3  # the extent from the bad block on, then what was before it


async def test_after_a_lost_index_the_cache_is_rebuilt_while_serving(tmp_path: Path) -> None:
    paths = [f"/s/{300 * KIB + n}/x.ts" for n in range(8)]
    async with describing_origin() as origin, client() as http:
        async with running_edge(tmp_path / "c", origin.url) as edge:
            for path in paths:
                async with http.get(edge.url + path) as got:
                    await got.read()
        for index in (tmp_path / "c").glob("index-*"):
            shutil.rmtree(index)
        async with running_edge(tmp_path / "c", origin.url) as edge:
            assert any("rebuilding" in line for line in edge.lines)
            await asyncio.sleep(0.5)
            for path in paths:
                async with http.get(edge.url + path) as got:
                    proven(path, await got.read())
                    assert got.headers["X-Cache"] == "HIT"
        assert all(origin.origin.counts[path] == 1 for path in paths)


def add_a_large_journal(cache: Path) -> None:
    """A pack of objects with long heads, newer than all others: more than what is read before a builder is at work."""
    identity = files.identity(Disk(), cache)
    number = max(int(path.stem) for path in (cache / "packs").glob("*.pack")) + 1
    parts = [header(number, identity.volume)]
    for at in range(NEWEST_BYTES // 60_000 + 1):
        name, generation = name_of(b"long/%d" % at, identity.secret), 1 + at
        record = Record(
            generation, Kind.SEGMENT, 200, Flag.STRONG, 1000, MIB, 1.0, 2.0, 3.0, 0, 0, 0, at, b"long/%d" % at,
            b"", b'"x"', b"", (), b"X: " + b"y" * 60_000 + b"\r\n",
        )  # fmt: skip
        parts.append(encode_entry(ObjectEntry(name, record)))
        parts.append(encode_entry(ExtentEntry(name, generation, Extent(0, 1000, number, 4096 * at, (0,)))))
    parts.append(encode_entry(SealedEntry(4 * MIB)))
    (cache / "packs" / f"{number:010d}.journal").write_bytes(b"".join(parts))
    with (cache / "packs" / f"{number:010d}.pack").open("wb") as pack:
        pack.truncate(4 * MIB)


async def test_a_large_index_is_built_beside_the_one_that_serves_and_workers_go_on_in_it(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    paths = [f"/s/{300 * KIB + n}/x.ts" for n in range(8)]
    async with describing_origin() as origin, client() as http:
        async with running_edge(cache, origin.url) as edge:
            for path in paths:
                async with http.get(edge.url + path) as got:
                    await got.read()
        for index in cache.glob("index-*"):
            shutil.rmtree(index)
        add_a_large_journal(cache)
        async with running_edge(cache, origin.url) as edge:
            assert json.loads((cache / "clean").read_text())["epoch"] == 2
            cold = []  # as told while the index was not whole a moment later
            while True:  # with players meanwhile
                told = await edge.metric("edge_cache_cold{")
                if await edge.metric("edge_cache_index_load_progress_ratio{") == 1:
                    break
                cold.append(told)
                async with http.get(edge.url + paths[0]) as got:
                    proven(paths[0], await got.read())
                await asyncio.sleep(0.1)
            assert cold[-1] == 1
            assert cold == sorted(cold), "from the keeper's first word on"
            for path in paths:
                async with http.get(edge.url + path) as got:
                    proven(path, await got.read())
                    assert got.headers["X-Cache"] == "HIT"
            assert json.loads((cache / "clean").read_text())["epoch"] == 3
            assert await edge.metric("edge_cache_cold{") == 0
            assert not list(cache.glob("rebuild-*"))
        assert all(origin.origin.counts[path] == 1 for path in paths[1:])
        assert origin.origin.counts[paths[0]] <= 2


async def test_stale_is_served_while_it_is_renewed_and_when_the_origin_fails(tmp_path: Path) -> None:
    swr = "/s/5000/swr.ts?cc=max-age%3D1,stale-while-revalidate%3D60"
    error = "/s/5000/err.ts?cc=max-age%3D1,stale-if-error%3D60"
    strict = "/s/5000/strict.ts?cc=max-age%3D1,must-revalidate"
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        async with client() as http:
            for path in (swr, error, strict):
                async with http.get(edge.url + path) as got:
                    await got.read()
            await asyncio.sleep(1.2)
            async with http.get(edge.url + swr) as got:
                proven(swr, await got.read())
                assert got.headers["X-Cache"] == "UPDATING"
            await asyncio.sleep(0.3)
            async with http.get(edge.url + swr) as got:
                assert got.headers["X-Cache"] == "HIT"
            async with http.get(edge.url + error) as got:
                assert got.headers["X-Cache"] == "REVALIDATED"
                proven(error, await got.read())
            await asyncio.sleep(1.2)
            await origin.stop()
            async with http.get(edge.url + error) as got:
                proven(error, await got.read())
                assert got.headers["X-Cache"] == "STALE"
            async with http.get(edge.url + strict) as got:
                assert got.status == 504


async def test_private_bodies_of_any_size_reach_their_client_and_nobody_else(tmp_path: Path) -> None:
    asked_by = 0

    async def private(asked: Asked, wire: Wire) -> None:
        nonlocal asked_by
        asked_by += 1
        body = b"%08d" % asked_by * (MIB if "big" in asked.target else 10)
        await wire.send(answer(asked, body, "Cache-Control: private", etag=""))

    async with RawServer(private) as origin, running_edge(tmp_path / "c", origin.url) as edge, client() as http:
        seen: set[bytes] = set()

        async def one(path: str) -> None:
            async with http.get(edge.url + path) as got:
                body = await got.read()
                assert body == body[:8] * (len(body) // 8)
                assert len(body) == (8 * MIB if "big" in path else 80)
                assert got.headers["X-Cache"] == "BYPASS"
                assert body[:8] not in seen
                seen.add(body[:8])

        await asyncio.gather(*(one("/small.ts") for _ in range(10)), *(one("/big.ts") for _ in range(6)))
        assert len(seen) == 16


async def test_a_chunked_body_reaches_the_player_whole_and_is_a_hit_with_its_length_afterwards(tmp_path: Path) -> None:
    for size in (5000, 3 * MIB):
        path = f"/s/{size}/c.ts?chunked=1"
        async with describing_origin() as origin, running_edge(tmp_path / f"c{size}", origin.url) as edge:
            async with client() as http:
                async with http.get(edge.url + path) as got:
                    body = await got.read()
                    proven(path, body)
                    assert len(body) == size
                    assert got.headers["Transfer-Encoding"] == "chunked"
                await asyncio.sleep(0.2)
                async with http.get(edge.url + path, headers={"Range": "bytes=100-199"}) as got:
                    assert got.status == 206
                    proven(path, await got.read(), 100, 1)
                    assert got.headers["X-Cache"] == "HIT"
            assert origin.origin.counts[path.partition("?")[0]] == 1


async def test_a_cache_smaller_than_what_is_asked_goes_on_serving_within_its_bound(tmp_path: Path) -> None:
    more = ("--cache-size", "24MB")
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, *more) as edge:
        begun, fetched, packs = time.time(), 0, tmp_path / "c" / "packs"
        async with client() as http:
            for n in range(60):
                for path in (f"/s/{MIB}/{n}.ts", f"/s/{MIB}/wanted.ts"):
                    async with http.get(edge.url + path) as got:
                        proven(path, await got.read())
                        fetched += got.headers["X-Cache"] != "HIT"
                used = sum(p.stat().st_blocks * 512 for p in packs.glob("*.pack"))
                assert used <= 24e6 + 2 * 4 * MIB
            await settled_counters(edge)
        assert await edge.metric('edge_cache_evictions_total{volume="cache",reason="capacity"') > 20
        await proven_writes(edge, fetched * MIB)
        numbers = [int(path.stem) for path in packs.glob("*.pack")]
        count = await edge.metric("edge_cache_eviction_age_seconds_count{")
        assert count == max(numbers) - len(numbers) > 0, "each pack that has gone, once"
        assert 0 < await edge.metric("edge_cache_eviction_age_seconds_sum{") <= count * (time.time() - begun)


async def settled_counters(edge: Edge) -> None:
    """Until what the keeper tells each second is the same twice."""
    before = -1.0
    while (now := await edge.metric("edge_cache_written_bytes_total{")) != before:
        before = now
        await asyncio.sleep(2.2)


async def proven_writes(edge: Edge, fetched: int) -> None:
    """What was stored, moved and written: a volume's figures that fit together."""
    admitted, rewritten, written, evicted, size = [
        await edge.metric(f'edge_cache_{what}{{volume="cache"')
        for what in ("admitted_bytes_total", "rewritten_bytes_total", "written_bytes_total", "evicted_bytes_total",
                     "size_bytes")
    ]  # fmt: skip
    assert admitted == fetched
    assert rewritten % MIB == 0
    assert 0 < rewritten <= 0.75 * admitted, "what eviction may append anew for what is filled"
    journals = written - admitted - rewritten
    assert 0 < journals < 0.01 * admitted, "nothing else is written"
    assert admitted <= evicted + size <= admitted + MIB * 4, "a pack's end may be empty"
    assert await edge.metric('edge_cache_max_size_bytes{volume="cache"') == 24e6


async def test_an_https_origin_is_verified_unless_told_otherwise(tmp_path: Path) -> None:
    import ssl

    from aiohttp import web

    from edge.demo.origin_server import Origin
    from tests.support.certificate import self_signed

    cert, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(Origin().app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    config = tmp_path / "edge.toml"
    try:
        for text, status in ((f'[origin]\nca_file = "{cert}"\n', 200), ("[origin]\nretries = 0\n", 502)):
            config.write_text(text)
            async with running_edge(tmp_path / f"c{status}", url, "--config", str(config)) as edge, client() as http:
                async with http.get(edge.url + "/s/1000/a.ts") as got:
                    assert got.status == status
    finally:
        await runner.cleanup()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
async def test_a_full_disk_fails_no_request(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", str(small)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        more = ("--cache-size", "200MB")
        async with describing_origin() as origin, running_edge(small / "c", origin.url, *more) as edge:
            async with asyncio.timeout(30):
                while not (empty := await edge.metric('edge_volume_free_bytes{volume="cache"}')):
                    await asyncio.sleep(0.2)
            async with client() as http:
                for n in range(40):
                    path = f"/s/{MIB + n}/{n}.ts"
                    async with http.get(edge.url + path) as got:
                        body = await got.read()
                        assert got.status == 200
                        assert len(body) == MIB + n
                        proven(path, body)
                async with http.get(edge.admin + "/readyz") as got:
                    assert got.status == 200
                hits = 0
                for n in reversed(range(40)):
                    async with http.get(edge.url + f"/s/{MIB + n}/{n}.ts") as got:
                        proven(f"/s/{MIB + n}/{n}.ts", await got.read())
                        hits += "; hit" in got.headers["Cache-Status"]
            assert hits >= 10, "20 have room, and no more goes than has to"
            assert await edge.metric("edge_volume_min_free_bytes") == 0.05 * 20 * MIB
            async with asyncio.timeout(30):  # it is measured every ten seconds; how much was let go of by then varies
                while not 0 <= await edge.metric('edge_volume_free_bytes{volume="cache"}') < empty:
                    await asyncio.sleep(0.2)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=False)


async def test_memory_of_slow_readers_is_bounded(tmp_path: Path) -> None:
    """500 players that do not read hold at most a window each of kernel memory and little of ours."""
    size = 40 * MIB
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        async with client() as http:
            async with http.get(f"{edge.url}/s/{size}/big.ts") as got:
                while await got.content.read(MIB):
                    pass
        (worker,) = edge.children("worker")
        before = _rss(worker)
        host, port = edge.url.removeprefix("http://").split(":")
        writers = []
        for _ in range(500):
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(f"GET /s/{size}/big.ts HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            writers.append(writer)
        await asyncio.sleep(2)
        grown = _rss(worker) - before
        for writer in writers:
            writer.transport.abort()
        assert grown / 500 <= 256 * KIB


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
