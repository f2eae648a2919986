"""What every fill of a keeper works with; made in `shops`."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from cachetools import LRUCache, TTLCache

from edge.clock import Clock
from edge.fill.ahead import Ahead
from edge.fill.flight import Flight
from edge.fill.hottest import Hottest
from edge.fill.live import LiveDirectories
from edge.fill.rangeless import Rangeless
from edge.fill.settings import FillSettings
from edge.fill.sinks import ScratchBudget
from edge.origin.group import Group
from edge.origin.pool import Pool
from edge.policy.rules import SiteRules
from edge.store.thread import StoreThread
from edge.words import KIB

LOOK: Final = 0.01  # seconds for which who waits is known: each piece asks
TWICE_SHARE: Final = 0.04  # of all bytes asked for in pieces: what a bad moment needs, many good ones have saved
TWICE_FIRST: Final = 64.0 * KIB
TWICE_MOST: Final = 512.0 * KIB


class Body(Protocol):
    """A body that is brought in pieces."""

    @property
    def pool(self) -> Pool:
        """Whose connections bring it."""

    @property
    def wanting(self) -> int | None:
        """How many pieces it has under way; None if it does not want more."""

    serves: Callable[[], bool]  # does a player wait for it now? If not, it is ahead of one
    awaited: bool  # the same, when it was looked at last

    def begin(self) -> None:
        """Ask for more, as far as there is room."""


@dataclass(slots=True)
class SpreadBudget:
    """What bodies that come in pieces share; one object for all settings that a keeper has had.

    Memory is shared by all, a path and its connections by those that come from one member: what many bodies take of one
    is no reason to ask another for less.
    """

    held: int = 0  # bytes asked for in pieces and not given out yet
    twice: float = TWICE_FIRST  # bytes that may come beyond the bodies: heads, what is asked for again because it lags
    bodies: list[Body] = field(default_factory=list)
    _looked: float = 0.0
    _sharing: Counter[Pool] = field(default_factory=Counter)  # bodies of each member ...
    _awaited: Counter[Pool] = field(default_factory=Counter)  # ... and those of them that a player waits for
    _due: set[Pool] = field(default_factory=set)  # members of which more may be asked for in a moment

    def earn(self, size: int) -> None:
        """So many bytes have been asked for."""
        self.twice = min(TWICE_MOST, self.twice + TWICE_SHARE * size)

    def spend(self, size: int) -> None:
        """So many bytes were no part of a body."""
        self.twice -= size

    def enter(self, body: Body) -> None:
        self.bodies.append(body)
        self._looked = 0.0

    def leave(self, body: Body) -> None:
        self.bodies.remove(body)
        self._looked = 0.0

    def sharing(self, body: Body, now: float) -> int:
        """Among how many bodies is shared what this one may have? What is ahead takes nothing from who waits."""
        if now - self._looked >= LOOK:
            self._looked = now
            for one in self.bodies:
                one.awaited = one.serves()
            self._sharing = Counter(one.pool for one in self.bodies)
            self._awaited = Counter(one.pool for one in self.bodies if one.awaited)
        return max(1, (self._awaited if body.awaited else self._sharing)[body.pool])

    def look_again(self, pool: Pool, seconds: float) -> bool:
        """There is room for more of this member's in a moment. Is that news?"""
        if pool in self._due:
            return False
        self._due.add(pool)
        asyncio.get_running_loop().call_later(seconds, self._is_due, pool)
        return True

    def _is_due(self, pool: Pool) -> None:
        self._due.discard(pool)
        self.room(pool)

    def room(self, pool: Pool) -> None:
        """There may be more of this member's: those that a player waits for are next, of these the ones with the fewest
        under way."""
        wanting = [(not body.awaited, body.wanting or 0, number) for number, body in enumerate(self.bodies)
                   if body.pool is pool and body.wanting is not None]  # fmt: skip
        bodies = list(self.bodies)
        for _, _, number in sorted(wanting)[:2]:
            bodies[number].begin()


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where some sites' misses are fetched, and how."""

    settings: FillSettings
    group: Group


@dataclass(slots=True)
class Shop:
    """What a fill works with; one per upstream, made in `shops`. All but `settings` and `group` is the keeper's own."""

    settings: FillSettings
    group: Group
    store: StoreThread
    clock: Clock
    sites: Mapping[str, SiteRules]
    scratch: ScratchBudget
    slice_size: int
    secret: bytes  # the volume's, which keys the names
    landing: dict[bytes, Flight]  # all has come and is being kept: in a moment it is in the index
    hottest: Hottest
    ahead: Ahead
    alone: TTLCache[bytes, bool]  # names whose answers are not shareable
    rangeless: Rangeless
    live: LiveDirectories
    spread: SpreadBudget = field(default_factory=SpreadBudget)
    sizes: LRUCache[bytes, int] = field(
        default_factory=lambda: LRUCache(4096)
    )  # directory of a path -> length of the last object from there

    def rules(self, site: str, path: bytes) -> SiteRules:
        """What holds for a path of a site."""
        return (self.sites.get(site) or next(iter(self.sites.values()))).at(path)
