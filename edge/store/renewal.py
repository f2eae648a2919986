"""A large index, lost and renewed while the volume serves (DESIGN D4, section 9, "Trust after a start").

  1. the journals of the newest packs are read at once, step by step: what was wanted last is there after a second
  2. beside that a builder, in processes of its own, makes another index of all journals
  3. what has happened meanwhile is brought into that one, step by step; then it takes the place of the first

If the builder fails the other journals are read step by step as well, which takes some ten times as long.
"""

import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from edge.store.bulk.builder import Builder
from edge.store.bulk.order import Answer
from edge.store.bulk.reading import Fact, FactFields
from edge.store.catchup import CatchUp, Meanwhile
from edge.store.eviction import Row
from edge.store.index import Index
from edge.store.live import LiveTable
from edge.store.packs import Packs
from edge.store.purgelog import PurgeLog
from edge.store.rebuild import Rebuild
from edge.words import MIB

NEWEST_BYTES: Final = 16 * MIB  # of journals, some 40,000 objects: what is no more than that needs no builder
CAUGHT_UP: Final = 0.05  # of the progress: what comes after the builder
FACTS: Final = 5000  # learnt in a step: some 10 ms

log = logging.getLogger("edge.store")


def newest(packs: Packs) -> list[int]:
    """The packs whose journals are to be read at once."""
    found: list[int] = []
    left = NEWEST_BYTES
    for number in sorted(packs.all, reverse=True):
        try:
            left -= packs.journal_path(number).stat().st_size
        except OSError:
            pass
        if left < 0 and found:
            break
        found.append(number)
    return found


class Renewal:
    """`step` until it returns False. `place` gives a builder's directory its lasting name and opens it; `adopt` makes
    that index the volume's."""

    def __init__(
        self,
        index: Index,
        packs: Packs,
        live: LiveTable,
        purges: PurgeLog,
        step_by_step: Rebuild,
        builder: Builder,
        place: Callable[[Path], Index],
        adopt: Callable[[Index], None],
        tried: Collection[int] = (),
    ) -> None:
        self._index, self._packs, self._live, self._purges = index, packs, live, purges
        self._rebuild, self._place, self._adopt = step_by_step, place, adopt
        self._front = frozenset(step_by_step.left)
        self._all = frozenset(packs.all)
        self._at_front = True
        self._meanwhile = Meanwhile(self._all, purges.newest)
        index.touched = self._meanwhile.touched
        self._builder: Builder | None = builder
        self._new: Index | None = None
        self._catch_up: CatchUp | None = None
        self._facts: list[FactFields] = []
        self._tried, self._unread = tried, set[int]()  # packs: in vain by the start before; by the builder
        self._damaged = self._disk_errors = 0
        self._sequence = self._generation = 0

    def __repr__(self) -> str:
        return f"<Renewal {self._builder or self._rebuild} {self._meanwhile}>"

    @property
    def progress(self) -> float:
        return self._rebuild.progress if self._builder is None else self._builder.progress * (1 - CAUGHT_UP)

    @property
    def waits(self) -> bool:
        """Is there nothing to be done here for now?"""
        return self._builder is not None and self._new is None and not self._at_front

    @property
    def sequence(self) -> int:
        return max(self._sequence, self._rebuild.sequence)

    @property
    def generation(self) -> int:
        return max(self._generation, self._rebuild.generation)

    def take_damaged(self) -> int:
        """Journals found not to be whole since the last call."""
        taken, self._damaged = self._damaged, 0
        return taken + self._rebuild.take_damaged()

    def take_disk_errors(self) -> int:
        """As `Rebuild.take_disk_errors`."""
        taken, self._disk_errors = self._disk_errors, 0
        return taken + self._rebuild.take_disk_errors()

    def forget(self, name: bytes, sequence: int) -> None:
        """As `Rebuild.forget`."""
        self._rebuild.forget(name, sequence)
        self._meanwhile.deleted[name] = sequence
        self._meanwhile.touched.add(name)

    def drop(self, pack: int, offset: int) -> None:
        """As `Rebuild.drop`."""
        self._rebuild.drop(pack, offset)
        self._meanwhile.dropped.add((pack, offset))

    def step(self) -> bool:
        """A bounded step; False when nothing is left."""
        if self._builder is None:
            return self._rebuild.step()
        if self._at_front:
            self._at_front = self._rebuild.step()
            return True
        try:
            return self._step_behind(self._builder)
        except Exception as error:  # whatever it is, there is another way
            self._give_up(error)
            return True

    def _step_behind(self, builder: Builder) -> bool:
        if self._catch_up is None or self._new is None:
            answer = builder.poll()
            if answer is not None:
                self._begin_to_catch_up(builder, answer)
            return True
        if self._facts:
            self._learn()
            return True
        if self._catch_up.step():
            return True
        unread = self._unread & self._packs.all.keys()
        self._catch_up.finish(unread.difference(self._tried))
        self._damaged += len(unread.intersection(self._tried))
        self._index.touched = None
        builder.close()
        self._adopt(self._new)
        return False

    def _begin_to_catch_up(self, builder: Builder, answer: Answer) -> None:
        self._facts = answer.facts
        self._sequence, self._generation = answer.sequence, answer.generation
        self._new = self._place(builder.directory)
        self._catch_up = CatchUp(self._index, self._new, self._packs, self._live, self._purges, self._meanwhile)

    def _learn(self) -> None:
        """What journals say of their packs, but of those that were read here."""
        facts, self._facts = self._facts[:FACTS], self._facts[FACTS:]
        for fact in (Fact(*fields) for fields in facts):
            if fact.unread:
                self._disk_errors += not self._unread
                self._unread.add(fact.pack)
                continue
            pack = self._packs.all.get(fact.pack)
            if pack is not None and fact.pack not in self._front:
                pack.row = Row.KEPT if fact.row == Row.KEPT else Row.NEW
                self._packs.holds_up_to(pack, fact.used)
                self._damaged += not fact.whole

    def _give_up(self, error: Exception) -> None:
        log.warning("the index is rebuilt step by step: %s: %s", type(error).__name__, error)
        self.close()
        self._rebuild.add(self._all - self._front)

    def close(self) -> None:
        """End what is under way."""
        self._index.touched = None
        if self._new is not None and self._new.path != self._index.path:
            self._new.close()
            shutil.rmtree(self._new.path, ignore_errors=True)
        if self._builder is not None:
            self._builder.close()
        self._builder = self._new = self._catch_up = None
