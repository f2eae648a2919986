"""The tables of an index: their names, the bytes of their keys, and the environment they lie in (DESIGN section 9)."""

import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import lmdb

DATA: Final = "data.mdb"  # LMDB's file of it, in the index's directory
TABLES: Final = (b"names", b"extents", b"places", b"keys", b"tags", b"meta")
# An index of another format is rebuilt; 1 had no side table by key, 2 no checksums of its own, 3 none of extents' keys.
FORMAT: Final = 4
WHOLE: Final = b"whole-"  # and a pack's number, in table `meta`
NEXT_GENERATION: Final = b"next-generation"  # in table `meta`: what the counter's file says as well, and may lose
NEXT_PACK: Final = b"next-pack"
VOLUME: Final = b"volume"  # in table `meta`: the uuid of the volume whose packs it is about, as a number
UNFINISHED: Final = b"unfinished"  # in table `meta` for as long as something is missing
UNREAD: Final = b"unread-"  # and a pack's number: the disk has not given its journal when this index was made
HALF_GONE: Final = b"half-gone"  # in table `meta`: a pack, of whose objects some are forgotten that its journal has
MAX_READERS: Final = 512
KEY_CUT: Final = 400  # an LMDB key has at most 511 bytes
EXTENT_KEY: Final = struct.Struct(">QQ")
PLACE_KEY: Final = struct.Struct(">IQ")
PLACE: Final = struct.Struct("<16sQQI")


# What LMDB, or a row that has not its length, says of pages that make no index. Others: of the disk, or a full map.
NO_INDEX: Final = (
    lmdb.BadDbiError,
    lmdb.BadTxnError,
    lmdb.BadValsizeError,
    lmdb.CorruptedError,
    lmdb.CursorFullError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.InvalidParameterError,
    lmdb.PageFullError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.ProblemError,
    lmdb.VersionMismatchError,
    struct.error,
)


class Side(StrEnum):
    """The tables by which a purge finds its objects; each row ends with a name."""

    KEYS = "keys"  # cache key cut to 400 bytes, 0, name
    TAGS = "tags"  # digest of a tag, name


def tag_row(tag: bytes) -> bytes:
    """How a tag is called in the side table: all of one length, so that no tag's rows lie among another's."""
    return hashlib.blake2b(tag, digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Placed:
    """What lies at a place of a pack."""

    pack: int
    offset: int
    name: bytes
    generation: int
    start: int
    length: int


def extent_key(generation: int, start: int) -> bytes:
    return EXTENT_KEY.pack(generation, start)


def behind(before: bytes, key: bytes) -> bytes:
    """The key, which has to stand behind that one: pages that name each other would have us read for ever."""
    if key <= before:
        raise lmdb.CorruptedError("rows are out of order")
    return key


def in_order(rows: Iterable[tuple[bytes, bytes]], before: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """The rows, as long as they are. lmdb.CorruptedError: they are not."""
    for key, value in rows:
        before = behind(before, key)
        yield key, value


def open_environment(path: Path, map_bytes: int, *, readonly: bool) -> Any:
    """An LMDB environment without sync: a commit is visible at once and survives kill -9 (not power loss)."""
    return lmdb.open(
        str(path),
        map_size=map_bytes,
        max_dbs=16,
        max_readers=MAX_READERS,
        readonly=readonly,
        sync=False,
        metasync=False,
        readahead=False,
        create=not readonly,
    )


def last_transaction(env: Any) -> int:
    """The number of the last one that was committed; it only ever grows."""
    return int(env.info()["last_txnid"])


@dataclass(frozen=True, slots=True)
class Tables:
    """An open environment and what lies in it."""

    env: Any
    found_transaction: int  # the last one before it was opened
    names: Any
    extents: Any
    places: Any
    keys: Any
    tags: Any
    meta: Any

    @classmethod
    def open(
        cls, path: Path, map_bytes: int, *, readonly: bool = False, mapped: Callable[[], None] | None = None
    ) -> "Tables":
        """`mapped` is called before a page is looked at."""
        env = open_environment(path, map_bytes, readonly=readonly)
        if mapped is not None:
            mapped()
        found = last_transaction(env)
        return cls(env, found, *(env.open_db(table, create=not readonly) for table in TABLES))

    def pages(self, txn: Any) -> int:
        """Pages that hold something, without those that are free; costs a look at each table's own record."""
        total = 0
        for table in (None, self.names, self.extents, self.places, self.keys, self.tags, self.meta):
            stat = txn.stat(table) if table is not None else self.env.stat()
            total += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(total)
