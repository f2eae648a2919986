"""The worker's side of the link: asks a keeper, collects the pieces of each answer, survives the keeper's death."""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from edge.fill.channel import Channel
from edge.fill.messages import (
    PROTOCOL,
    UNKNOWN,
    Again,
    Bad,
    Body,
    Cancel,
    End,
    Fail,
    Fetch,
    Forget,
    Forgotten,
    Freed,
    Head,
    Hello,
    Inline,
    Invalidate,
    Message,
    Place,
    Read,
    Scratch,
    Taken,
    is_carried,
)
from edge.policy.purges import Purge
from edge.words import Reason

RECONNECT_FIRST = 0.02  # seconds; the supervisor keeps the socket open, so a new keeper is found at once
RECONNECT_MOST = 1.0
TOO_LARGE = 431  # RFC 6585 section 5: also of a request's fields together


class AskListener(Protocol):
    """Who waits for a fetch. Called from the loop, never from inside `ask`."""

    def on_head(self, head: Head) -> None: ...

    def on_bytes(self) -> None: ...

    def on_end(self, total: int) -> None: ...

    def on_again(self) -> None: ...

    def on_fail(self, status: int, reason: Reason, detail: str) -> None: ...

    def on_taken(self, count: int) -> None:
        """So much of the request's body has gone on."""
        return

    def on_lost(self) -> None:
        """The keeper has died; ask again from the byte that was reached."""


class ScratchFile:
    """A scratch window of this worker: an own descriptor, closed when nothing refers to it any more."""

    __slots__ = ("_fd", "number")

    def __init__(self, fd: int, number: int) -> None:
        self._fd = fd
        self.number = number

    def fileno(self) -> int:
        return self._fd

    def view(self, offset: int, count: int) -> memoryview | None:
        return None  # read with pread: memory, always resident

    def is_there(self, offset: int, count: int) -> bool:
        return True

    def __del__(self) -> None:
        os.close(self._fd)


@dataclass(slots=True)
class PackBytes:
    """Bytes [start, end) of the object lie at `offset` of `pack`."""

    start: int
    end: int
    pack: int
    offset: int


@dataclass(slots=True)
class InlineBytes:
    """Bytes [start, end) of the object are here."""

    start: int
    end: int
    data: bytes


@dataclass(slots=True)
class ScratchBytes:
    """Bytes [start, end) of the object are at the beginning of a scratch window, or are all of it: it is `full`."""

    start: int
    end: int
    file: ScratchFile
    full: bool


Bytes = PackBytes | InlineBytes | ScratchBytes


class Asking:
    """One fetch under way: what has arrived of it so far, found by position in the object."""

    def __init__(self, asker: "Asker", fetch: Fetch, listener: AskListener) -> None:
        self.fetch = fetch
        self.listener = listener
        self.over = False
        self._asker = asker
        self._pieces: dict[tuple[type, int], Bytes] = {}
        self._told = fetch.start

    def __repr__(self) -> str:
        return f"<Asking {self.fetch.id} over={self.over} pieces={len(self._pieces)}>"

    def take_whole(self) -> None:
        """What comes is not the object of which a part was asked: it is told from its first byte on."""
        self.fetch = replace(self.fetch, start=0, end=UNKNOWN, suffix=0)
        self._told = 0

    def at(self, position: int) -> Bytes | None:
        """The piece that has the byte at `position`, None when it has not come."""
        for piece in self._pieces.values():
            if piece.start <= position < piece.end:
                return piece
        return None

    def read(self, position: int, step: int) -> None:
        """The answer has got as far as `position`: what lies before is let go, the keeper told now and then."""
        for key in [key for key, piece in self._pieces.items() if piece.end <= position]:
            piece = self._pieces[key]
            if isinstance(piece, PackBytes):
                continue  # costs nothing, may still grow
            if isinstance(piece, ScratchBytes) and piece.end == position and not piece.full:
                continue  # may still grow: the keeper, who knows that its descriptor is here, does not send another
            del self._pieces[key]
            if isinstance(piece, ScratchBytes):
                self._asker.send(Freed(self.fetch.id, piece.file.number))
        if not self.over and position - self._told >= step:
            self._told = position
            self._asker.send(Read(self.fetch.id, position))

    def waits(self, position: int) -> None:
        """The byte at `position` has not come for long: it may have been there, so that nobody brings it."""
        if not self.over:
            self._told = position
            self._asker.send(Read(self.fetch.id, position))

    def cancel(self) -> None:
        """The player has left, or needs nothing more of it."""
        for piece in self._pieces.values():
            if isinstance(piece, ScratchBytes) and self.over:
                self._asker.send(Freed(self.fetch.id, piece.file.number))
        self._pieces.clear()
        self._asker.drop(self)

    def take(self, message: Place | Inline | Scratch, fds: list[int]) -> None:
        """More bytes have been announced."""
        start = message.start
        match message:
            case Place(_, _, length, pack, offset):
                self._pieces[PackBytes, start] = PackBytes(start, start + length, pack, offset)
            case Inline(_, _, data):
                self._pieces[InlineBytes, start] = InlineBytes(start, start + len(data), data)
            case Scratch(_, number, _, length, full):
                known = self._pieces.get((ScratchBytes, start))
                if isinstance(known, ScratchBytes):
                    known.end, known.full = start + length, full
                elif fds:
                    file = ScratchFile(fds.pop(), number)
                    self._pieces[ScratchBytes, start] = ScratchBytes(start, start + length, file, full)


