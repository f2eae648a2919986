"""What a cache directory holds, also while it is being served: reads only, takes no lock."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.files import FORMAT, Counter, read_mark
from edge.store.record import decode_stored

BATCH = 10_000


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
    mark = read_mark(directory / "clean")
    epoch = mark.epoch if mark is not None else 0
    counter = Counter(Disk(), directory / "counter")
    generation = counter.generation_limit
    counter.close()
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


def _count(path: Path) -> tuple[int, int, dict[str, int]]:
    """Objects, bytes and objects by kind; in batches, so that no long transaction keeps old pages alive."""
    try:
        env = lmdb.open(str(path), readonly=True, create=False, max_dbs=16, max_readers=512)
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
            kind = record.kind.value if record is not None else "damaged"
            kinds[kind] = kinds.get(kind, 0) + 1
        stored = sum(int.from_bytes(raw[-4:], "little") for _, raw in _rows(env, places))
    finally:
        env.close()
    return objects, stored, kinds


def _rows(env: Any, table: Any) -> Any:
    after = b""
    while True:
        with env.begin(db=table) as txn, txn.cursor() as cursor:
            batch = []
            if cursor.set_range(after + b"\0" if after else b"\0"):
                for row in cursor:
                    batch.append(row)
                    if len(batch) >= BATCH:
                        break
        yield from batch
        if len(batch) < BATCH:
            return
        after = batch[-1][0]
