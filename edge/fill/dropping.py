"""Bad extents on their way out of the index, and the fetches that wait for that.

Else the index would still offer what a worker has just found bad, and both would send each other round in circles.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.fill.link import Link
from edge.fill.messages import Bad, Fetch
from edge.store.thread import StoreThread
from edge.words import Eviction, Reason

log = logging.getLogger("edge.fill")


@dataclass(slots=True)
class _Dropping:
    """Of one name."""

    drops: int = 0
    waiting: list[tuple[Link, Fetch]] = field(default_factory=list)


class Drops:
    """`again` takes a fetch that has waited; `dropped` counts an extent that was bad, once however many found it."""

    def __init__(
        self, store: StoreThread, again: Callable[[Link, Fetch], None], dropped: Callable[[Reason], None]
    ) -> None:
        self._store = store
        self._again = again
        self._count = dropped
        self._dropping: dict[bytes, _Dropping] = {}

    def __repr__(self) -> str:
        return f"<Drops of {len(self._dropping)} names>"

    def waits(self, name: bytes, link: Link, fetch: Fetch) -> bool:
        """Has this fetch to wait? It comes back when its turn has come."""
        dropping = self._dropping.get(name)
        if dropping is None:
            return False
        dropping.waiting.append((link, fetch))
        return True

    def drop(self, message: Bad) -> None:
        """A stored extent did not verify: out with it."""
        dropping = self._dropping.setdefault(message.name, _Dropping())
        dropping.drops += 1
        volume = self._store.volume
        dropped = self._store.call_patiently(
            volume.mending.drop_extent, message.name, message.generation, message.pack, message.offset, Eviction.CORRUPT
        )
        dropped.add_done_callback(lambda done: self._dropped(message, done))

    def _dropped(self, bad: Bad, done: "asyncio.Future[bool]") -> None:
        """The index does not offer it any more: those who asked meanwhile have their turn."""
        failed = not done.cancelled() and done.exception() is not None
        if failed:
            log.error("a bad extent could not be dropped: %s", done.exception())
        if failed or (not done.cancelled() and done.result()):
            self._count(bad.reason)
        name = bad.name
        dropping = self._dropping[name]
        dropping.drops -= 1
        if dropping.drops == 0:
            del self._dropping[name]
            for link, fetch in dropping.waiting:
                if not link.channel.closed:
                    self._again(link, fetch)

    def forget(self, link: Link, id_: int) -> None:
        """A fetch that waited has been cancelled."""
        for dropping in self._dropping.values():
            dropping.waiting = [(by, fetch) for by, fetch in dropping.waiting if by is not link or fetch.id != id_]
