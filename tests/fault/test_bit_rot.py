"""What lies on the disks goes bad: bits flip, files are cut off, bytes stand where others should.

None of it is served: it is found at the first read after the data has left the memory, counted by what was wrong,
and fetched again. What was stored is damaged while the edge is stopped, or cut off while it runs, and the pages are
dropped.
"""

import asyncio
import json
import random
import shutil
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from edge.clock import FakeClock
from edge.demo.describing import body_slice
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.names import name_of
from edge.store.packfile import CorruptExtent
from edge.store.reader import Reader
from edge.store.record import Extent, encode_record
from edge.words import GIB, KIB, Damage
from tests.scenario.test_cold_and_odd import drop_pages
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge
from tests.support.rebuilding import finish_rebuild, lose_index
from tests.support.volumes import SLICE, name, open_volume, put

VOLATILE = frozenset({"Age", "Date", "X-Cache", "Cache-Status", "X-Request-Id", "Via"})
MORE = ("--cache-size", "4GiB")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the index has it; `raw` = its row."""

    path: str
    extents: tuple[Extent, ...]
    raw: bytes


@dataclass
class Round:
    """What was asked for: the headers of each path at first, and how it was answered last."""

    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    cache: dict[str, str] = field(default_factory=dict)

    async def ask_all(self, edge: Edge, paths: list[str]) -> None:
        """Every byte and every lasting header is proven."""
        left = iter(paths)

        async def some(http: aiohttp.ClientSession) -> None:
            for path in left:
                async with http.get(edge.url + path) as got:
                    assert got.status == 200
                    body = await got.read()
                    assert len(body) == int(path.split("/")[2])
                    proven(path, body)
                    lasting = {key: value for key, value in got.headers.items() if key not in VOLATILE}
                    assert self.headers.setdefault(path, lasting) == lasting
                    self.cache[path] = got.headers["X-Cache"]

        async with client() as http, asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(some(http))


def stored(cache: Path, *, running: bool = False) -> list[Stored]:
    """All objects of a cache; of one that runs, as its index is now."""
    (path,) = cache.glob("index-*")
    index = Index(path, 0 if running else GIB, readonly=running)
    try:
        found = []
        for pack in sorted((cache / "packs").glob("*.pack")):
            placed = index.placed(int(pack.stem), limit=1_000_000)
            for row in (row for row in placed if row.start == 0):
                record = index.record(row.name)
                assert record is not None
                key = record.key.decode().removeprefix("default")
                found.append(Stored(key, tuple(index.extents(record)), encode_record(record)))
        return found
    finally:
        index.close()


def flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1 << bit,)))


def pack_of(cache: Path, extent: Extent) -> Path:
    return cache / "packs" / f"{extent.pack:010d}.pack"


def flip_a_bit_of_the_body(cache: Path, what: Stored, rng: random.Random) -> None:
    extent = rng.choice(what.extents)
    flip(pack_of(cache, extent), extent.offset + rng.randrange(extent.length), rng.randrange(8))


def flip_a_bit_in_the_index(index: bytearray, what: Stored, rng: random.Random) -> None:
    """Wherever the row stands: the file also has pages that are not in use."""
    at, bit, seen = rng.randrange(len(what.raw)), rng.randrange(8), 0
    place = index.find(what.raw)
    while place >= 0:
        index[place + at] ^= 1 << bit
        seen += 1
        place = index.find(what.raw, place + 1)
    assert seen


def swap(cache: Path, one: Stored, two: Stored) -> None:
    """The bytes of two objects change places, as far as both reach."""
    a, b = one.extents[0], two.extents[0]
    count = min(a.length, b.length)
    with pack_of(cache, a).open("r+b") as first, pack_of(cache, b).open("r+b") as second:
        first.seek(a.offset)
        second.seek(b.offset)
        ours, theirs = first.read(count), second.read(count)
        first.seek(a.offset)
        second.seek(b.offset)
        first.write(theirs)
        second.write(ours)


async def counted(edge: Edge, damage: Damage, least: int) -> float:
    """The counter, once it has reached what is expected; it is written once a second."""
    text = f'edge_cache_corrupt_total{{reason="{damage.value}"}}'
    async with asyncio.timeout(20):
        while (seen := await edge.metric(text)) < least:
            await asyncio.sleep(0.1)
    return seen


async def rot(tmp_path: Path, seed: int, count: int) -> Counter[str]:
    """A fifth of the objects is left alone; the others' bodies, rows and places are damaged, then journals."""
    rng = random.Random(seed)
    cache = tmp_path / "c"
    paths = [f"/s/{rng.randrange(2 * KIB, 60 * KIB)}/{number}.ts" for number in range(count)]
    asked, done = Round(), Counter[str]()
    async with describing_origin() as origin:
        async with running_edge(cache, origin.url, *MORE, workers=1) as edge:
            await asked.ask_all(edge, paths)
        objects = stored(cache)
        assert len(objects) == count
        rng.shuffle(objects)
        bodies, rows, swapped = objects[: count // 2], objects[count // 2 : count * 7 // 10], objects[count * 7 // 10 :]
        swapped = swapped[: count // 10 // 2 * 2]
        damage_stopped(cache, bodies, rows, swapped, rng)
        drop_pages(cache)
        async with running_edge(cache, origin.url, *MORE, workers=1) as edge:
            await asked.ask_all(edge, paths)
            bad = {what.path for what in (*bodies, *rows, *swapped)}
            found = {path for path, said in asked.cache.items() if said != "HIT"}
            late = {what.path for what in (*bodies, *swapped)}  # a head is sent before its body is read
            assert {what.path for what in rows} <= found <= bad
            done["bytes"] = int(await counted(edge, Damage.CORRUPT, len(late)))
            done["rows"] = int(await counted(edge, Damage.INDEX, len(rows)))
            again = Counter(origin.origin.counts[path] for path in bad)
            assert set(again) <= {2, 3}, "once more each, or twice where the first byte was late"
            assert again[3] <= count // 20
            await asked.ask_all(edge, paths)
            assert set(asked.cache.values()) == {"HIT"}
            # Each once, however many readers have met it.
            assert done["bytes"] == await counted(edge, Damage.CORRUPT, len(late)) == len(late)
            assert done["rows"] == await counted(edge, Damage.INDEX, len(rows)) == len(rows)
        journals, names = damage_journals(cache, rng, count // 10)
        done["entries"] = count // 10
        async with running_edge(cache, origin.url, *MORE, workers=1) as edge:
            async with asyncio.timeout(60):
                while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                    await asyncio.sleep(0.1)
            assert await counted(edge, Damage.JOURNAL, journals) == journals
            await asked.ask_all(edge, paths)
            secret = bytes.fromhex(json.loads((cache / "volume.json").read_text())["key"])
            lost = {path for path, said in asked.cache.items() if said != "HIT"}
            harmed = {path for path in paths if name_of(b"default" + path.encode(), secret) in names}
            assert lost
            assert lost <= harmed, "a bad entry loses itself only"
            done["lost"] = len(lost)
            await asked.ask_all(edge, paths)
            assert set(asked.cache.values()) == {"HIT"}, "all that was lost has been fetched again"
    return done


def damage_stopped(
    cache: Path, bodies: list[Stored], rows: list[Stored], swapped: list[Stored], rng: random.Random
) -> None:
    for what in bodies:
        flip_a_bit_of_the_body(cache, what, rng)
    (path,) = cache.glob("index-*/data.mdb")
    index = bytearray(path.read_bytes())
    for what in rows:
        flip_a_bit_in_the_index(index, what, rng)
    path.write_bytes(index)
    for one, two in zip(swapped[::2], swapped[1::2], strict=True):
        swap(cache, one, two)


def entries(raw: bytes) -> list[tuple[int, int]]:
    """Where each entry of a journal begins and ends (DESIGN section 9)."""
    found, at = [], 32
    while at + 9 <= len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        found.append((at, at + 9 + length))
        at += 9 + length
    return found


def damage_journals(cache: Path, rng: random.Random, count: int) -> tuple[int, set[bytes]]:
    """A bit of so many entries, wherever in them, and no index that would know better.

    How many journals are harmed, and the names in the harmed entries.
    """
    journals = {path: path.read_bytes() for path in sorted((cache / "packs").glob("*.journal"))}
    places = [(path, *entry) for path, raw in journals.items() for entry in entries(raw)]
    harmed, names = set(), set()
    for path, start, end in rng.sample(places, count):
        flip(path, rng.randrange(start, end), rng.randrange(8))
        harmed.add(path)
        names.add(journals[path][start + 9 : start + 25])
    for index in cache.glob("index-*"):
        shutil.rmtree(index)
    return len(harmed), names


async def test_no_flipped_bit_and_no_byte_in_a_wrong_place_is_served_and_each_is_counted(tmp_path: Path) -> None:
    done = await rot(tmp_path, seed=5, count=150)
    assert done["bytes"] == 75 + 14 // 2 * 2
    assert done["rows"] == 30


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_ten_thousand_damaged_objects(tmp_path: Path) -> None:
    done = await rot(tmp_path, seed=random.randrange(1 << 30), count=12_500)
    print(dict(done))
    assert done["bytes"] + done["rows"] + done["entries"] >= 10_000


@pytest.mark.parametrize("warm", [False, True])
async def test_a_pack_cut_off_under_a_running_edge_gives_what_is_right_and_a_cut_journal_costs_its_own(
    tmp_path: Path, warm: bool
) -> None:
    """`warm`: what is before the cut is still in memory, and the pack open in the worker."""
    cache = tmp_path / "c"
    paths = [f"/s/{900 * KIB + number}/{number}.ts" for number in range(12)]  # about four a pack
    asked = Round()
    async with describing_origin() as origin:
        counts = origin.origin.counts
        async with running_edge(cache, origin.url, workers=1) as edge:
            await asked.ask_all(edge, paths)
            await asyncio.sleep(2.2)  # what was just sent is believed to be warm for a second; the first pack is closed
            objects = stored(cache, running=True)
            first = min(extent.pack for what in objects for extent in what.extents)
            lying = sorted(
                (extent.offset, extent.length, what.path)
                for what in objects
                for extent in what.extents
                if extent.pack == first
            )
            assert len(lying) >= 3
            offset, length, _ = lying[1]
            end = offset + length // 2
            with (cache / "packs" / f"{first:010d}.pack").open("r+b") as file:
                file.truncate(end)
            journal = cache / "packs" / f"{first + 1:010d}.journal"
            with journal.open("r+b") as file:
                file.truncate(journal.stat().st_size // 2)
            if not warm:
                await asyncio.to_thread(drop_pages, cache)
            harmed = {path for at, count, path in lying if at + count > end}
            assert 2 <= len(harmed) < len(lying)
            for _ in range(2):
                await asked.ask_all(edge, paths)
                assert await counted(edge, Damage.TRUNCATED, len(harmed)) == len(harmed), "each once"
                assert await edge.metric("edge_cache_corrupt_total") == len(harmed), "by this reason only"
            assert set(asked.cache.values()) == {"HIT"}
            assert {path for path in paths if counts[path] > 1} == harmed
            assert max(counts.values()) <= 3, "once more each, or twice where the first byte was late"
        for index in cache.glob("index-*"):
            shutil.rmtree(index)
        before = dict(counts)
        async with running_edge(cache, origin.url, workers=1) as edge:
            async with asyncio.timeout(30):
                while await edge.metric("edge_cache_index_load_progress_ratio") < 1:
                    await asyncio.sleep(0.1)
            assert await counted(edge, Damage.JOURNAL, 1) == 1
            await asked.ask_all(edge, paths)
            lost = {path for path in paths if counts[path] > before[path]}
            behind = {what.path for what in objects if what.extents[0].pack == first + 1}
            assert lost
            assert lost <= behind
            await asked.ask_all(edge, paths)
            assert set(asked.cache.values()) == {"HIT"}


async def cut(tmp_path: Path, seed: int, packs: int) -> Counter[str]:
    """Packs cut off anywhere, then journals cut off anywhere and the index lost: what is read is right, or refused."""
    rng = random.Random(seed)
    pack_size = 256 * KIB
    more = {"size_bytes": max(16 << 20, pack_size * packs * 2), "pack_size": pack_size, "index_map_bytes": GIB}
    volume = open_volume(tmp_path, **more)
    keys = [f"/{number}" for number in range(packs * 3)]
    for key in keys:
        put(volume, key, 1, rng.randrange(50 * KIB, 80 * KIB))
    done = Counter(packs=len(volume.packs.all))
    volume.close()
    ends = {}
    for path in sorted((tmp_path / "v" / "packs").glob("*.pack")):
        ends[int(path.stem)] = end = rng.randrange(path.stat().st_size)
        with path.open("r+b") as file:
            file.truncate(end)
    drop_pages(tmp_path / "v")
    volume = open_volume(tmp_path, **more)
    hello = volume.hello
    volume.close()  # a process opens an index once only
    LiveTable(Path(hello.live_path), hello.live_bytes, readonly=False).close()
    reader = Reader(hello, FakeClock())
    for key in keys:
        record = reader.lookup(name_of(key.encode(), hello.secret))
        assert record is not None
        extent = record.first
        assert extent is not None
        whole = extent.offset + extent.length <= ends[extent.pack]
        done["whole"] += whole
        assert reader.ready(record, extent, 0, extent.length) is None, "cold, so nothing is sent unread"
        try:
            data = await reader.read_verified(record, extent, 0, extent.length)
            assert data == body_slice(key, 1, 0, extent.length)
            done["read"] += 1
        except CorruptExtent as error:
            assert not whole
            done[error.reason.value] += 1
    reader.close()
    assert done["read"] == done["whole"]
    done.update(cut_journals(tmp_path, rng, keys, more))
    return done


def cut_journals(tmp_path: Path, rng: random.Random, keys: list[str], more: dict[str, int]) -> Counter[str]:
    """What stands before the cut of a journal is known again; the cut is counted."""
    journals = sorted((tmp_path / "v" / "packs").glob("*.journal"))
    for path in journals:
        with path.open("r+b") as file:
            file.truncate(rng.randrange(path.stat().st_size))
    lose_index(tmp_path)
    volume = open_volume(tmp_path, **more)
    finish_rebuild(volume)
    found = Counter(journals=volume.tallies.take_damage()[Damage.JOURNAL])
    assert found["journals"] == len(journals)
    for key in keys:
        record = volume.lookup(name(volume, key))
        if record is not None:
            assert record.key == key.encode()
            assert record.slice_size == SLICE
            found["known"] += 1
    volume.close()
    return found


async def test_packs_and_journals_that_are_cut_off_give_what_is_right_or_nothing(tmp_path: Path) -> None:
    done = await cut(tmp_path, seed=3, packs=40)
    assert done["truncated"] > 10
    assert done["read"] > 10
    assert done["journals"] == done["packs"]


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_a_thousand_packs_and_journals_that_are_cut_off(tmp_path: Path) -> None:
    done = await cut(tmp_path, seed=random.randrange(1 << 30), packs=1100)
    print(dict(done))
    assert done["packs"] >= 1000
