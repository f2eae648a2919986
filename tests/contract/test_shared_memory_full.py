"""Shared memory is full: live playlists are fetched for whoever asks, and the volume's disk is not to blame."""

from pathlib import Path

from edge.store.health import Trust
from edge.words import MIB
from tests.support.fillbench import fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.volumes import fill_up

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\na.ts\n"


async def origin(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, PLAYLIST if asked.target.endswith(".m3u8") else bytes(MIB)))


async def test_a_live_playlist_that_shared_memory_does_not_take_is_answered_and_costs_no_volume(tmp_path: Path) -> None:
    async with RawServer(origin) as server, fill_bench(tmp_path, server.url) as bench:
        fill_up(bench.volume.live)
        for number in range(20):
            got = await bench.get(f"/{number}.m3u8")
            assert got.failed is None
            assert got.bytes() == PLAYLIST
            assert bench.live(f"/{number}.m3u8") is None
        assert (bench.store.errors, bench.volume.health.trust) == (0, Trust.GOOD)
        assert (await bench.get("/a.ts")).bytes() == bytes(MIB)
        assert bench.stored("/a.ts") is not None
