"""A volume that was away comes back: nothing that was purged or replaced meanwhile is served from it as fresh."""

import asyncio
import json
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from edge.words import KIB
from tests.support.edgeproc import Edge, client, running_edge
from tests.support.load import homes, volume_of
from tests.support.rawserver import Asked, RawServer, Wire, answer

GROUPS = ("key", "tagged", "prefix", "soft", "replaced", "same")
EACH = 12  # so that each volume has some of each
PATHS = [f"/{group}/{n}.ts" for group in GROUPS for n in range(EACH)]


class Library:
    """Objects with versions, fresh for a long time; those in `changed` have the second one."""

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self.asked: Counter[str] = Counter()

    async def __call__(self, asked: Asked, wire: Wire) -> None:
        path = asked.target
        self.asked[path] += 1
        version = 2 if path in self.changed else 1
        fields = ["Cache-Control: max-age=100000", f"Surrogate-Key: {path.split('/')[1]}"]
        etag = f'"{version}"'
        if asked.fields.get("if-none-match") == etag:
            await wire.send(f"HTTP/1.1 304 Same\r\nETag: {etag}\r\n{fields[0]}\r\n\r\n".encode())
            return
        await wire.send(answer(asked, b"%06d " % version * 3000, *fields, etag=etag))


def configuration(directory: Path, *names: str) -> list[str]:
    file = directory / "edge.toml"
    file.write_text(
        "[origin]\nhedge = false\n"
        + "".join(f'[[volume]]\npath = "{directory / name}"\nsize = "64MiB"\n' for name in names)
    )
    return ["--config", str(file)]


async def play(edge: Edge) -> dict[str, int]:
    """The version that players get of each object."""
    found = {}
    async with client() as http:
        for path in PATHS:
            async with http.get(edge.url + path) as got:
                assert got.status == 200, await got.text()
                versions = set((await got.read()).split())
                assert len(versions) == 1
                found[path] = int(versions.pop())
    return found


async def purge(directory: Path, **ask: object) -> dict[str, Any]:
    socket = next(directory.glob("[ab]/control")).read_text().strip()
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as http,
        http.post("http://edge/v1/purge", json=ask) as got,
    ):
        told: dict[str, Any] = await got.json()
        assert got.status == 200, told
        return told


async def purge_all_ways(directory: Path, edge: Edge) -> None:
    site = edge.url.replace("127.0.0.1", "default")
    await purge(directory, urls=[f"{site}/key/{n}.ts" for n in range(EACH)])
    await purge(directory, tag="tagged")
    await purge(directory, prefix=f"{site}/prefix/")
    await purge(directory, prefix=f"{site}/soft/", soft=True)


async def nothing_owed(directory: Path) -> None:
    """Until the volumes have done what they owed, and each copy of the book says so."""
    async with asyncio.timeout(30):
        while any(json.loads((directory / name / "owed.json").read_text())["owed"] for name in "ab"):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("dead", "everything"), [(False, False), (True, True)], ids=["taken out, each way", "dead, everything"]
)
async def test_a_volume_that_was_away_serves_nothing_as_fresh_that_was_purged_or_replaced_meanwhile(
    tmp_path: Path, dead: bool, everything: bool
) -> None:
    """The first one, in whose directory the control file lies otherwise."""
    library = Library()
    async with RawServer(library) as origin:
        async with running_edge(None, origin.url, *configuration(tmp_path, "a", "b"), workers=1) as edge:
            assert set((await play(edge)).values()) == {1}
        first = {path for path in PATHS if volume_of(path, homes([tmp_path / name for name in "ab"])) == 0}
        assert {path.split("/")[1] for path in first} == set(GROUPS), "it has some of each"
        if dead:
            (tmp_path / "a").rename(tmp_path / "kept")
            (tmp_path / "a").write_text("a disk that has gone")
        flags = configuration(tmp_path, *(("a", "b") if dead else ("b",)))
        async with running_edge(None, origin.url, *flags, workers=1) as edge:
            library.changed = {path for path in PATHS if "/same/" not in path}
            if everything:
                await purge(tmp_path, everything=True)
            else:
                await purge_all_ways(tmp_path, edge)
            meanwhile = await play(edge)
            assert all(meanwhile[path] == 2 for path in PATHS if path.split("/")[1] in GROUPS[:4])
            assert 2 in {meanwhile[path] for path in PATHS if "/replaced/" in path}
        if dead:
            (tmp_path / "a").unlink()
            (tmp_path / "kept").rename(tmp_path / "a")
        async with running_edge(None, origin.url, *configuration(tmp_path, "a", "b"), workers=1) as edge:
            found = await play(edge)
            assert {path for path in PATHS if found[path] < meanwhile[path]} == set()
            await nothing_owed(tmp_path)
            found = await play(edge)  # what was revalidated meanwhile is asked about once more
        library.asked.clear()
        async with running_edge(None, origin.url, *configuration(tmp_path, "a", "b"), workers=1) as edge:
            assert await play(edge) == found
            assert library.asked.total() == 0, "who was not away is not asked about"


async def test_a_purge_that_no_volume_can_note_holds_at_once_and_is_done_when_they_can_be_written(
    tmp_path: Path,
) -> None:
    library = Library()
    async with RawServer(library) as origin:
        flags = configuration(tmp_path, "a", "b")
        async with running_edge(None, origin.url, *flags, workers=2) as edge:
            await play(edge)
            site = edge.url.replace("127.0.0.1", "default")
            await purge(tmp_path, urls=[f"{site}/none/{n}.ts" for n in range(3000)])
            for name in "ab":
                assert (tmp_path / name / "purges").stat().st_size > 64 * KIB
            for pid in edge.children("keeper"):  # so that it can grow no further; scratch windows can
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (64 * KIB, resource.RLIM_INFINITY))
            library.changed = set(PATHS)
            told = await purge(tmp_path, prefix=f"{site}/prefix/")
            assert set(told["failed"]) == {str(tmp_path / name) for name in "ab"}
            assert all("hidden until it can be done" in why for why in told["failed"].values())
            for _ in range(4):  # of both workers
                found = await play(edge)
                assert {path for path in PATHS if found[path] == 2} == {path for path in PATHS if "/prefix/" in path}
            for pid in edge.children("keeper"):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await nothing_owed(tmp_path)
            assert await play(edge) == found
        async with running_edge(None, origin.url, *flags, workers=1) as edge:
            assert await play(edge) == found
