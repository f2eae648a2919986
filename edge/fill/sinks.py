"""Where a run's bytes go: into a pack, into memory, or through scratch.

A sink is fed in order by one run. It makes pieces, tells the flight when they grow, holds the run back when
its way out is full, and at the end says what was kept. Nothing is announced before it can be sent.
"""

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from edge.errors import StoreError
from edge.fill.flight import Flight
from edge.fill.pieces import InlinePiece, PackPiece, Piece, ScratchPiece
from edge.fill.settings import FillSettings
from edge.fill.sums import Summing
from edge.store.pack import Reservation
from edge.store.record import Extent
from edge.store.thread import StoreThread


class Sink(Protocol):
    """Fed in order; `put` waits while the way out is full."""

    async def put(self, data: bytes) -> None: ...

    async def finish(self) -> None:
        """All bytes have been put: wait until they are written."""


Whose = tuple[bytes, bytes]  # name and key of the object: how much it is wanted decides where it is written


class Audience(Protocol):
    """Whom a pack sink tells what can be sent: the flight, or nobody."""

    slice_size: int

    def first_of(self, start: int, end: int) -> tuple[int, int] | None: ...

    def add_piece(self, piece: Piece) -> None: ...

    def grew(self, piece: Piece) -> None: ...

    def forget(self, piece: Piece) -> None: ...

    def announce(self) -> None: ...


class Unheard:
    """The audience of a body that its readers have already."""

    def __init__(self, slice_size: int) -> None:
        self.slice_size = slice_size

    def first_of(self, start: int, end: int) -> tuple[int, int] | None:
        return None

    def add_piece(self, piece: Piece) -> None:
        pass

    def grew(self, piece: Piece) -> None:
        pass

    def forget(self, piece: Piece) -> None:
        pass

    def announce(self) -> None:
        pass


class MemorySink:
    """Small bodies: kept whole in memory, told to readers inline, committed or dropped at the end."""

    def __init__(self, flight: Flight, start: int = 0) -> None:
        self._flight = flight
        self._position = start
        self._chunks: list[bytes] = []
        self.size = 0

    def body(self) -> bytes:
        return b"".join(self._chunks)

    async def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self.size += len(data)
        limit = self._flight.settings.inline_limit
        for at in range(0, len(data), limit):
            piece = InlinePiece(self._position, data[at : at + limit])
            self._position += piece.length
            self._flight.add_piece(piece)
            self._flight.grew(piece)

    async def finish(self) -> None:
        self._flight.announce()


def _failed(done: "asyncio.Future[Reservation]") -> bool:
    return done.cancelled() or done.exception() is not None


class PackSink:
    """Bytes go into reserved extents, written by the store's thread; a piece grows when `pwrite` has returned.

    First bytes do not wait for that: a player's picture does. They ride in a message, beside being written.
    """

    def __init__(
        self, flight: Audience, store: StoreThread, start: int, end: int | None, whose: Whose, *, inline: int = 0
    ) -> None:
        """`inline`: bytes at most that are told in a message, if somebody waits for them when they come."""
        self._flight = flight
        self._inline = inline
        self._first: InlinePiece | None = None  # until the same bytes can be sent from the pack
        self._whose = whose
        self._store = store
        self._position = start
        self._end = end
        self._step = 1 << 20  # the next reservation while the end is not known; doubles
        self._laying: _Laying | None = None
        self._waiting: deque[tuple[int, memoryview]] = deque()  # posted, not yet written
        self._idle = asyncio.Event()
        self._idle.set()
        self.error: Exception | None = None
        self.extents: list[Extent] = []
        self._places: list[Reservation] = []
        self._reserving: asyncio.Future[Reservation] | None = None  # asked for before it is needed

    def begin(self) -> None:
        """The first bytes come in a moment: have space for them by then, if it is known how many there will be."""
        if self._end is not None and self._end > self._position:
            self._reserving = self._reserve(self._end - self._position)

    def release(self) -> None:
        """The fill is over: its packs may be sealed and evicted, as far as it is concerned."""
        self._close_extent()
        reserving, self._reserving = self._reserving, None
        if reserving is not None and not reserving.cancel() and not _failed(reserving):
            self._places.append(reserving.result())
        for place in self._places:
            self._store.post(self._store.volume.release, place)
        self._places.clear()

    async def put(self, data: bytes) -> None:
        """Raises StoreError when the disk has failed; `unwritten()` then has what no reader was told of."""
        if self._inline:
            self._hand_on(data)
        view = memoryview(data)
        while view:
            if self.error is None and (self._laying is None or self._laying.left == 0):
                await self._next_extent()
            if self.error is not None:
                self._waiting.append((self._position, view))
                self._position += len(view)
                raise StoreError(str(self.error))
            assert self._laying is not None
            part = view[: self._laying.left]
            self._post(self._laying, part)
            view = view[len(part) :]
        await self._store.room()

    def _hand_on(self, data: bytes) -> None:
        """More bytes have come: are the first that somebody waits for among them?"""
        found = self._flight.first_of(self._position, self._position + len(data))
        if found is None:
            return
        start, end = (position - self._position for position in found)
        self._first = InlinePiece(found[0], data[start : min(end, start + self._inline)])
        self._inline = 0
        self._flight.add_piece(self._first)
        self._flight.grew(self._first)

    async def _next_extent(self) -> None:
        self._close_extent()
        wanted = self._step if self._end is None else self._end - self._position
        self._step *= 2
        self._reserving = self._reserving or self._reserve(wanted)
        try:
            place = await self._reserving  # cancelled, it may have its place all the same: `release` looks
        except (StoreError, OSError) as error:
            self._reserving, self.error = None, error
            return
        self._reserving = None
        self._laying = _Laying(place, self._position, self._flight.slice_size)
        self._flight.add_piece(self._laying.piece)

    def _reserve(self, wanted: int) -> "asyncio.Future[Reservation]":
        volume = self._store.volume
        return self._store.call(volume.reserve, min(wanted, volume.extent_max), *self._whose)

    def _post(self, laying: "_Laying", part: memoryview) -> None:
        laying.summing.add(part)
        at = laying.used
        laying.used += len(part)
        self._waiting.append((self._position, part))
        self._position += len(part)
        self._idle.clear()

        def written(error: Exception | None) -> None:
            self._written(laying, error)

        self._store.post_write(laying.place, at, part, written)

    def _written(self, laying: "_Laying", error: Exception | None) -> None:
        if error is not None and self.error is None:
            self.error = error
        if self.error is None:
            _, part = self._waiting.popleft()
            laying.piece.length += len(part)
            self._flight.grew(laying.piece)
            first = self._first
            if first is not None and laying.piece.start + laying.piece.length >= first.start + first.length:
                self._first = None
                self._flight.forget(first)
        if self.error is not None or not self._waiting:
            self._idle.set()

    def _close_extent(self) -> None:
        laying, self._laying = self._laying, None
        if laying is not None and laying.used:
            place, sums = laying.place, laying.summing.cut()
            self.extents.append(Extent(laying.piece.start, laying.used, place.pack, place.offset, sums))
        if laying is not None:
            self._places.append(laying.place)

    async def finish(self) -> None:
        """Wait until all is written; StoreError if it could not be."""
        self._close_extent()
        await self._idle.wait()
        if self.error is not None:
            raise StoreError(str(self.error))
        self._flight.announce()

    def take_complete(self) -> Sequence[Extent]:
        """Extents that are full and written so far; each is handed out once."""
        if self._waiting:
            return ()
        done, self.extents = self.extents, []
        return done

    def unwritten(self) -> list[tuple[int, memoryview]]:
        """After an error: (position, bytes) that were taken but never announced, in order."""
        return list(self._waiting)


