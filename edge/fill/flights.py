"""Which fills are under way in a keeper, and who waits for what one has brought to be in the index.

A flight is *listed* under the name of what it brings, where others join it; one that is its leader's alone, or that
is not to be joined any more, stands apart, where only a purge looks for it.
"""

from typing import Generic, TypeVar

from edge.fill.flight import Flight
from edge.fill.messages import Fetch

L = TypeVar("L")


class Flights:
    """All of them; changed by who leads and ends them."""

    def __init__(self) -> None:
        self.listed: dict[bytes, Flight] = {}
        self._apart: set[Flight] = set()

    def __repr__(self) -> str:
        return f"<Flights {list(self.listed.values())} apart={len(self._apart)}>"

    def __len__(self) -> int:
        return len(self.listed) + len(self._apart)

    def all(self) -> list[Flight]:
        return [*self.listed.values(), *self._apart]

    def add(self, flight: Flight) -> None:
        """Listed, if others may join it; one whose place it takes stands apart, for nobody has been able to join it."""
        if flight.joinable:
            former = self.listed.get(flight.name)
            if former is not None:
                self._apart.add(former)
            self.listed[flight.name] = flight
        else:
            self._apart.add(flight)

    def set_apart(self, flight: Flight) -> None:
        """Another flight of its name may be led; a purge still finds this one."""
        self._unlist(flight)
        self._apart.add(flight)

    def rename(self, flight: Flight, name: bytes) -> None:
        """It brings what lies under another name: those who want that join it, if nobody else brings that already."""
        if name == flight.name:
            return
        if self._unlist(flight):
            if name in self.listed:
                flight.joinable = False
                self._apart.add(flight)
            else:
                self.listed[name] = flight
        flight.name = name

    def remove(self, flight: Flight) -> None:
        """It has ended."""
        self._unlist(flight)
        self._apart.discard(flight)

    def _unlist(self, flight: Flight) -> bool:
        if self.listed.get(flight.name) is not flight:
            return False
        del self.listed[flight.name]
        return True


class Waiting(Generic[L]):
    """Fetches that wait for a flight's landing, each with the link that it came by."""

    def __init__(self) -> None:
        self._of: dict[Flight, list[tuple[L, Fetch]]] = {}

    def __repr__(self) -> str:
        return f"<Waiting {sum(map(len, self._of.values()))}>"

    def add(self, flight: Flight, link: L, fetch: Fetch) -> None:
        self._of.setdefault(flight, []).append((link, fetch))

    def take(self, flight: Flight) -> list[tuple[L, Fetch]]:
        """Who has waited for this one; they wait no longer."""
        return self._of.pop(flight, [])

    def forget(self, link: L, id_: int) -> None:
        """A fetch was cancelled."""
        for flight, waiting in self._of.items():
            self._of[flight] = [(by, fetch) for by, fetch in waiting if by is not link or fetch.id != id_]

    def forget_all(self, link: L) -> None:
        """A worker has gone."""
        for flight, waiting in self._of.items():
            self._of[flight] = [(by, fetch) for by, fetch in waiting if by is not link]
