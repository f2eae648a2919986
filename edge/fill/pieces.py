"""Where bytes of a flight can be sent from: a pack, a message, a scratch window; each grows until it is full."""

import os
from collections.abc import Callable
from typing import Protocol

from edge.fill.messages import Fetch, Inline, Message, Place, Scratch


class Listener(Protocol):
    """The reader of a flight, as a piece sees it."""

    fetch: Fetch
    scratch: dict[int, "ScratchPiece"]

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None: ...


class Piece:
    """Bytes [start, start + length) of the object; readers have been told of the first `announced`."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.length = 0
        self.seen = 0
        self.announced = 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.start}+{self.length}>"

    def tell(self, reader: Listener) -> None:
        """Tell one reader of what is announced."""
        raise AssertionError("a piece says how it is told")

    def drop(self) -> None:
        """The flight is over: nobody will be told of this piece any more."""


class PackPiece(Piece):
    """Bytes in a pack."""

    def __init__(self, start: int, pack: int, offset: int) -> None:
        super().__init__(start)
        self.pack = pack
        self.offset = offset

    def tell(self, reader: Listener) -> None:
        reader.send(Place(reader.fetch.id, self.start, self.announced, self.pack, self.offset))


class InlinePiece(Piece):
    """Bytes that ride in a message; complete from the start."""

    def __init__(self, start: int, data: bytes) -> None:
        super().__init__(start)
        self.data = data
        self.length = len(data)

    def tell(self, reader: Listener) -> None:
        reader.send(Inline(reader.fetch.id, self.start, self.data))


class ScratchPiece(Piece):
    """Bytes in a memfd that is written once and handed to readers; `on_freed` when the last has sent it."""

    def __init__(self, start: int, number: int, on_freed: Callable[["ScratchPiece"], None]) -> None:
        super().__init__(start)
        self.number = number
        self.fd = os.memfd_create(f"scratch-{number}", os.MFD_CLOEXEC)
        self.full = False  # all of it is written
        self._holders = 0
        self._on_freed: Callable[[ScratchPiece], None] | None = on_freed
        self._closed = False

    def tell(self, reader: Listener) -> None:
        fds: tuple[int, ...] = ()
        if self.number not in reader.scratch:
            reader.scratch[self.number] = self
            self._holders += 1
            fds = (self.fd,)
        reader.send(Scratch(reader.fetch.id, self.number, self.start, self.announced, self.full), fds)

    def fill_up(self) -> None:
        """No more bytes will be written; every reader has its own descriptor by now."""
        self.drop()

    def freed_by(self, reader: Listener) -> None:
        """A reader has sent all of it or has gone."""
        self._holders -= 1
        self._check()

    def drop(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self._closed = True
        self._check()

    def _check(self) -> None:
        if self._closed and not self._holders and self._on_freed is not None:
            on_freed, self._on_freed = self._on_freed, None
            on_freed(self)
