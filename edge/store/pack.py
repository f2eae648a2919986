"""A pack as its keeper has it, and what is handed out of it (DESIGN D3)."""

from dataclasses import dataclass
from typing import Final

from edge.store.eviction import Row
from edge.store.journal import Entry, row_of
from edge.words import GIB, MIB

ALIGN: Final = 4096  # extents start on a page, so that residency is asked for whole pages of one extent
EXTENT_LIMIT: Final = 16 * MIB


@dataclass(frozen=True, slots=True)
class Reservation:
    """Space in a pack that nobody else will ever get."""

    pack: int
    offset: int
    length: int


def row_in(journal: bytes) -> Row:
    """The row that a journal's header names."""
    return Row.KEPT if row_of(journal) == Row.KEPT else Row.NEW


def pack_size_for(volume_bytes: int) -> int:
    """clamp(volume / 64, 4 MiB, 1 GiB), whole pages (DESIGN D3)."""
    size = min(max(volume_bytes // 64, 4 * MIB), GIB)
    return size - size % ALIGN


class Pack:
    """One pack and its journal. `used` counts what was handed out, also to fills that failed later."""

    __slots__ = (
        "fd", "journal_at", "journal_dirty", "journal_fd", "journal_lacks", "journal_whole", "number",
        "open_reservations", "row", "sealed", "size", "synced", "used", "waiting",
    )  # fmt: skip

    def __init__(self, number: int, size: int, used: int, row: Row = Row.NEW) -> None:
        self.number = number
        self.size = size
        self.used = used
        self.row = row
        self.fd = -1
        self.journal_fd = -1
        self.journal_at = 0
        self.journal_dirty = False  # appended to since its last fdatasync
        self.journal_whole = False  # found so at the start
        self.journal_lacks = False  # entries that could not be written
        self.sealed = False
        self.open_reservations = 0
        self.synced = 0
        self.waiting: list[Entry] = []

    def __repr__(self) -> str:
        return f"<Pack {self.number} used={self.used} of {self.size} sealed={self.sealed}>"
