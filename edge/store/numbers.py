"""The numbers by which a volume tells older from newer: generations of objects, sequence of what is done to them."""

import logging
import uuid
from contextlib import suppress
from typing import Final

from edge.errors import FormatUnknown, StoreError
from edge.store import files
from edge.store.disk import Disk
from edge.store.index import Index
from edge.store.journal import HEADER_BYTES, is_of
from edge.store.marks import CleanMark
from edge.store.packs import Packs
from edge.store.recovery import read_whole
from edge.store.renewal import newest
from edge.store.stretch import Stretch
from edge.store.tables import NEXT_GENERATION, NEXT_PACK
from edge.store.writing import Writing

LOST_GENERATIONS: Final = 1 << 32  # more than a run hands out

log = logging.getLogger("edge.store")


def learn_numbers(counter: files.Counter, packs: Packs, disk: Disk, volume: uuid.UUID, last: CleanMark | None) -> None:
    """What the counter does not know, since its file was lost, damaged, or is older than what lies here.

    A number is taken before there is a pack of it, so a counter that has not got beyond the newest is not the newest.
    Generations have then been handed out of which it knows nothing: the mark knows those of runs before, the newest
    journals those of the last one, but for few.
    """
    newest_pack = max(packs.all, default=0)
    if newest_pack < counter.next_pack:
        return
    log.warning("the counter of %s is lost, or older than its packs", packs.directory.parent)
    generation = max(counter.generation_limit, last.generation if last is not None else 0)
    for number in newest(packs):
        generation = max(generation, _newest_generation(packs, disk, volume, number))
    next_pack = max(newest_pack + 1, last.next_pack if last is not None else 0)
    counter.at_least(next_pack, generation + LOST_GENERATIONS)


def _newest_generation(packs: Packs, disk: Disk, volume: uuid.UUID, number: int) -> int:
    stretch = Stretch()
    with suppress(OSError, FormatUnknown):
        raw = read_whole(disk, packs, number)
        if is_of(raw, number, volume):
            stretch.take(raw, HEADER_BYTES, number, len(raw), lambda _: None)
    return stretch.newest_generation()


def learn_from_index(counter: files.Counter, index: Index) -> None:
    """What an index that is trusted says of them (`Numbers.note`)."""
    said = index.counters()
    counter.at_least(said.get(NEXT_PACK, 0), said.get(NEXT_GENERATION, 1) - 1)


def newest_sequence(first_generation: int) -> int:
    """None that was used before the first generation of a run is higher, whether the index is there or lost."""
    return first_generation << 16


class Numbers:
    """Both only ever grow, over all runs: the counter's file says how far, and beside it the index, if one is lost."""

    def __init__(self, counter: files.Counter, first_generation: int, last_sequence: int) -> None:
        self._counter = counter
        self.generation = first_generation  # the next one
        self.sequence = max(last_sequence + files.GENERATION_STEP, newest_sequence(first_generation))

    def __repr__(self) -> str:
        return f"<Numbers generation={self.generation} sequence={self.sequence}>"

    def new_generation(self) -> int:
        """Never re-used: a durable limit moves ahead of what is handed out. May be called from the loop's thread."""
        generation = self.generation
        self.generation += 1
        if generation >= self._counter.generation_limit:
            raise StoreError("no generation is left below the durable limit")
        return generation

    def keep(self) -> None:
        """Move the durable limit on while there is plenty left (store thread: it waits for the disk)."""
        if self.generation + files.GENERATION_STEP // 2 > self._counter.generation_limit:
            self._counter.at_least(0, self.generation + files.GENERATION_STEP)

    def note(self, txn: Writing) -> None:
        """Write down what has been handed out, with what it was used for."""
        txn.set_meta(b"sequence", self.sequence)
        txn.set_meta(NEXT_GENERATION, self.generation)
        txn.set_meta(NEXT_PACK, self._counter.next_pack)

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def go_beyond(self, sequence: int, generation: int) -> None:
        """Journals have told of more than was known."""
        self.sequence = max(self.sequence, sequence + files.GENERATION_STEP)
        self.generation = max(self.generation, generation + 1)
