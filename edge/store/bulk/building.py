"""The phases of a build, each shared by all its processes.

  1. journals -> rows, spilled by the first byte of their name
  2. part by part, in the order of the names: the rows are weighed; `names` is appended to, rows of the other tables
     are spilled by where they will lie
  3. part by part, in the order of their keys: the other tables are appended to

Preparing goes on side by side, appending in turns. Of the names, which are hashes, the first part is a fair sample:
by what its rows say the other tables are divided into equal parts.
"""

import gc
import marshal
import os
import select
import time
import traceback
import uuid
from bisect import bisect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.errors import StoreError
from edge.store.bulk.order import Answer, Order
from edge.store.bulk.reading import PARTS, Fact, Reading
from edge.store.bulk.spill import PLAIN, Spill, Spills, remove
from edge.store.bulk.turns import Turns
from edge.store.bulk.weighing import Row, Weighed, weigh
from edge.store.health import is_of_the_disk
from edge.store.purgelog import Purged, read_purges
from edge.store.rebuild import AGAIN_SECONDS, TRIES
from edge.store.tables import EXTENT_KEY, FORMAT, PLACE_KEY, TABLES, UNFINISHED, WHOLE, open_environment

SIDES: Final = (b"places", b"keys", b"tags", b"extents")
VALUE_BYTES: Final = 8  # of a row of `keys` and `tags`
SHARES: Final = (0.4, 0.4, 0.2)  # of the work, by phase

Told = Callable[[float], object]


def build(directory: Path, told: Told, watched: int | None = None) -> None:
    """Do what the order in `directory` says. `told` of progress; `watched`: a descriptor whose end ends this.

    It forks, and must be called in a process without threads. An exception: it has failed.
    """
    order = Order.read(directory)
    gc.disable()  # millions of tuples, no cycles
    turns, pids = Turns.begin(order.processes)
    if turns.at:
        _as_another(lambda: _Build(directory, order, turns, _nobody_is_told, watched).run())
    try:
        _Build(directory, order, turns, told, watched).run()
    except BaseException:
        turns.close()  # who waits for a turn learns of it
        raise
    finally:
        gc.enable()
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
    turns.close()
    if any(ends):
        raise OSError(f"a process of the build ended with {ends}")


def _as_another(run: Callable[[], None]) -> None:
    """The whole life of a process that was forked off."""
    code = 1
    try:
        run()
        code = 0
    except EOFError:  # said by who has failed
        pass
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _nobody_is_told(_share: float) -> None:
    pass