class _Laying:
    """An extent under construction."""

    __slots__ = ("piece", "place", "summing", "used")

    def __init__(self, place: Reservation, start: int, slice_size: int) -> None:
        self.place = place
        self.piece = PackPiece(start, place.pack, place.offset)
        self.summing = Summing(start, slice_size)
        self.used = 0

    @property
    def left(self) -> int:
        return self.place.length - self.used


class ScratchBudget:
    """How much scratch there is in this keeper; waiting for it holds origins back."""

    def __init__(self, settings: FillSettings) -> None:
        self._free = settings.scratch_total // settings.scratch_window
        self._changed = asyncio.Event()
        self._number = 0

    async def take(self) -> int:
        """Wait for a window; its number is unique in this process."""
        while self._free <= 0:
            self._changed.clear()
            await self._changed.wait()
        self._free -= 1
        self._number += 1
        return self._number

    def give_back(self) -> None:
        self._free += 1
        self._changed.set()


class ScratchSink:
    """What may not or cannot be stored: memfd windows, each written once, a few at a time."""

    def __init__(self, flight: Flight, budget: ScratchBudget, start: int) -> None:
        self._flight = flight
        self._budget = budget
        self._position = start
        self._piece: ScratchPiece | None = None
        self._out = 0
        self._freed = asyncio.Event()
        flight.joinable = False  # a window that has been sent is gone: nobody can join later

    async def put(self, data: bytes) -> None:
        view = memoryview(data)
        settings = self._flight.settings
        while view:
            piece = self._piece or await self._next_window()
            part = view[: settings.scratch_window - piece.length]
            _write_all(piece.fd, part, piece.length)
            piece.length += len(part)
            self._position += len(part)
            piece.full = piece.length == settings.scratch_window
            self._flight.grew(piece)
            view = view[len(part) :]
            if piece.full:
                self._close_window()

    async def _next_window(self) -> ScratchPiece:
        settings = self._flight.settings
        while self._out >= settings.scratch_per_request // settings.scratch_window:
            self._freed.clear()
            await self._freed.wait()
        number = await self._budget.take()
        try:
            self._piece = ScratchPiece(self._position, number, self._on_freed)
        except OSError:  # no descriptor, or no memory
            self._budget.give_back()
            raise
        self._out += 1
        self._flight.add_piece(self._piece)
        return self._piece

    def _on_freed(self, piece: ScratchPiece) -> None:
        self._flight.pieces.remove(piece)
        self._out -= 1
        self._budget.give_back()
        self._freed.set()

    def _close_window(self) -> None:
        if self._piece is not None:
            self._flight.announce()
            self._piece.fill_up()
            self._piece = None

    async def finish(self) -> None:
        self._close_window()


def _write_all(fd: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwritev(fd, [data], at)  # who fails `pwrite` for a test means the disk
        at += written
        data = data[written:]
