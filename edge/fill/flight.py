"""A flight: one object being filled, and everyone who waits for bytes of it. Bookkeeping only, no I/O of its own.

Lifetimes:
  flight   from the first fetch of a name until no reader and no run is left
  reader   from a worker's FETCH until END, FAIL or CANCEL
  run      one origin request's stretch, until it is complete, stopped or broken for good
  piece    bytes that can be sent: kept for later readers as long as the flight lasts

Rules: a head is told once to each reader and before any piece; pieces are told as they grow; END comes when
what a reader asked is covered, by pieces or by the index.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

from edge.fill import plan, ways
from edge.fill.leases import By
from edge.fill.members import Members
from edge.fill.messages import UNKNOWN, Again, End, Fail, Fetch, Head, HeadFlag, Message, Mode
from edge.fill.pieces import Piece
from edge.fill.readers import WAITING, Reader, Run
from edge.fill.runs import Runs
from edge.fill.settings import FillSettings
from edge.fill.spans import Spans
from edge.origin.client import OriginClient
from edge.origin.settings import Urgency
from edge.store.record import Record, encode_record
from edge.words import Reason


class Flight:
    """See the module's text. `on_idle` is called when the last reader and the last run have gone."""

    def __init__(
        self,
        name: bytes,
        fetch: Fetch,
        settings: FillSettings,
        *,
        slice_size: int,
        clients: list[OriginClient],
        on_idle: Callable[["Flight"], None],
        start_run: Callable[["Flight", Run], None],
    ) -> None:
        self.name, self.whose = name, (name, fetch.key)
        self.fetch = fetch  # the leader's: its target, kind and site are the flight's
        self.settings, self.slice_size = settings, slice_size
        self.readers: list[Reader] = []
        self.pieces: list[Piece] = []
        self.covered = Spans()
        self.runs = Runs(settings, slice_size, self.covered)
        self.head: Head | None = None
        self.record: Record | None = None
        self.total = UNKNOWN
        self.leaders_record: bytes | None = None  # encoded; with what only who led may have
        self.joinable = True
        self.doomed = False  # what it brings is out of date: its readers get it, nobody else
        self.live = False  # a segment beside or below a live playlist: those who want it are at the live edge
        self.borrowed = False  # a sibling keeps it: handed on, not kept here
        self.may_fall_back = True  # its reader takes what is stored in place of an error
        self.asked_at = 0  # the number of the last purge before it asked
        self.ranges = False  # other stretches may be asked for and combined (strong validator, origin with ranges)
        self.gathers = False  # of a segment that is asked for in pieces: all of it comes in one request
        self.over = False
        self.members = Members(clients)
        self.background = False  # a refresh, or fetched ahead: it goes on though nobody waits
        self.unasked = False  # fetched ahead, and nobody has asked for it yet
        self._on_idle, self._start_run = on_idle, start_run
        self.leased: set[By] = set()  # who has a lease, or had one and has not withdrawn it
        self._grown: dict[int, Piece] = {}
        self._unannounced = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def kept_whole(self) -> bool:
        """Has all of a good answer come, and is it kept?"""
        if self.doomed or self.head is None or self.record is None or self.total == UNKNOWN:
            return False
        kept = self.record.status == 200 and bool(self.head.flags & HeadFlag.STORED)
        end = self.total if self.fetch.end == UNKNOWN else min(self.fetch.end, self.total)
        return kept and self.covered.has(self.fetch.start, end)

    def __repr__(self) -> str:
        return f"<Flight {self.name.hex()[:8]} {self.covered} readers={self.readers} runs={self.runs.under_way}>"

    # -- readers ---------------------------------------------------------------------------------

    def join(self, reader: Reader) -> None:
        """Add a reader: it hears at once what is known, and a run is started for what nobody brings."""
        reader.collapsed = bool(self.readers) or self.head is not None
        self.readers.append(reader)
        if self.head is not None:
            self._greet(reader)
            self._finish_if_covered(reader)
        self.look_after(reader)

    def leave(self, reader: Reader) -> None:
        """A reader has gone; runs that serve nobody are told."""
        if reader.upload is not None:
            reader.upload.break_off()
        if not reader.gone:
            reader.gone = True
            self.readers.remove(reader)
        reader.free_all()
        self.wake_runs()
        self.check_idle()

    def read(self, reader: Reader, position: int) -> None:
        """A reader has got as far as `position`."""
        reader.position = max(reader.position, position)
        ready = self.covered.reach(reader.position) - reader.position
        reader.pace(ready, asyncio.get_running_loop().time(), self.settings)
        self._finish_if_covered(reader)
        self.look_after(reader)
        self.send_back(reader)
        self.wake_runs()

    @property
    def patient(self) -> bool:
        """Does nobody wait for what it brings, but warm jobs and those who may ask later?"""
        return self.unasked or (bool(self.readers) and all(reader.fetch.patient for reader in self.readers))

    @property
    def urgency(self) -> Urgency:
        """Whose turn its requests have; who joins makes them more urgent."""
        if self.patient:
            return Urgency.AHEAD
        awaited = self.fetch.mode is Mode.REFRESH and self.readers  # a player has joined who cannot do with the old one
        return plan.urgency(replace(self.fetch, mode=Mode.FILL) if awaited else self.fetch, live=self.live)

    def wake_runs(self) -> None:
        for run in self.runs.under_way:
            run.moved.set()

    def check_idle(self) -> None:
        if not self.readers and not self.runs.under_way and not self.over:
            self.over = True
            if self._timer is not None:
                self._timer.cancel()
            for piece in list(self.pieces):
                piece.drop()
            self._on_idle(self)

    @property
    def complete(self) -> bool:
        """Has all of it come? Then it is in the index in a moment, if it is kept."""
        return self.total != UNKNOWN and self.covered.has(0, self.total)

    # -- head ------------------------------------------------------------------------------------

    def set_head(self, head: Head, record: Record, total: int) -> None:
        """The judged head: every reader hears it, and those whose promised version it is not fail."""
        self.head, self.record, self.total = head, record, total
        self.members.giver = self.members.first
        for reader in list(self.readers):
            self._greet(reader)
        for reader in list(self.readers):  # only now: what one of them is told of the body is told to all
            self._finish_if_covered(reader)
        for reader in list(self.readers):
            self.look_after(reader)

    def set_total(self, total: int) -> None:
        """A body of unknown length has ended."""
        self.total = total
        if self.head is not None and self.record is not None:
            self.record = replace(self.record, total=total)
            self.head = replace(self.head, record=encode_record(self.record))
        for reader in list(self.readers):
            reader.settle(total)
            self._finish_if_covered(reader)

    def _greet(self, reader: Reader) -> None:
        assert self.head is not None
        assert self.record is not None
        pin = reader.fetch.pin
        if pin is not None and (pin.etag, pin.total) != (self.record.etag, self.total):
            self.fail_reader(reader, 502, Reason.OBJECT_CHANGED, "the object changed at the origin")
            return
        flags = self.head.flags | (HeadFlag.COLLAPSED if reader.collapsed else 0)
        record = self.head.record
        if reader.fetch is self.fetch and self.leaders_record is not None:
            record = self.leaders_record
        head = replace(
            self.head,
            id=reader.fetch.id,
            flags=HeadFlag(flags),
            total=self.total,
            record=record,
            member=self.head.member or self.members.first.member,  # a head that was stored: who is asked for the rest
        )
        reader.send(head)
        if self.record.status != 200 or self.total == UNKNOWN:
            reader.take_whole()
        reader.settle(self.total)
        for piece in self.pieces:
            self._tell(reader, piece)

    # -- pieces ----------------------------------------------------------------------------------

    def add_piece(self, piece: Piece) -> None:
        """A place where bytes will appear; `grew` tells that they have."""
        self.pieces.append(piece)

    def first_of(self, start: int, end: int) -> tuple[int, int] | None:
        """Of bytes that have come, those from the first on that a reader waits for.

        None if a reader would have its last byte with them. That one waits until it is written, and its commit is on
        its way: what the player asks for next must find it, or come too late for it.
        """
        positions = (max(reader.start, reader.position) for reader in self.readers)
        first = min((position for position in positions if start <= position < end), default=None)
        if first is None or any(reader.end == UNKNOWN or reader.end <= end for reader in self.readers):
            return None
        return first, end

    def forget(self, piece: Piece) -> None:
        """Another piece has the same bytes: who comes later is told of that one."""
        self.pieces.remove(piece)

    def grew(self, piece: Piece) -> None:
        """More bytes of a piece can be sent: first ones are told at once, later ones in batches."""
        first = piece.announced == 0
        self._unannounced += piece.length - max(piece.announced, piece.seen)
        piece.seen = piece.length
        self.covered.add(piece.start, piece.start + piece.length)
        self._grown[id(piece)] = piece
        if first or self._unannounced >= self.settings.announce_bytes:
            self.announce()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.settings.announce_seconds, self.announce)

    def announce(self) -> None:
        """Tell every reader what has grown since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.head is None:
            return
        grown, self._grown, self._unannounced = list(self._grown.values()), {}, 0
        for piece in grown:
            piece.announced = piece.length
        for reader in list(self.readers):
            for piece in grown:
                self._tell(reader, piece)
            self._finish_if_covered(reader)

    def _tell(self, reader: Reader, piece: Piece) -> None:
        begins_before_end = reader.end == UNKNOWN or piece.start < reader.end
        if piece.announced and begins_before_end and piece.start + piece.announced > reader.start:
            piece.tell(reader)

    def _finish_if_covered(self, reader: Reader) -> None:
        if self.head is None or reader.end == UNKNOWN or reader.missing(self.covered) is not None:
            return
        if self._grown and any(p.start < reader.end for p in self._grown.values()):
            self.announce()  # calls back here with nothing left to tell
            return
        if not reader.gone:
            self._dismiss(reader, End(reader.fetch.id, self.total))

    # -- ends ------------------------------------------------------------------------------------

    def _dismiss(self, reader: Reader, last_word: Message) -> None:
        reader.gone = True
        self.readers.remove(reader)
        reader.send(last_word)
        self.wake_runs()
        self.check_idle()

    def fail_reader(self, reader: Reader, status: int, reason: Reason, detail: str) -> None:
        if not reader.gone:
            self._dismiss(reader, Fail(reader.fetch.id, status, reason, detail))

    def fail(self, status: int, reason: Reason, detail: str) -> None:
        """Nobody gets more than is covered already."""
        self.announce()
        for reader in list(self.readers):
            self.fail_reader(reader, status, reason, detail)

    def fail_run(self, run: Run, status: int, reason: Reason, detail: str) -> None:
        """A run is broken for good: those who needed it fail, the others go on.

        So do those who have come another way than it was asked by, if that is perhaps what was refused. With each run
        that breaks like that those leave by whose way it was asked for, though another run brings what they need first,
        so there is an end.
        """
        self.announce()
        self.runs.failed(run)
        wanted = set(self.readers_of(run))
        for reader in list(self.readers):
            missing = reader.missing(self.covered)
            way = ways.way_of(reader.fetch)
            goes_on = self.ranges and reason is Reason.BAD_RESPONSE
            if goes_on and not ways.is_as_long(way, run.way):
                continue
            decided = goes_on and bool(run.way) and way == run.way and reader in wanted
            if decided or missing is None or run.brings(missing[0]):
                self.fail_reader(reader, status, reason, detail)

    def end_all(self) -> None:
        """There is no body to come (an answer to HEAD)."""
        for reader in list(self.readers):
            self._dismiss(reader, End(reader.fetch.id, self.total))

    # -- runs ------------------------------------------------------------------------------------

    def look_after(self, reader: Reader) -> None:
        """Start runs for what a reader needs next, where none brings it."""
        if self.head is None or not self.ranges or reader.gone or self.over:
            return
        self._start(self.runs.serve(reader, self.total))

    def fetch_ahead(self, by: By, start: int, end: int) -> bool:
        """Bring what somebody will ask for. `by` names the lease that this begins or goes on with.

        False: nothing can be brought.
        """
        if self.head is None or not self.ranges or self.over:
            return False
        self.leased.add(by)
        self._start(self.runs.lease(by, start, end, self.total))
        return True

    def withdraw(self, by: By) -> None:
        """A lease is over: what was brought for it alone is not asked for any further."""
        self.leased.discard(by)
        self.runs.withdraw(by)
        self.wake_runs()

    def _start(self, runs: list[Run]) -> None:
        for run in runs:
            self._start_run(self, run)

    def end_run(self, run: Run) -> None:
        """A run is over: complete, stopped or failed; who still misses something gets the next one, or asks anew."""
        self.runs.ended(run)
        self.announce()
        for reader in list(self.readers):
            self._finish_if_covered(reader)
            self.look_after(reader)
            self.send_back(reader)
        if self.ranges and not self.over:
            self._start(self.runs.go_on(self.total))
        self.check_idle()

    def lose_ranges(self) -> None:
        """The disk has failed: what is under way still comes, and nothing else."""
        self.ranges = False
        for reader in list(self.readers):
            self.send_back(reader)

    def send_back(self, reader: Reader) -> None:
        """No run may begin here for what it misses, since the disk has failed: another flight is led for that."""
        missing = None if reader.gone or self.ranges else reader.missing(self.covered)
        if missing is not None and not any(run.brings(missing[0]) for run in self.runs.under_way):
            self._dismiss(reader, Again(reader.fetch.id))

    def ends_with(self, run: Run) -> bool:
        """Is this run the last thing that it brings, as far as anybody knows? Not while a reader wants more than that,
        though for now it has read too little to get it."""
        return self.runs.ends_with(run) and not any(self._wants_another(reader, run) for reader in self.readers)

    def _wants_another(self, reader: Reader, run: Run) -> bool:
        missing = reader.missing(self.covered)
        if missing is None:
            return False
        beyond = reader.end > run.end and self.covered.gap(run.end, reader.end) is not None
        return beyond or not run.brings(missing[0])

    def nearest(self, run: Run) -> Fetch:
        """Of those who wait for what a run brings, or else for anything, the one who has come the shortest way: it is
        asked for as that one would ask."""
        waiting = list(self.readers_of(run)) or self.readers
        return min((reader.fetch for reader in waiting), key=ways.length, default=self.fetch)

    def readers_of(self, run: Run) -> Iterator[Reader]:
        """Those who still want bytes that this run is to bring."""
        for reader in self.readers:
            wants_more = reader.end == UNKNOWN or reader.end > run.position
            if wants_more and (run.end == UNKNOWN or reader.start < run.end):
                yield reader

    def awaits(self, run: Run) -> bool:
        """Does a reader wait for what this run brings next, or will in a moment?"""
        return any(run.position - reader.position < WAITING for reader in self.readers_of(run))

    def may_go_on(self, run: Run) -> bool:
        """Is a run within `ahead` of its furthest reader (or on its last stretch, with nobody reading)?"""
        readers = list(self.readers_of(run))
        if not readers:
            return True
        return any(reader.may_have(run.position, self.settings, run.start) for reader in readers)
