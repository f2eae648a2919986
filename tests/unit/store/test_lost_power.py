"""Power fails after any call that makes something last: what was promised by then is there, and nothing wrong is.

Promised is what a flush has returned for, a purge that was acknowledged, and that no number comes again.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.policy.purges import Purge, Scope
from edge.store.disk import Disk
from edge.store.files import Counter
from edge.store.hits import HitCounters, create_hits_file
from edge.store.record import Flag
from edge.store.volume import Volume
from edge.words import KIB, MIB, Damage, Eviction
from tests.support.rebuilding import finish_rebuild
from tests.support.volatile import VolatileDisk
from tests.support.volumes import name, open_volume, prove, put

SIZE = 40_000
PACK = 256 * KIB
KEYS = [f"/{number}" for number in range(30)]


@dataclass
class Image:
    """What a power loss left, and what is to be found in it."""

    files: dict[Path, bytes]
    packs: int  # the highest number that was handed out
    generations: int
    least: dict[str, int]  # of a key, the oldest version that it may have: others were replaced, deleted, or purged
    there: dict[str, int] = field(default_factory=dict)  # versions of keys


class Story:
    """A volume is filled, evicts, is purged, is killed and started again; images of each moment are collected."""

    def __init__(self, directory: Path, disk: VolatileDisk) -> None:
        self._directory, self._disk = directory, disk
        self.images: list[Image] = []
        self._there: dict[str, int] = {}
        self._least: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._deleted: set[str] = set()  # since the last flush
        self._packs = self._generations = self.moved = 0
        disk.lasted = self._note
        self.hits = HitCounters(create_hits_file())
        self.volume = self._opened()

    def _opened(self) -> Volume:
        volume = open_volume(self._directory, disk=self._disk, pack_size=PACK)
        volume.popularity.hits = self.hits
        return volume

    def _note(self) -> None:
        self.images.append(Image(self._disk.lasting(), self._packs, self._generations, dict(self._least)))

    @contextmanager
    def _step(self) -> Iterator[None]:
        """What was promised before and is there after it is promised all the time."""
        first, before = len(self.images), dict(self._there)
        yield
        self._there = {key: version for key, version in before.items() if self.version(key) == version}
        for image in self.images[first:]:
            image.there = dict(self._there)
        self._packs = max([self._packs, *self.volume.packs.all])

    def version(self, key: str) -> int | None:
        return version_of(self.volume, key)

    def put(self, *keys: str) -> None:
        with self._step():
            for key in keys:
                self._written[key] = self._written.get(key, 0) + 1
                self._generations = max(self._generations, put(self.volume, key, self._written[key], SIZE).generation)

    def flush(self) -> None:
        with self._step():
            self.volume.flush_journals()
        self._promise()

    def _promise(self) -> None:
        for key in self._written:
            version = self.version(key)
            if version is not None:
                self._there[key] = self._least[key] = version
        for key in self._deleted:
            self._least[key] = self._written[key] + 1
        self._deleted.clear()

    def purge(self, key: str) -> None:
        with self._step():
            self.volume.purges.do_now(Purge(Scope.KEY, key.encode()))
        self._least[key] = self._written[key] + 1

    def delete(self, key: str) -> None:
        with self._step():
            self.volume.delete(name(self.volume, key), None, Eviction.INVALIDATED)
        self._deleted.add(key)

    def evict(self, packs: int) -> None:
        """Of the oldest packs; what was hit is appended anew."""
        left = len(self.volume.packs.all) - packs
        with self._step():
            self.volume.popularity.credit = float(MIB)
            while len(self.volume.packs.all) > left:
                assert self.volume.evict_step()
        self.moved += self.volume.tallies.rewritten_bytes

    def start_again(self, *, clean: bool) -> None:
        """After a kill the journals are completed by the start."""
        with self._step():
            self.volume.close(clean=clean)
            self.volume = self._opened()
        self._promise()


def version_of(volume: Volume, key: str) -> int | None:
    record = volume.lookup(name(volume, key))
    return None if record is None else int(record.etag.strip(b'"'))


def tell(story: Story) -> None:
    story.put(*KEYS[:8])
    story.flush()
    for number in range(4):
        for _ in range(9):
            story.hits.touch(name(story.volume, KEYS[number]))
    story.purge("/5")
    story.put(*KEYS[8:14], "/5", "/6")
    story.flush()
    story.delete("/7")
    story.flush()
    story.evict(1)
    story.put(*KEYS[14:18])
    story.purge("/8")
    story.start_again(clean=False)
    story.put(*KEYS[18:24], "/9")
    story.flush()
    story.evict(2)
    story.put("/10")
    story.start_again(clean=True)
    story.put(*KEYS[24:])
    story.purge("/24")
    story.flush()


def is_kept(image: Image, directory: Path) -> None:
    """A start on what is left of it, in another boot."""
    for path, data in image.files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    volume = open_volume(directory, boot="boot-2", pack_size=PACK)
    try:
        packs, hello = list(volume.packs.all), volume.hello
        finish_rebuild(volume)
        assert all(hello.suspect_from <= pack < hello.suspect_to for pack in packs), "nothing is served unread"
        assert Damage.PURGES not in volume.tallies.take_damage()
        for key in KEYS:
            proven, version = prove(volume, key), version_of(volume, key)
            assert proven in (None, {}, {0: SIZE}), key
            if key in image.there:
                assert proven == {0: SIZE}, f"{key} was promised"
                assert version == image.there[key]
            assert version is None or version >= image.least.get(key, 0), f"{key} has come back"
            record = volume.lookup(name(volume, key))
            assert record is None or not record.flags & Flag.STALE
        assert volume.new_generation() > image.generations
        assert volume.reserve(10).pack > image.packs
    finally:
        volume.close(clean=False)
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("names", "files"),
    [(False, None), (True, None), (True, ".journal"), (True, "purges")],
    ids=["what it was told", "and all names", "and all of journals", "and all of the purges"],
)
def test_whenever_power_fails_what_was_promised_is_there(tmp_path: Path, names: bool, files: str | None) -> None:
    disk = VolatileDisk(tmp_path / "c", names_at_once=names, bytes_at_once=files)
    story = Story(tmp_path / "c", disk)
    tell(story)
    disk.lasted = lambda: None
    assert story.moved > 0
    story.volume.close(clean=False)
    for number, image in enumerate(story.images):
        try:
            is_kept(image, tmp_path / "image")
        except AssertionError as error:
            raise AssertionError(f"image {number}: {error}") from error
    assert len(story.images) > 40
    assert sum(len(image.there) for image in story.images) > 400


def numbers(directory: Path, raw: bytes) -> tuple[int, int]:
    """What a counter with such a file says: the next pack, and the limit of generations."""
    path = directory / "left"
    path.write_bytes(raw)
    counter = Counter(Disk(), path, readonly=True)
    counter.close()
    return counter.next_pack, counter.generation_limit


def test_a_number_lasts_before_it_is_handed_out_and_a_write_that_is_torn_costs_none(tmp_path: Path) -> None:
    disk, path = VolatileDisk(tmp_path), Path("counter")
    counter = Counter(disk, tmp_path / path)
    for _ in range(5):
        before = (tmp_path / path).read_bytes()
        pack = counter.take_pack()
        lasting = disk.lasting()[path]
        assert numbers(tmp_path, lasting)[0] == pack + 1
        torn = bytes(byte if before[at : at + 1] == bytes((byte,)) else 0xFF for at, byte in enumerate(lasting))
        assert numbers(tmp_path, torn)[0] == pack
        first = counter.raise_limit()
        assert numbers(tmp_path, disk.lasting()[path])[1] > first
    counter.close()