class Asker:
    """The connection to one keeper. Fetches asked while it is down fail with KEEPER_DOWN at their deadline."""

    def __init__(self, path: str, on_hello: Callable[[Hello], None]) -> None:
        self._path = path
        self._on_hello = on_hello
        self._channel: Channel | None = None
        self._greeted = False
        self._next_id = 1
        self._askings: dict[int, Asking] = {}
        self._queued: list[Message] = []
        self._forgetting: dict[int, asyncio.Future[Forgotten]] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._delay = RECONNECT_FIRST
        self._closed = False
        self.losses = 0  # of keepers that had said hello

    def __repr__(self) -> str:
        return f"<Asker {self._path} up={self.up} askings={len(self._askings)}>"

    @property
    def up(self) -> bool:
        """Is there a keeper that has said hello?"""
        return self._channel is not None and self._greeted

    @property
    def waiting(self) -> int:
        """How many fetches are under way."""
        return len(self._askings)

    def connect(self) -> None:
        """Connect now, or keep trying in the background."""
        if self._closed:
            return
        self._retry = None
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            sock.setblocking(False)
            sock.connect(self._path)
        except OSError:
            sock.close()
            self._later()
            return
        self._channel = Channel(sock, self._on_message, self._on_lost)

    def _later(self) -> None:
        if not self._closed and self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(self._delay, self.connect)
            self._delay = min(self._delay * 2, RECONNECT_MOST)

    def next_id(self) -> int:
        """A fetch id that was never used in this process."""
        self._next_id += 1
        return self._next_id

    def ask(self, fetch: Fetch, listener: AskListener) -> Asking:
        """Send a fetch (or keep it until a keeper is there); answers come to the listener."""
        asking = Asking(self, fetch, listener)
        self._askings[fetch.id] = asking
        if is_carried(fetch):
            self.send(fetch)
        else:
            asyncio.get_running_loop().call_soon(self._refuse, asking)
        return asking

    def _refuse(self, asking: Asking) -> None:
        if not asking.over:
            asking.over = True
            asking.listener.on_fail(TOO_LARGE, Reason.INTERNAL, "the request is too large to be passed on")

    def tell(self, message: Fetch | Bad | Invalidate) -> None:
        """Say something that has no answer: a refresh, a bad extent, an object that was changed."""
        if self.up and not (isinstance(message, Fetch) and not is_carried(message)):
            self.send(message)

    def withdraw(self, fetch: Fetch) -> None:
        """What was to be fetched ahead is not expected to be asked for any more."""
        if self.up:
            self.send(Cancel(fetch.id))

    async def forget(self, *whats: Purge, dry: bool = False, owed: bool = False) -> Forgotten:
        """Have the keeper purge; ConnectionError when it is down, or dies at it: then nobody knows."""
        if not self.up:
            raise ConnectionError("the keeper is down")
        id_ = self.next_id()
        done: asyncio.Future[Forgotten] = asyncio.get_running_loop().create_future()
        self._forgetting[id_] = done
        try:
            self.send(Forget(id_, whats, dry, owed))
            return await done
        finally:
            self._forgetting.pop(id_, None)

    def send(self, message: Message) -> None:
        if self.up:
            assert self._channel is not None
            self._channel.send(message)
        elif isinstance(message, Fetch | Body) and message.id in self._askings:
            self._queued.append(message)  # bounded by this worker's connections, and a window of each body

    def drop(self, asking: Asking) -> None:
        """No more interest in a fetch."""
        if self._askings.pop(asking.fetch.id, None) is not None:
            if not asking.over:
                asking.over = True
                self.send(Cancel(asking.fetch.id))
            if not self.up:
                id_ = asking.fetch.id
                self._queued = [m for m in self._queued if not (isinstance(m, Fetch | Body) and m.id == id_)]

    def close(self) -> None:
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    # -- what the keeper says --------------------------------------------------------------------

    def _on_message(self, message: Message, fds: list[int]) -> None:
        try:
            self._dispatch(message, fds)
        finally:
            for fd in fds:  # whatever nobody took
                os.close(fd)

    def _dispatch(self, message: Message, fds: list[int]) -> None:
        if isinstance(message, Hello):
            self._hello(message)
            return
        if isinstance(message, Forgotten):
            done = self._forgetting.get(message.id)
            if done is not None and not done.done():
                done.set_result(message)
            return
        asking = self._askings.get(getattr(message, "id", 0))
        if asking is None:
            if isinstance(message, Scratch) and fds:
                self.send(Freed(message.id, message.number))
            return
        listener = asking.listener
        match message:
            case Head():
                listener.on_head(message)
            case Place() | Inline() | Scratch():
                asking.take(message, fds)
                listener.on_bytes()
            case End(_, total):
                asking.over = True
                listener.on_end(total)
            case Again():
                asking.over = True
                listener.on_again()
            case Taken(_, count):
                listener.on_taken(count)
            case Fail(_, status, reason, detail):
                asking.over = True
                listener.on_fail(status, reason, detail)
            case _:
                raise ValueError(f"a keeper does not say {type(message).__name__}")

    def _hello(self, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            raise ValueError(f"the keeper speaks protocol {hello.protocol}, this worker {PROTOCOL}")
        self._greeted = True
        self._delay = RECONNECT_FIRST
        self._on_hello(hello)
        queued, self._queued = self._queued, []
        for message in queued:
            self.send(message)

    def _on_lost(self) -> None:
        self._channel = None
        self.losses += self._greeted
        self._greeted = False
        for done in self._forgetting.values():
            if not done.done():
                done.set_exception(ConnectionError("the keeper has died"))
        askings, self._askings = self._askings, {}
        waiting = {message.id for message in self._queued if isinstance(message, Fetch)}
        for id_, asking in askings.items():
            if id_ in waiting or (asking.over):
                self._askings[id_] = asking
        self._later()
        for id_, asking in askings.items():
            if id_ not in self._askings:
                asking.over = True
                asking.listener.on_lost()
