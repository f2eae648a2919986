"""What a start takes over of the run before: its index, if that is to be trusted; else another one, to be rebuilt.

See DESIGN section 9, "Trust after a start".
"""

import logging
import uuid
from contextlib import suppress
from typing import Final

from edge.errors import FormatUnknown, StoreError
from edge.store.disk import Disk
from edge.store.files import Counter
from edge.store.index import Index
from edge.store.indexes import Indexes
from edge.store.marks import CleanMark
from edge.store.numbers import learn_from_index
from edge.store.packs import Packs
from edge.store.recovery import can_be_read, complete_journals, complete_newest, forget_packs
from edge.store.tables import FORMAT, UNFINISHED, VOLUME

INDEX_PART: Final = 2  # of a volume's size at most; a third is what an object of one page makes it

log = logging.getLogger("edge.store")


class Inheritance:
    """Of one start. `dirty_from`: the first pack that was written since the last clean stop."""

    def __init__(
        self,
        indexes: Indexes,
        packs: Packs,
        disk: Disk,
        volume: uuid.UUID,
        counter: Counter,
        size_bytes: int,
        dirty_from: int,
    ) -> None:
        self._indexes, self._packs, self._disk, self._volume = indexes, packs, disk, volume
        self._counter, self._size_bytes, self._dirty_from = counter, size_bytes, dirty_from
        self.index_is_lost = False  # what the packs hold is not in it yet
        self.index_was_bad = False  # pages of it made no index
        self.tried: set[int] = set()  # packs whose journals the disk has not given to the start before
        self.journals_lost = 0  # of them, it has not given these either

    def __repr__(self) -> str:
        return f"<Inheritance {self._indexes} lost={self.index_is_lost} tried={sorted(self.tried)}>"

    def index(self, mark: CleanMark | None, *, in_memory: bool, distrust: bool) -> Index:
        """The index that the last run left, if it can be trusted; else another one, which is then to be rebuilt.

        `in_memory`: all that the last run has written is still there. `distrust`: its index has proved bad.
        """
        indexes = self._indexes
        indexes.epoch = mark.epoch if mark is not None else 0
        self.index_was_bad = distrust
        if mark is not None and not distrust and indexes.is_there():
            try:
                in_memory = in_memory and (not mark.remembered or indexes.is_remembered())
                if in_memory or mark.clean:
                    index = self._trusted(mark, in_memory=in_memory)
                    indexes.remove(but=index.path)
                    return index
            except Exception as error:  # a damaged LMDB file raises whatever lmdb makes of it: rebuild
                self.index_was_bad = not isinstance(error, FormatUnknown | OSError)
                directory = self._packs.directory.parent
                log.warning("the index of %s is not used: %s: %s", directory, type(error).__name__, error)
                indexes.forget()
        return self._begin_anew()

    def _trusted(self, mark: CleanMark, *, in_memory: bool) -> Index:
        index = self._indexes.open()
        try:
            self._trust(index, mark, in_memory=in_memory)
        except BaseException:
            index.close()
            raise
        return index

    def _trust(self, index: Index, mark: CleanMark, *, in_memory: bool) -> None:
        """Complete the journals from it. FormatUnknown: it is not what the mark says, of another format, or unfinished.

        A clean mark is written when the index is on the disk, and nothing is written to it after that. Where the page
        cache is gone, or the file has been put back, it shows: each transaction has a number.
        """
        found = index.found_transaction
        said = mark.transaction
        if found < said or (not in_memory and (found != said or not mark.clean)):
            raise FormatUnknown(f"an index at transaction {found}, where the mark says {said}")
        if index.meta(VOLUME) not in (0, self._volume.int):  # 0: an earlier program made it
            raise FormatUnknown("an index of another volume's packs")
        self.tried = index.unread_journals() & self._packs.all.keys()
        if index.meta(b"format") != FORMAT or index.meta(UNFINISHED):
            self._leave(index, "an index of another format, or one whose rebuild was cut short")
        if self._indexes.count and index.used_bytes() > self._size_bytes // INDEX_PART:
            self._leave(index, "an index that was made for a larger volume")
        if not mark.clean and index.objects() == 0 and self._packs.hold_something():
            raise FormatUnknown("an index without objects, beside packs that have some")
        if self.tried and can_be_read(self._packs, self._disk, self.tried):
            self._leave(index, "an index without journals that can be read now")
        if self.tried:
            log.error("%d journals cannot be read for the second time: their packs are removed", len(self.tried))
            self.journals_lost = len(self.tried)
            forget_packs(self._packs, index, self.tried)
        learn_from_index(self._counter, index)
        complete_journals(self._packs, index, self._disk, self._volume)
        if not index.meta(VOLUME):
            with suppress(StoreError), index.writing() as txn:  # a full one goes on without it
                txn.set_meta(VOLUME, self._volume.int)

    def _leave(self, index: Index, why: str) -> None:
        """FormatUnknown, once what was kept during a rebuild that was cut short stands in journals."""
        if index.meta(b"format") == FORMAT:
            complete_newest(self._packs, index, self._disk, self._volume, self._dirty_from)
        raise FormatUnknown(why)

    def _begin_anew(self) -> Index:
        index = self._indexes.begin_next()
        try:
            self._fit()
            self.index_is_lost = bool(self._packs.all)
            with index.writing() as txn:
                txn.set_meta(VOLUME, self._volume.int)
                if self.index_is_lost:
                    txn.set_meta(UNFINISHED, 1)
                    for number in self.tried:
                        txn.note_unread(number)
        except BaseException:
            index.close()
            raise
        return index

    def _fit(self) -> None:
        """An index is as large as what its packs hold: of a volume that is configured smaller the oldest packs go now.

        Else it would take all the room there is, and whatever is fetched would leave at once.
        """
        packs, gone = self._packs, 0
        with suppress(OSError):  # the rest is evicted
            for pack in list(packs.all.values()):
                if packs.used_bytes <= self._size_bytes + 2 * packs.size:
                    break
                packs.remove(pack)
                gone += 1
        if gone:
            log.warning("%s has become smaller: its oldest packs (%d) are removed", packs.directory.parent, gone)
