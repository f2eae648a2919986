"""Several volumes behind one server: shared out by size, each with its keeper, and none missed more than it must be."""

import os
import signal
from pathlib import Path

from edge.words import KIB
from tests.support.edgeproc import Describing, Edge, client, describing_origin, proven, running_edge
from tests.support.load import Load, Loads, homes, until, volume_of

COUNT = 60
PATHS = [f"/s/{64 * KIB}/{n}.ts" for n in range(COUNT)]


def configuration(directory: Path, *sizes: int) -> list[str]:
    """Flags for a server with volumes of so many MiB at a, b, c ..."""
    text = "[origin]\nhedge = false\n" + "".join(  # requests at the origin are counted
        f'[[volume]]\npath = "{directory / name}"\nsize = "{size}MiB"\n'
        for name, size in zip("abcdefgh", sizes, strict=False)
    )
    file = directory / "edge.toml"
    file.write_text(text)
    return ["--config", str(file)]


async def play(edge: Edge) -> dict[str, str]:
    """Each path's X-Cache, every byte proven."""
    found = {}
    async with client() as http:
        for path in PATHS:
            async with http.get(edge.url + path) as got:
                assert got.status == 200, await got.text()
                proven(path, await got.read())
                found[path] = got.headers["X-Cache"]
    return found


def asked(origin: Describing) -> int:
    return sum(origin.origin.counts[path] for path in PATHS)


async def test_objects_are_shared_out_over_two_volumes_and_both_find_theirs_after_a_restart(tmp_path: Path) -> None:
    flags = configuration(tmp_path, 64, 160)
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *flags) as edge:
            assert any("2 keepers" in line for line in edge.lines)
            assert set((await play(edge)).values()) == {"MISS"}
            assert set((await play(edge)).values()) == {"HIT"}
            assert asked(origin) == COUNT
        async with running_edge(None, origin.url, *flags) as edge:
            assert set((await play(edge)).values()) == {"HIT"}
            assert asked(origin) == COUNT
            a, b = [await edge.metric(f'edge_cache_objects{{volume="{tmp_path / name}"}}') for name in "ab"]
            assert a + b == COUNT
            assert 5 <= a < b  # two sevenths and five, within 3.5 deviations


async def test_a_volume_added_and_taken_away_moves_only_its_share(tmp_path: Path) -> None:
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64)) as edge:
            await play(edge)
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64, 64)) as edge:
            missed = {path for path, how in (await play(edge)).items() if how != "HIT"}
            members = homes([tmp_path / name for name in "abc"])
            assert missed == {path for path in PATHS if volume_of(path, members) == 2}, "its share, and nothing else"
            assert 8 <= len(missed) <= 35  # a third of 60, within reason
            assert asked(origin) == COUNT + len(missed)
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64)) as edge:
            assert set((await play(edge)).values()) == {"HIT"}  # what the third had is still where it was before


async def test_a_volume_that_cannot_be_had_is_left_out_and_said(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("a file where a directory should be")
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64)) as edge:
            assert any("a volume is left out" in line and str(tmp_path / "b") in line for line in edge.lines)
            assert set((await play(edge)).values()) == {"MISS"}
            assert set((await play(edge)).values()) == {"HIT"}


async def test_a_keeper_that_will_not_start_is_done_without(tmp_path: Path) -> None:
    flags = configuration(tmp_path, 64, 64)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "volume.json").write_text("not ours\n")
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *flags) as edge:
            assert any("keeper 1" in line for line in edge.lines), edge.lines
            assert set((await play(edge)).values()) == {"MISS"}
            assert set((await play(edge)).values()) == {"HIT"}


async def test_the_death_of_one_keeper_leaves_the_other_volumes_hits_and_misses_alone(tmp_path: Path) -> None:
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64)) as edge:
            await play(edge)
            first = edge.children("keeper")[0]
            os.kill(first, signal.SIGKILL)
            assert set((await play(edge)).values()) == {"HIT"}  # workers read on, keeper or not
            assert asked(origin) == COUNT
            await edge.wait_for_line("keeper [01] has ended")


async def test_a_volume_whose_keepers_die_one_after_the_other_is_left_and_no_request_fails(tmp_path: Path) -> None:
    async with describing_origin() as origin:
        async with running_edge(None, origin.url, *configuration(tmp_path, 64, 64), workers=1) as edge:
            load, killed = Load(edge, 1), set[int]()
            left = f"objects live on: {tmp_path / 'b'}"

            def kill_and_look() -> bool:
                for pid in edge.children("keeper"):
                    if Path(f"/proc/{pid}/comm").read_text().strip().endswith("-0") and pid not in killed:
                        killed.add(pid)
                        os.kill(pid, signal.SIGKILL)
                return any(left in line for line in edge.lines)

            async with Loads(load):
                await until(lambda: load.good > 30, 60, "a load")
                await until(kill_and_look, 60, "the volume is left")
                at = load.good
                await until(lambda: load.good > at + 50, 60, "the load goes on")
            assert load.failed == []
            assert len(killed) >= 3
