"""Pages of an index that are not in memory: a look-up that would wait for the disk is first done in a thread (D7).

LMDB reads through a mapping: a page that is not there is read in the middle of the look-up, by whoever looks. While
all of an index is in memory nobody asks any further. Else each name is walked to in a thread before the loop looks it
up, and for a while after that it is known to be there, since a page that was just used is not the first to go.
"""

import asyncio
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from edge.clock import Clock
from edge.store.looking import NoIndex, ReadIndex
from edge.store.residency import PAGE, Residency

WHOLE: Final = 0.999  # of the pages: a budget's p99 has room for one look-up in a thousand
LOOK_SECONDS: Final = 2.0  # between two looks; for an index of 5 GB one takes some 10 ms, in a thread
USED_SECONDS: Final = 10.0
USED_MOST: Final = 50_000  # names
THREADS: Final = 4  # as many page faults at a time: a disk that turns orders them


class Presence:
    """Of one index that is open; used from the loop. `whole`: no look-up waits for the disk."""

    def __init__(self, index: ReadIndex | NoIndex, clock: Clock, *, whole: bool = False) -> None:
        self._index, self._clock = index, clock
        self._residency = Residency()  # of its own: it is asked in a thread
        self._pool = ThreadPoolExecutor(THREADS, "index")
        self._used: OrderedDict[bytes, float] = OrderedDict()
        self._looked, self._looking = clock.monotonic(), False
        self.whole = whole or self._is_whole()

    def __repr__(self) -> str:
        return f"<Presence whole={self.whole} used={len(self._used)}>"

    def has(self, name: bytes) -> bool:
        """Has this name been walked to, or looked up after this, a moment ago?"""
        used, now = self._used.get(name), self._clock.monotonic()
        if used is None or now - used >= USED_SECONDS:
            return False
        self._used[name] = now
        return True

    async def bring(self, name: bytes) -> None:
        """Have the pages read that looking a name up needs, and those of its extents."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._index.walk, name)
        self._used[name] = self._clock.monotonic()
        self._used.move_to_end(name)
        if len(self._used) > USED_MOST:
            self._used.popitem(last=False)

    @property
    def due(self) -> bool:
        """Is it time to look again?"""
        return not self._looking and self._clock.monotonic() - self._looked >= LOOK_SECONDS

    async def look(self) -> None:
        """Ask the kernel whether all of it is there."""
        self._looking = True
        try:
            self.whole = await asyncio.get_running_loop().run_in_executor(self._pool, self._is_whole)
        finally:
            self._looking, self._looked = False, self._clock.monotonic()
        if self.whole:
            self._used.clear()

    def _is_whole(self) -> bool:
        used = self._index.used_bytes()
        if not used:  # there is nothing to wait for
            return True
        try:
            fd = os.open(self._index.data, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # it has been replaced by another one
            return False
        try:
            return self._residency.cached(fd, 0, used) >= WHOLE * used / PAGE
        finally:
            os.close(fd)

    def close(self) -> None:
        """Who waits is told nothing: his walk comes to nothing, and what he looks up then is another index."""
        self._index.close()  # what waits for a thread ends at once after that: cancelled, it would end who asked for it
        self._pool.shutdown(wait=False)
