"""One worker's connection to the keeper, and its fetches under way."""

import logging
import socket
from typing import TYPE_CHECKING

from edge.fill.channel import Channel
from edge.fill.flight import Flight
from edge.fill.messages import Bad, Body, Cancel, Fail, Fetch, Forget, Freed, Invalidate, Message, Read
from edge.fill.readers import Reader
from edge.words import Reason

if TYPE_CHECKING:
    from edge.fill.desk import Desk

log = logging.getLogger("edge.fill")


class Link:
    """One worker's connection and its fetches."""

    def __init__(self, desk: "Desk", sock: socket.socket) -> None:
        self.readers: dict[int, tuple[Flight, Reader]] = {}
        self._desk = desk
        self.channel = Channel(sock, self._on_message, self._on_lost)

    def _on_message(self, message: Message, fds: list[int]) -> None:
        match message:
            case Fetch():
                self.take(message)
            case Read(id_, position):
                if entry := self.readers.get(id_):
                    flight, reader = entry
                    if not reader.gone:
                        waits = position == reader.position
                        flight.read(reader, position)
                        if waits:
                            self._desk.recall(flight)
            case Cancel(id_):
                if entry := self.readers.pop(id_, None):
                    entry[1].free_all()
                    entry[0].leave(entry[1])
                else:
                    self._desk.forget(self, id_)
            case Freed(id_, number):
                if entry := self.readers.get(id_):
                    entry[1].free(number)
                    self.tidy(id_)
            case Body(id_):
                if (entry := self.readers.get(id_)) and entry[1].upload is not None:
                    entry[1].upload.feed(message)
            case Bad():
                self._desk.bad(message)
            case Invalidate(name):
                self._desk.invalidate(name)
            case Forget():
                self._desk.purge(self, message)
            case _:
                raise ValueError(f"a worker does not say {type(message).__name__}")

    def take(self, fetch: Fetch) -> None:
        """Have one fetch taken; the worker hears if that cannot be done."""
        try:
            self._desk.fetch(self, fetch)
        except Exception:
            log.exception("a fetch could not be taken")
            self.channel.send(Fail(fetch.id, 500, Reason.INTERNAL, "internal error"))

    def tidy(self, id_: int) -> None:
        """Forget a fetch that is over and holds no scratch."""
        entry = self.readers.get(id_)
        if entry is not None and entry[1].gone and not entry[1].scratch:
            del self.readers[id_]

    def _on_lost(self) -> None:
        readers, self.readers = self.readers, {}
        for flight, reader in readers.values():
            reader.free_all()
            if not reader.gone:
                flight.leave(reader)
        self._desk.link_lost(self)