class _Build:
    """One process of it."""

    def __init__(self, directory: Path, order: Order, turns: Turns, told: Told, watched: int | None) -> None:
        self._directory, self._order, self._turns, self._told = directory, order, turns, told
        self._watched = watched
        self._env: Any = None
        self._tables: dict[bytes, Any] = {}
        self._bounds: list[list[bytes]] = []  # of each side table: where its parts begin, but for the first

    def __repr__(self) -> str:
        return f"<Build {self._turns} in {self._directory}>"

    def run(self) -> None:
        sequence, generation, facts = self._read()
        self._write_facts((sequence, generation, [tuple(fact) for fact in facts]))
        self._turns.meet()
        self._open()
        self._append_names()
        self._turns.meet()
        self._append_sides()
        self._turns.meet()
        if not self._turns.at:
            self._finish()
        self._env.close()

    # -- phases ----------------------------------------------------------------------------------

    def _read(self) -> tuple[int, int, list[Fact]]:
        spill, order = Spill(self._path("names", self._turns.at), PARTS), self._order
        reading = Reading(uuid.UUID(order.volume), frozenset(order.packs), spill)
        facts = list[Fact]()
        left = own = order.packs[self._turns.at :: self._turns.count]
        for tries in range(TRIES):
            if tries and left:
                time.sleep(AGAIN_SECONDS)
            unread = []
            for pack in left:
                self._tell(0, len(facts) / len(own))
                raw = self._journal(pack)
                if raw is None:
                    unread.append(pack)
                else:
                    facts.append(reading.take(raw, pack))
            left = unread
        spill.close()
        return reading.sequence, reading.generation, facts + [Fact(pack, 0, 0, False, unread=True) for pack in left]

    def _journal(self, pack: int) -> bytes | None:
        """None: the disk does not give it."""
        try:
            return (Path(self._order.packs_directory) / f"{pack:010d}.journal").read_bytes()
        except FileNotFoundError:  # evicted meanwhile
            return b""
        except OSError as error:
            if not is_of_the_disk(error):
                raise
            return None

    def _append_names(self) -> None:
        spills = Spills(self._paths("names"))
        purged = Purged.of(read_purges(Path(self._order.purges), uuid.UUID(self._order.volume)))
        side = Spill(self._path("side", self._turns.at), len(SIDES) * PARTS)
        for part in self._turns.tasks(PARTS):
            self._tell(1, (part or 0) / PARTS)
            weighed = weigh(spills.rows(part), purged) if part is not None else Weighed()
            with self._turns.own():
                self._append(b"names", weighed.names)
                if part == 0:
                    self._divide(weighed)
            self._spill(weighed, side)
        side.close()
        spills.close()

    def _append_sides(self) -> None:
        spills = Spills(self._paths("side"))
        for task in self._turns.tasks(len(SIDES) * PARTS):
            self._tell(2, (task or 0) / (len(SIDES) * PARTS))
            rows = spills.rows(task) if task is not None else []
            rows.sort()
            table = SIDES[(task or 0) // PARTS]
            split = _SPLIT[table](rows)
            with self._turns.own():
                self._append(table, split)
        spills.close()

    def _finish(self) -> None:
        facts: list[Fact] = []
        sequence = generation = 0
        for path in self._paths("facts"):
            highest, newest, said = marshal.loads(path.read_bytes())
            sequence, generation = max(sequence, highest), max(generation, newest)
            facts += [Fact(*fact) for fact in said]
        with self._env.begin(write=True, db=self._tables[b"meta"]) as txn:
            for fact in facts:
                if fact.whole:
                    txn.put(WHOLE + b"%d" % fact.pack, b"%d" % fact.row)
        Answer(sequence, generation, list(facts)).write(self._directory)
        for at in range(self._turns.count):
            remove(self._path("names", at))
            remove(self._path("side", at))

    # -- parts of them ---------------------------------------------------------------------------

    def _open(self) -> None:
        with self._turns.own():
            self._env = open_environment(self._directory, self._order.map_bytes, readonly=False)
            self._tables = {table: self._env.open_db(table) for table in TABLES}
            if not self._turns.at:
                with self._env.begin(write=True, db=self._tables[b"meta"]) as txn:
                    txn.put(b"format", b"%d" % FORMAT)
                    txn.put(UNFINISHED, b"1")

    def _append(self, table: bytes, rows: list[Row]) -> None:
        if rows:
            with self._env.begin(write=True) as txn, txn.cursor(db=self._tables[table]) as cursor:
                _, added = cursor.putmulti(rows, append=True)
                if added < len(rows):  # a row that is not behind the last one is left out in silence
                    raise StoreError(f"rows of {table.decode()} are out of order")

    def _divide(self, sample: Weighed) -> None:
        """Say how the other tables are divided; everybody reads it after his first turn."""
        bounds = []
        for rows in _sides(sample):
            rows.sort()
            bounds.append([rows[at * len(rows) // PARTS] for at in range(1, PARTS)] if rows else [])
        self._path("bounds", 0).write_bytes(marshal.dumps(bounds, PLAIN))

    def _spill(self, weighed: Weighed, side: Spill) -> None:
        if not self._bounds:
            self._bounds = marshal.loads(self._path("bounds", 0).read_bytes())
        held = 0
        for number, (rows, bounds) in enumerate(zip(_sides(weighed), self._bounds, strict=True)):
            parts = side.parts[number * PARTS : (number + 1) * PARTS]
            for row in rows:
                parts[bisect(bounds, row)].append(row)
            held += sum(map(len, rows))
        side.held(held)

    def _write_facts(self, said: Any) -> None:
        self._path("facts", self._turns.at).write_bytes(marshal.dumps(said, PLAIN))

    def _path(self, called: str, at: int) -> Path:
        return self._directory / f"{called}-{at}"

    def _paths(self, called: str) -> list[Path]:
        return [self._path(called, at) for at in range(self._turns.count)]

    def _tell(self, phase: int, share: float) -> None:
        if self._watched is not None and select.select([self._watched], [], [], 0)[0]:
            raise EOFError("the keeper has gone")
        self._told(sum(SHARES[:phase]) + SHARES[phase] * share)


def _sides(weighed: Weighed) -> tuple[list[bytes], ...]:
    """In the order of SIDES."""
    return weighed.places, weighed.keys, weighed.tags, weighed.extents


def _split_after(length: int) -> Callable[[list[bytes]], list[Row]]:
    def split(rows: list[bytes]) -> list[Row]:
        return [(row[:length], row[length:]) for row in rows]

    return split


_SPLIT: Final = {
    b"places": _split_after(PLACE_KEY.size),
    b"keys": _split_after(-VALUE_BYTES),
    b"tags": _split_after(-VALUE_BYTES),
    b"extents": _split_after(EXTENT_KEY.size),
}
