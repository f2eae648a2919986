"""What a cache directory holds, also while it is being served: reads only, takes no lock."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.doubts import Doubts
from edge.store.files import FORMAT, Counter
from edge.store.index import Index
from edge.store.journal import SealedEntry, read_journal
from edge.store.marks import MARK, read_mark
from edge.store.record import decode_stored
from edge.store.scrub import Inspector
from edge.store.tables import in_order

BATCH = 10_000
DAMAGED = "damaged"
MAP_AS_IT_IS = 0  # a reader's map is as large as the writer has made it


@dataclass(frozen=True, slots=True)
class Inspection:
    """`bytes_stored` = bodies that the index knows, `bytes_on_disk` = blocks of all packs."""

    directory: str
    volume: str
    objects: int
    bytes_stored: int
    bytes_on_disk: int
    packs: int
    generation: int
    epoch: int
    clean: bool
    kinds: dict[str, int]


def inspect_directory(directory: Path, index_dir: Path | None = None) -> Inspection:
    """FormatUnknown: not a cache of this version. StoreError: the index cannot be read now."""
    try:
        said = json.loads((directory / "volume.json").read_text())
    except (OSError, ValueError) as error:
        raise FormatUnknown(f"{directory} is not a cache directory (no readable volume.json)") from error
    if said.get("format") != FORMAT:
        raise FormatUnknown(f"{directory} has format {said.get('format')}, this program reads {FORMAT}")
    packs = list((directory / "packs").glob("*.pack"))
    mark = read_mark(directory / MARK)
    epoch = mark.epoch if mark is not None else 0
    generation = _generation(directory / "counter")
    objects, stored, kinds = _count((index_dir or directory) / f"index-{epoch}")
    return Inspection(
        directory=str(directory),
        volume=said["volume"],
        objects=objects,
        bytes_stored=stored,
        bytes_on_disk=sum(pack.stat().st_blocks * 512 for pack in packs),
        packs=len(packs),
        generation=generation,
        epoch=epoch,
        clean=mark is not None and mark.clean,
        kinds=kinds,
    )


def _generation(path: Path) -> int:
    """The durable limit; 0 where its file is lost."""
    try:
        counter = Counter(Disk(), path, readonly=True)
    except FileNotFoundError:
        return 0
    try:
        return counter.generation_limit
    finally:
        counter.close()


def _count(path: Path) -> tuple[int, int, dict[str, int]]:
    """Objects, bytes and objects by kind; in batches, so that no long transaction keeps old pages alive."""
    try:
        env = lmdb.open(
            str(path), map_size=MAP_AS_IT_IS, readonly=True, create=False, max_dbs=16, max_readers=512
        )  # a map of its own would end where the index ends now, and that may be served and grow
    except lmdb.Error as error:
        raise StoreError(f"the index {path} cannot be read: {error}") from error
    objects = 0
    kinds: dict[str, int] = {}
    try:
        names = env.open_db(b"names", create=False)
        places = env.open_db(b"places", create=False)
        for _, raw in _rows(env, names):
            objects += 1
            record = decode_stored(raw)
            kind = record.kind.value if record is not None else DAMAGED
            kinds[kind] = kinds.get(kind, 0) + 1
        stored = sum(int.from_bytes(raw[-4:], "little") for _, raw in _rows(env, places))
    except lmdb.Error as error:
        raise StoreError(f"the index {path} is damaged: {error}") from error
    finally:
        env.close()
    return objects, stored, kinds


def _rows(env: Any, table: Any) -> Any:
    after = b""
    while True:
        with env.begin(db=table) as txn, txn.cursor() as cursor:
            batch = []
            if cursor.set_range(after + b"\0" if after else b"\0"):
                for row in in_order(cursor, after):
                    batch.append(row)
                    if len(batch) >= BATCH:
                        break
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1][0]


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify_directory` has read, and what is wrong with it, a line each."""

    extents: int
    bytes_read: int
    bad: tuple[str, ...]


def verify_directory(directory: Path, index_dir: Path | None = None) -> Verified:
    """Read all that the index knows, and all journals, and compare checksums; also while the cache is served.

    FormatUnknown, StoreError: as `inspect_directory`.
    """
    said = inspect_directory(directory, index_dir)
    disk, bad, extents, read = Disk(), list[str](), 0, 0
    index = Index((index_dir or directory) / f"index-{said.epoch}", MAP_AS_IT_IS, readonly=True)
    inspector = Inspector(directory, index, disk, Doubts())
    try:
        if said.kinds.get(DAMAGED):
            bad.append(f"index: {said.kinds[DAMAGED]} damaged records")
        packs = directory / "packs"
        for number in sorted({int(path.stem) for path in packs.glob("*.pack")}.union(index.packs())):
            offset = -1
            bad.extend(_journal_faults(packs / f"{number:010d}.journal", number, uuid.UUID(said.volume)))
            while placed := index.placed(number, offset):
                for place in placed:
                    found = inspector.look(place)
                    if found is not None:
                        bad.append(str(found))
                    extents, read = extents + 1, read + place.length
                offset = placed[-1].offset
    finally:
        inspector.close()
        index.close()
    return Verified(extents, read, tuple(bad))


def _journal_faults(path: Path, number: int, volume: uuid.UUID) -> list[str]:
    """Bad entries, but for an end that is just being written: a journal without its last entry may have that."""
    places: list[int] = []
    try:
        raw = path.read_bytes()
        entries = list(read_journal(raw, number, volume, places.append))
    except FileNotFoundError:
        return [] if not path.with_suffix(".pack").exists() else [f"journal of pack {number}: is missing"]
    sealed = bool(entries) and isinstance(entries[-1], SealedEntry)
    if not sealed and places and _is_end(raw, places[-1], number, volume):
        places.pop()
    return [f"journal of pack {number}: a bad entry at {place}" for place in places]


def _is_end(raw: bytes, place: int, number: int, volume: uuid.UUID) -> bool:
    """Does nothing good follow it?"""
    before = len(list(read_journal(raw[:place], number, volume)))
    return before == len(list(read_journal(raw, number, volume)))
