"""Who waits for bytes of a flight, and the stretches in which they are brought."""

import asyncio
from typing import Final

from edge.fill.channel import Channel
from edge.fill.messages import UNKNOWN, Fetch, Message
from edge.fill.pieces import ScratchPiece
from edge.fill.settings import FillSettings
from edge.fill.spans import Spans
from edge.fill.upload import Upload
from edge.fill.ways import Way
from edge.words import MIB

AHEAD_SECONDS: Final = 3.0
SPEED_WEIGHT: Final = 0.3
WAITING: Final = 2 * MIB  # with less than that before it, a reader waits for the fill or will in a moment


class Reader:
    """One fetch of one worker: what it wants, how far it has read."""

    __slots__ = (
        "_paced",
        "ahead",
        "channel",
        "collapsed",
        "end",
        "fetch",
        "gone",
        "position",
        "scratch",
        "speed",
        "start",
        "suffix",
        "upload",
    )

    def __init__(self, channel: Channel, fetch: Fetch) -> None:
        self.channel = channel
        self.fetch = fetch
        self.start = fetch.start
        self.end = fetch.end
        self.position = fetch.start
        self.suffix = fetch.suffix
        self.ahead = 0  # how far the fill may be past it, if that is more than the settings say
        self.speed = 0.0  # bytes a second
        self._paced = fetch.start, 0.0, 0  # position, time and bytes ready when it last told how far it is
        self.collapsed = False
        self.scratch: dict[int, ScratchPiece] = {}  # windows whose descriptor it has and has not freed
        self.gone = False
        self.upload = Upload(channel, fetch) if fetch.has_body else None

    def __repr__(self) -> str:
        return f"<Reader {self.fetch.id} {self.start}-{self.end} at {self.position}>"

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        self.channel.send(message, fds)

    def free(self, number: int) -> None:
        """It has sent a scratch window and closed it."""
        piece = self.scratch.pop(number, None)
        if piece is not None:
            piece.freed_by(self)

    def free_all(self) -> None:
        for number in list(self.scratch):
            self.free(number)

    def pace(self, ready: int, now: float, settings: FillSettings) -> None:
        """It has read on, and `ready` bytes lie before it: how far ahead of it should the fill be?

        As far as it reads in a few seconds: one that is paced gets little, one that waits for us more each time.
        What it does while it waits says nothing of its speed.
        """
        moved, took = self.position - self._paced[0], now - self._paced[1]
        earned = 2 * (self.position - self.start)  # who leaves soon leaves little behind
        if ready < WAITING:
            self.ahead = min(2 * self.ahead, max(self.ahead, earned), settings.ahead_most)
        elif self._paced[2] >= WAITING and moved > 0 and took > 0:
            self.speed += SPEED_WEIGHT * (moved / took - self.speed) if self.speed else moved / took
            self.ahead = min(int(self.speed * AHEAD_SECONDS), earned, settings.ahead_most)
        self.ahead = max(self.ahead, settings.ahead)
        self._paced = self.position, now, ready

    def may_have(self, position: int, settings: FillSettings, begun: int = 0) -> bool:
        """Is this byte near enough to be fetched for it now? `begun`: where a run begins that is under way."""
        return position - max(self.position, self.start, begun) < max(self.ahead, settings.ahead)

    def missing(self, covered: Spans) -> tuple[int, int] | None:
        """The first stretch that it still needs; None while its end is unknown and nothing is known to miss."""
        if self.end == UNKNOWN:
            return None
        return covered.gap(max(self.start, self.position), self.end)

    def take_whole(self) -> None:
        """What comes is not the object of which a part was asked: an error, or of unknown length. It gets all of it."""
        self.start = self.position = 0
        self.end = UNKNOWN
        self.suffix = 0

    def settle(self, total: int) -> None:
        """The object's length is known now: a suffix and an open end become positions."""
        if total == UNKNOWN:
            return
        if self.suffix:
            self.start = max(0, total - self.suffix)
            self.position = max(self.position, self.start)
        self.end = total if self.end == UNKNOWN else min(self.end, total)


class Run:
    """A stretch that one origin request brings: [start, end), `position` is the next byte to come."""

    __slots__ = ("ahead", "end", "moved", "position", "start", "stop_at", "task", "way", "withdrawn")

    def __init__(self, start: int, end: int, *, ahead: bool = False) -> None:
        self.start = start
        self.end = end
        self.position = start
        self.stop_at = end  # lowered to a slice border when nobody waits any more
        self.ahead = ahead  # nobody has asked for it yet: it goes on all the same, while a lease lasts
        self.withdrawn = False  # that is over: only what has been asked for of it may still come
        self.moved = asyncio.Event()  # a reader has read, joined or left
        self.task: asyncio.Task[None] | None = None
        self.way: Way = ()  # by which it was asked for last, if that is an odd one

    def __repr__(self) -> str:
        return f"<Run {self.start}-{self.end} at {self.position}>"

    @property
    def done(self) -> bool:
        """Has all of it come?"""
        return self.end != UNKNOWN and self.position >= self.end

    def brings(self, position: int) -> bool:
        """Also bytes that have come and are being written: they are covered in a moment."""
        return self.start <= position and (self.end == UNKNOWN or position < self.end)
