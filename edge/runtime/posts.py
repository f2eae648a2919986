"""Who works here: the places of all children, and the metric slots of each post, which outlive its processes."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from socket import socket

from edge.config.schema import Settings
from edge.observe.slots import SlotReader, SlotWriter
from edge.runtime.charter import Charter
from edge.runtime.holdings import Holdings
from edge.runtime.places import Place
from edge.words import Role


class Posts:
    """`entries` says which function plays a role; `log_secret` keys the hashes of addresses in the log."""

    def __init__(self, entries: Mapping[str, str], log_secret: str) -> None:
        self._entries = entries
        self.log_secret = log_secret
        self.places: list[Place] = []
        self.slots: dict[str, int] = {}
        self.readers: list[SlotReader] = []

    def __repr__(self) -> str:
        return f"<Posts {[place.name for place in self.places]}>"

    def of(self, role: Role) -> list[Place]:
        return [place for place in self.places if place.role is role]

    def slot(self, holdings: Holdings, name: str) -> int:
        """The metric slots of a post: its counters go on whoever holds it."""
        if name not in self.slots:
            self.keep_slot(name, holdings.slot_file(f"slots-{name}"))
        return self.slots[name]

    def keep_slot(self, name: str, fd: int) -> None:
        """A slot file that there is."""
        self.slots[name] = fd
        self.readers.append(SlotReader(fd))

    def leave(self, place: Place) -> None:
        """Its last process has ended: what its gauges say of connections is true no more, however that was."""
        self.places.remove(place)
        SlotWriter(self.slots[_slot_of(place.role, place.charter.number)])  # as who comes next would begin

    def place(self, holdings: Holdings, settings: Settings, role: Role, number: int) -> Place:
        """A post for processes with these settings; nothing is started."""
        worker = role is Role.WORKER
        link_fd = -1 if worker else next(link.sock.fileno() for link in holdings.links if link.volume == number)
        charter = Charter(
            role=role,
            number=number,
            settings=settings,
            links=tuple((link.volume, link.path) for link in holdings.links),
            slot_fd=self.slot(holdings, _slot_of(role, number)),
            hits_fd=holdings.hits_fd,
            liveness_fd=holdings.liveness[0],
            status_fd=-1,
            link_fd=link_fd,
            listeners=tuple((sock.fileno(), tls) for sock, tls in holdings.players) if worker else (),
            entry=self._entries[role],
            runtime_dir=holdings.runtime_dir,
            log_secret=self.log_secret,
        )
        return Place(charter)

    def more_workers(
        self, holdings: Holdings, settings: Settings, players: Sequence[tuple[socket, bool]], generation: int
    ) -> list[Place]:
        """Posts for workers beside those that serve, under the lowest free numbers."""
        taken = {place.charter.number for place in self.of(Role.WORKER)}
        numbers = (number for number in itertools.count() if number not in taken)
        new = []
        for number in itertools.islice(numbers, settings.worker_count):
            place = self.place(holdings, settings, Role.WORKER, number)
            place.generation = generation
            place.charter = replace(place.charter, listeners=tuple((sock.fileno(), tls) for sock, tls in players))
            new.append(place)
        self.places += new
        return new


def _slot_of(role: Role, number: int) -> str:
    return f"{role}-{number}"
