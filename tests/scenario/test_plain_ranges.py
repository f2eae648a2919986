"""A plain cache under clients that ask for parts of everything at once: each answer is of one version, and right."""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from edge.words import KIB
from tests.support.edgeproc import client, running_edge
from tests.support.rawserver import Asked, RawServer, Wire, answer

SIZE = 300 * KIB
CLIENTS = 16
TAGS = {"strong": '"{}"', "weak": 'W/"{}"', "none": ""}
PATHS = [f"/{kind}/{number}.bin" for kind in TAGS for number in range(3)]
WISHES = ({}, {}, {"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"})


def content(path: str, version: int) -> bytes:
    return random.Random(f"{path} {version}").randbytes(SIZE)


@pytest.mark.parametrize("requests", [8, pytest.param(40, marks=pytest.mark.long)])
async def test_parts_of_many_versions_are_never_mixed_and_always_right(tmp_path: Path, requests: int) -> None:
    versions = {path: [content(path, number) for number in range(3)] for path in PATHS}
    version = 0

    async def serve(asked: Asked, wire: Wire) -> None:
        tag = TAGS[asked.target.split("/")[1]].format(version)
        await wire.send(answer(asked, versions[asked.target][version], "Cache-Control: max-age=600", etag=tag))

    def wanted(rng: random.Random) -> tuple[str | None, int, int]:
        """A Range, and what it comes to."""
        start, length = rng.randrange(SIZE), rng.choice((1, 1000, 70_000, SIZE))
        end = min(start + length, SIZE)
        match rng.randrange(4):
            case 0:
                return None, 0, SIZE
            case 1:
                return f"bytes={start}-", start, SIZE
            case 2:
                return f"bytes=-{length}", SIZE - length, SIZE
        return f"bytes={start}-{end - 1}", start, end

    async def ask(http: aiohttp.ClientSession, url: str, rng: random.Random) -> None:
        path = rng.choice(PATHS)
        asked, start, end = wanted(rng)
        lines = dict(rng.choice(WISHES)) | ({"Range": asked} if asked else {})
        async with http.get(url + path, headers=lines) as got:
            try:
                body = await got.read()
            except aiohttp.ClientPayloadError:
                raise AssertionError(f"{path} {lines} broke off; {dict(got.headers)}") from None
            assert got.status == (206 if asked else 200), f"{path} {lines} {got.status} {body[:80]!r}"
            if asked:
                assert got.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
            right = [number for number, each in enumerate(versions[path]) if body == each[start:end]]
            assert right, f"{path} {lines}: {len(body)} bytes of no version; {got.headers['Cache-Status']}"
            if TAGS[path.split("/")[1]]:
                assert got.headers["ETag"].strip('W/"') in map(str, right)

    async def plays(url: str, seed: int) -> None:
        rng = random.Random(seed)
        async with client() as http:
            for _ in range(requests):
                await ask(http, url, rng)

    async with RawServer(serve) as origin:
        async with running_edge(tmp_path, origin.url, "--profile", "rfc9111") as edge:
            for version in range(3):
                await asyncio.gather(*(plays(edge.url, 100 * version + number) for number in range(CLIENTS)))
    assert len(origin.asked) < 3 * CLIENTS * requests  # it is a cache
