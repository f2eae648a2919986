"""The body of an answer, window by window: from the store where it is there, from a fill where it is not.

One class serves hits, misses and everything between: at each position it looks first among what a fill has
announced, then in the index, and else asks the keeper. What a keeper brings belongs to the version that was
promised in the head (`pin`), or the answer is broken off.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.fill.asking import Asker, Asking, AskListener, InlineBytes, PackBytes, ScratchBytes
from edge.fill.messages import UNKNOWN, Bad, Fetch, Head, Mode, Pin
from edge.server.exchange import BodyBroken, Exchange, FileWindow
from edge.store.packfile import CorruptExtent, PackFile
from edge.store.reader import Reader
from edge.store.record import Extent, Flag, Record
from edge.tasks import Tasks
from edge.words import MIB, PENDING, Pending, Reason

Part = bytes | tuple[int, int]
ASKS_WITHOUT_PROGRESS = 3
READ_STEP = MIB  # how often a keeper hears how far the player is
WAITS = 1.0  # seconds without a byte after which it hears that it is waited for: twice that, and it looks for what went


class Sources(Protocol):
    """Where bytes come from: the volume's reader, its keeper, and tasks to wait for the disk in."""

    @property
    def reader(self) -> Reader: ...

    @property
    def asker(self) -> Asker: ...

    @property
    def tasks(self) -> Tasks: ...


