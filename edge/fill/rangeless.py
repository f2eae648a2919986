"""Where ranges are not to be had: places at a member whose answers to them cannot be put together.

As narrow as can be told: one member, one site, one directory, one kind. A packager whose live segments have no
validator says nothing of the films beside them, nor a member without ranges of the others. What is not known yet costs
one request, or none: an answer that is whole is taken as it is.
"""

from typing import Final

from cachetools import TTLCache

from edge.clock import Clock
from edge.fill.messages import Fetch
from edge.words import Kind

MOST: Final = 8192  # places, those asked for last; about 300 bytes each
_ANY: Final = ""  # stands for all members together

Place = tuple[str, str, bytes, Kind]


def directory(path: bytes) -> bytes:
    """Segments of one rendition lie beside each other, and are about equally long."""
    return path.rpartition(b"/")[0]


class Rangeless:
    """Remembered for so many seconds, and no more than MOST places."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._places: TTLCache[Place, bool] = TTLCache(MOST, seconds, timer=clock.monotonic)

    def __repr__(self) -> str:
        return f"<Rangeless {len(self._places)} places>"

    def note(self, member: str, fetch: Fetch) -> None:
        """What lies beside this object is asked for whole at this member."""
        for name in (member, _ANY):
            self._places[_place(name, fetch)] = True

    def at(self, member: str, fetch: Fetch) -> bool:
        """Are ranges not to be had there?"""
        return bool(self._places) and self._places.get(_place(member, fetch), False)

    def anywhere(self, fetch: Fetch) -> bool:
        """At one member or another?"""
        return self.at(_ANY, fetch)

    def clear(self) -> None:
        self._places.clear()


def _place(member: str, fetch: Fetch) -> Place:
    return member, fetch.site, directory(fetch.path), fetch.kind
