"""What was stored when a fill began, and is not there any more when its player comes to it."""

import asyncio
import os
from pathlib import Path

from edge.words import MIB
from tests.support.edgeproc import client, describing_origin, proven, running_edge

SIZE = 64 * MIB  # more than is fetched ahead: the fill of what is missing lasts as long as the player reads
PATH = f"/s/{SIZE}/film.mp4"
ROOM = ("--cache-size", "1GB")


async def test_a_player_that_comes_to_damaged_bytes_while_others_are_on_their_way_gets_all_of_them(
    tmp_path: Path,
) -> None:
    """Its answer stood still for ever: the fill counted them among what is there, and the worker waited for it."""
    cache = tmp_path / "c"
    async with describing_origin() as origin:
        async with running_edge(cache, origin.url, *ROOM, workers=1) as edge, client() as http:
            for start in (0, 6 * MIB):
                span = {"Range": f"bytes={start}-{start + MIB - 1}"}
                async with http.get(edge.url + PATH, headers=span) as got:
                    part = await got.read()
                    proven(PATH, part, start)
        damage(cache, part[MIB // 2 :][:4096])
        async with running_edge(cache, origin.url, *ROOM, workers=1) as edge, client() as http:
            data = b""
            async with asyncio.timeout(30), http.get(edge.url + PATH) as got:
                while len(data) < 8 * MIB:
                    data += await got.content.readany()
            proven(PATH, data)
            assert await edge.metric("edge_cache_corrupt_total") == 1


def damage(cache: Path, block: bytes) -> None:
    """These bytes are others on the disk, and not in memory, so that they are verified."""
    for path in (cache / "packs").glob("*.pack"):
        at = path.read_bytes().find(block)
        if at >= 0:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(bytes(len(block)))
                file.flush()
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return
    raise AssertionError("it is in no pack")