class ObjectBody(AskListener):
    """A `server.BodySource` over parts of one object: literal bytes and half-open stretches, in order.

    `asking` is the fetch that brought the head, if there was one. `on_fetched` is told at the end who was asked for
    what else was missing, and how many bytes that were.
    """

    def __init__(
        self,
        sources: Sources,
        exchange: Exchange,
        record: Record,
        parts: Sequence[Part],
        make_fetch: Callable[[int, int, Pin | None, Mode], Fetch],
        *,
        name: bytes,
        asking: Asking | None = None,
        mode: Mode = Mode.FILL,
        on_fetched: Callable[[str, int], None] | None = None,
        on_brought: Callable[[], None] | None = None,
    ) -> None:
        self._sources = sources
        self._exchange = exchange
        self._record = record
        self._parts = list(parts)
        self._parts.reverse()
        self._make_fetch = make_fetch
        self._name = name
        self._asking = asking
        self._mode = mode
        self._on_fetched = on_fetched
        self._member: str | None = None  # who brings what is missing
        self._fetched = 0
        self._on_brought = on_brought  # called once: all that `asking` was to bring is here
        self._open_end = False
        self._position = 0
        self._end = 0
        self._verified: tuple[int, bytes] | None = None
        self._bad: set[tuple[int, int]] = set()  # pack and offset: where they were, not what they held
        self._barren = 0
        self._broken: str | None = None
        self._reading: Extent | PackBytes | None = None  # in the pool
        self._lay: Extent | PackBytes | None = None  # where the last window was taken from
        self._closed = False
        self._waits_at = -1
        self._patience: asyncio.TimerHandle | None = None
        if asking is not None:
            asking.listener = self

    def __repr__(self) -> str:
        return f"<ObjectBody {self._position}-{self._end} of {self._record.total} broken={self._broken}>"

    def open_ended(self) -> None:
        """The last stretch ends where the fill says."""
        self._open_end = True

    # -- server.BodySource -----------------------------------------------------------------------

    def next_window(self, limit: int) -> FileWindow | bytes | memoryview | Pending | None:
        """The next bytes to send; PENDING when they are not there yet. BodyBroken: they never will be."""
        if self._position >= self._end and not self._next_part():
            return None
        if self._parts and isinstance(self._parts[-1], bytes) and self._position >= self._end:
            literal = self._parts.pop()
            assert isinstance(literal, bytes)
            return literal
        if self._broken is not None:
            raise BodyBroken(self._broken)
        window = self._from_pool(limit) or self._from_fill(limit) or self._from_store(limit)
        if window is not None:
            return window
        if self._open_end and self._asking is not None and self._asking.over:
            return None
        self._ask_if_needed()
        if self._broken is not None:
            raise BodyBroken(self._broken)
        if self._asking is not None:
            self._asking.read(self._position, READ_STEP)  # a window of scratch that is done with is for others
        self._be_patient()
        return PENDING

    def take_back(self, count: int) -> None:
        """What was in memory is there no more: the pool reads it, and what the disk does not give is asked for."""
        if self._lay is None:
            raise BodyBroken("memory cannot be read")
        self._position -= count
        self._read_again(self._lay, count)

    def begin_in_pool(self, extent: Extent) -> None:
        """All of the body lies in this extent, and was in memory until it was sent."""
        self._next_part()
        self._read_again(extent, self._end - self._position)

    def _read_again(self, lay: Extent | PackBytes, count: int) -> None:
        self._sources.reader.seen.forget(lay.pack, lay.offset + self._position - lay.start, count)
        self._read_in_pool(lay, self._position, count)

    def close(self) -> None:
        """The answer is over, complete or not."""
        self._closed = True
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if not self._parts and self._position >= self._end and self._broken is None:
            self._tell_brought()  # all has been handed out before the keeper's last word came
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._verified = None
        if self._fetched and self._on_fetched is not None:
            self._on_fetched(self._member or "", self._fetched)

    def _tell_brought(self) -> None:
        brought, self._on_brought = self._on_brought, None
        if brought is not None:
            brought()

    # -- where bytes come from -------------------------------------------------------------------

    def _next_part(self) -> bool:
        """Go on to the next part; True if there is one."""
        if not self._parts:
            return False
        part = self._parts[-1]
        if not isinstance(part, bytes):
            self._parts.pop()
            self._position, self._end = part
        return True

    def _from_pool(self, limit: int) -> memoryview | Pending | None:
        """What was read there; what is announced to be where it is being read is not sent from there meanwhile."""
        if isinstance(self._reading, PackBytes):
            return PENDING
        if self._verified is None:
            return None
        first, data = self._verified
        start = self._position
        if not first <= start < first + len(data):
            self._verified = None
            return None
        count = min(first + len(data) - start, self._end - start, limit)
        self._advance(count)
        return memoryview(data)[start - first : start - first + count]

    def _from_fill(self, limit: int) -> FileWindow | memoryview | None:
        asking = self._asking
        piece = asking.at(self._position) if asking is not None else None
        if piece is None or asking is None:
            return None
        start = self._position
        count = min(piece.end - start, self._end - start, limit)
        window: FileWindow | memoryview
        match piece:
            case InlineBytes():
                at = start - piece.start
                window = memoryview(piece.data)[at : at + count]
            case ScratchBytes():
                window = FileWindow(piece.file, start - piece.start, count)
            case PackBytes():
                file = self._sources.reader.pack_file(piece.pack)
                if file is None:
                    return None
                window = FileWindow(file, piece.offset + start - piece.start, count)
        self._lay = piece if isinstance(piece, PackBytes) else None
        self._advance(count)
        if self._member is not None:
            self._fetched += count
        asking.read(start, READ_STEP)
        return window

    def _from_store(self, limit: int) -> FileWindow | Pending | None:
        if self._reading is not None:
            return PENDING
        start = self._position
        reader = self._sources.reader
        stored = self._stored_at(start)
        if stored is None:
            return None
        extent, file = stored
        slice_size = self._record.slice_size
        border = min(start - start % slice_size + slice_size, extent.end, self._end)
        count = min(border - start, limit)
        if reader.ready(self._record, extent, start, count) is not None:
            self._lay = extent
            self._advance(count)
            return FileWindow(file, extent.offset + start - extent.start, count)
        self._read_in_pool(extent, start, border - start)
        return PENDING

    def _stored_at(self, position: int) -> tuple[Extent, PackFile] | None:
        """Where a byte is stored, and the open pack.

        The record at hand may be older than what was stored since: the extent that a record has within it is another
        one then, one that was bad has been fetched again, one that is asked for often has moved out of a pack's way.
        """
        if not self._record.generation:
            return None
        reader = self._sources.reader
        found = self._open(reader.extent_at(self._record, position))
        if found is not None:
            return found
        renewed = reader.lookup(self._name)
        if renewed is None or not self._is_same(renewed):
            return None
        self._record = renewed
        extent = reader.extent_at(renewed, position)
        found = self._open(extent)
        if found is None and extent is not None and (extent.pack, extent.offset) not in self._bad:
            self._report(extent, Reason.TRUNCATED)
        return found

    def _is_same(self, record: Record) -> bool:
        """Has it the bytes that were promised: of the same generation, or of another with the same strong validator?

        Somebody who wanted the answer anew may have got the same again, in place of the one that is being sent.
        """
        own = self._record
        strong = own.flags & record.flags & Flag.STRONG
        same = bool(strong) and (record.etag, record.total) == (own.etag, own.total)
        return record.generation == own.generation or same

    def _open(self, extent: Extent | None) -> tuple[Extent, PackFile] | None:
        if extent is None or (extent.pack, extent.offset) in self._bad:
            return None
        file = self._sources.reader.pack_file(extent.pack)
        return (extent, file) if file is not None else None

    def _read_in_pool(self, lay: Extent | PackBytes, start: int, count: int) -> None:
        self._reading = lay
        self._sources.tasks.spawn(self._read(lay, start, count), "read")

    async def _read(self, lay: Extent | PackBytes, start: int, count: int) -> None:
        """Cold or not yet verified: read in the pool, compare checksums, then go on.

        What was announced has none yet: it was written a moment ago.
        """
        reader = self._sources.reader
        try:
            if isinstance(lay, Extent):
                data = await reader.read_verified(self._record, lay, start, count)
            else:
                data = await reader.read_announced(lay.pack, lay.offset + start - lay.start, count)
            self._verified = start, data
        except CorruptExtent as error:
            self._report(lay, error.reason)
        except OSError:
            self._report(lay, Reason.STORE_FAILED)
        self._reading = None
        if not self._closed:
            self._exchange.resume()

    def _report(self, lay: Extent | PackBytes, reason: Reason) -> None:
        """Not from there: who asks anew is not sent there again, nor to a flight that points there."""
        self._bad.add((lay.pack, lay.offset))
        self._sources.asker.tell(Bad(self._name, self._record.generation, lay.pack, lay.offset, reason))
        if isinstance(lay, PackBytes) and self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _advance(self, count: int) -> None:
        self._position += count
        self._barren = 0

    # -- asking for what is missing --------------------------------------------------------------

    def _ask_if_needed(self) -> None:
        asking = self._asking
        if asking is not None:
            if not asking.over and asking.fetch.start <= self._position and not self._beyond(asking.fetch):
                return
            asking.cancel()
        self._barren += 1
        if self._barren > ASKS_WITHOUT_PROGRESS:
            self._broken = "the bytes cannot be had"
            return
        if not self._record.flags & Flag.STRONG:
            self._broken = "an answer without a validator cannot be continued"
            return
        pin = Pin(self._record.generation, self._record.total, self._record.etag)
        fetch = self._make_fetch(self._position, self._end, pin, self._mode)
        self._asking = self._sources.asker.ask(fetch, self)

    def _be_patient(self) -> None:
        self._waits_at = self._position
        if self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(WAITS, self._waited, self._position)

    def _waited(self, since: int) -> None:
        """What was evicted, or was found bad, while the keeper's fill was under way does not come by itself."""
        self._patience = None
        if self._waits_at == self._position and self._asking is not None and not self._asking.over:
            if since == self._position:
                self._asking.waits(since)
            self._be_patient()

    def _beyond(self, fetch: Fetch) -> bool:
        return fetch.end != UNKNOWN and not fetch.suffix and self._position >= fetch.end

    # -- fill.AskListener ------------------------------------------------------------------------

    def on_head(self, head: Head) -> None:
        """The head of a continued fetch: the keeper has compared it with the pin."""
        self._member = head.member

    def on_bytes(self) -> None:
        self._exchange.resume()

    def on_end(self, total: int) -> None:
        self._tell_brought()
        if self._open_end:
            self._end = total
            self._open_end = False
            if self._position >= self._end:
                self._parts.clear()
        self._exchange.resume()

    def on_again(self) -> None:
        self._exchange.resume()

    def on_fail(self, status: int, reason: Reason, detail: str) -> None:
        self._broken = detail
        self._exchange.resume()

    def on_lost(self) -> None:
        self._exchange.resume()
