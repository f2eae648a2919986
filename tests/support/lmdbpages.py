"""Pages of an LMDB file by what they are, so that a test can put one where another should be."""

import struct
from pathlib import Path

PAGE = 4096
BRANCH, LEAF = 1, 2
HEADER_BYTES = 16
NONE = 0xFFFF_FFFF_FFFF_FFFF
_META, _DB = HEADER_BYTES + 24, 48  # where a meta page has its two roots, and how long such a record is


def pages_of(raw: bytes, table: bytes) -> tuple[list[int], list[int]]:
    """Where the branches and the leaves of a table begin, the latter in the order of their keys."""
    branches: list[int] = []
    leaves: list[int] = []
    _gather(raw, _root(raw, table), branches, leaves)
    return branches, leaves


def copy_page(path: Path, source: int, to: int) -> None:
    """One page lies where another should."""
    with path.open("r+b") as file:
        file.seek(source)
        page = file.read(PAGE)
        file.seek(to)
        file.write(page)


def _root(raw: bytes, table: bytes) -> int:
    newest = max((0, PAGE), key=lambda at: struct.unpack_from("<Q", raw, at + _META + 2 * _DB + 8)[0])
    branches: list[int] = []
    leaves: list[int] = []
    _gather(raw, _root_in(raw, newest + _META + _DB), branches, leaves)
    for leaf in leaves:
        for node in _nodes(raw, leaf):
            length = struct.unpack_from("<H", raw, node + 6)[0]
            if raw[node + 8 : node + 8 + length] == table:
                return _root_in(raw, node + 8 + length)
    raise KeyError(table)


def _root_in(raw: bytes, at: int) -> int:
    number: int = struct.unpack_from("<Q", raw, at + _DB - 8)[0]
    return number * PAGE


def _gather(raw: bytes, page: int, branches: list[int], leaves: list[int]) -> None:
    if page == NONE * PAGE:
        return
    if not struct.unpack_from("<H", raw, page + 10)[0] & BRANCH:
        leaves.append(page)
        return
    branches.append(page)
    for node in _nodes(raw, page):
        low, high, more = struct.unpack_from("<HHH", raw, node)
        _gather(raw, (low | high << 16 | more << 32) * PAGE, branches, leaves)


def _nodes(raw: bytes, page: int) -> list[int]:
    count = (struct.unpack_from("<H", raw, page + 12)[0] - HEADER_BYTES) // 2
    return [page + pointer for pointer in struct.unpack_from(f"<{count}H", raw, page + HEADER_BYTES)]
