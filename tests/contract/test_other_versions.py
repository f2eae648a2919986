"""A film of which a part is stored and stale, and whose origin has another version by now: the two never meet."""

import os
from pathlib import Path

import pytest

from edge.words import MIB
from tests.support.fillbench import fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

FORMER, NOW = os.urandom(4 * MIB), os.urandom(4 * MIB)
STALE = "Cache-Control: max-age=0"


@pytest.mark.parametrize("what", ["another tag", "another length"])
@pytest.mark.parametrize("part", [(0, 2 * MIB), (MIB, 2 * MIB), (0, MIB)])
async def test_what_is_stored_of_the_former_version_is_not_served_beside_the_new_one(
    tmp_path: Path, part: tuple[int, int], what: str
) -> None:
    now = NOW if what == "another tag" else NOW + b"more"
    tag = '"v2"' if what == "another tag" else '"v1"'
    changed = False

    async def script(asked: Asked, wire: Wire) -> None:
        asked.fields.pop("if-range", None)  # it knows no such conditions
        await wire.send(answer(asked, now, STALE, etag=tag) if changed else answer(asked, FORMER, STALE))

    async with RawServer(script) as origin, fill_bench(tmp_path, origin.url) as bench:
        assert (await bench.get("/a.mp4", 0, MIB)).bytes() == FORMER[:MIB]
        changed = True
        got = await bench.get("/a.mp4", *part)
        assert got.failed is None
        assert got.bytes() == now[part[0] : part[1]]
        record = bench.stored("/a.mp4")
        assert record is not None
        assert (record.etag, record.total) == (tag.encode(), len(now))
        for start, data in bench.stored_bytes("/a.mp4").items():
            assert data == now[start : start + len(data)]
        assert (await bench.get("/a.mp4", 0, 3 * MIB)).bytes() == now[: 3 * MIB]
