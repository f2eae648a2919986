"""A worker's volumes: a link and a reader for each, and which of them objects live on now.

A volume serves from its keeper's first hello on. It is out while its keeper has been gone for a while, or says that
its disk is bad, while its index cannot be read, and for a minute when its keepers die one after the other: then its
objects are fetched again into the others, and come back to it with it (weighted rendezvous hashing: nothing else
moves). The last one is never out.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from edge.clock import Clock
from edge.config.schema import Settings
from edge.delivery.places import Home, Places
from edge.delivery.serving import Volume
from edge.fill.asking import Asker
from edge.fill.messages import NO_NAME, Bad, Hello
from edge.store.bus import Bus
from edge.store.hits import Shared
from edge.store.reader import Reader
from edge.store.settings import VolumeHello
from edge.tasks import Tasks
from edge.words import Reason

LATE_SECONDS: Final = 10.0  # at the start, for keepers later than the first: to leave a volume costs more than to wait
GONE_SECONDS: Final = 10.0  # a keeper that starts anew is back sooner, also with an index to rebuild
FALLS: Final = 3  # keepers that died within UNSTEADY_SECONDS: the next one will, too, of what it is asked
UNSTEADY_SECONDS: Final = 60.0
ANEW_SECONDS: Final = 30.0  # an index that could not be read is opened anew
WATCH_SECONDS: Final = 0.1  # packs that have gone free their blocks when workers let go of them, too

log = logging.getLogger("edge.runtime")


class Volumes:
    """`serving` has all volumes that ever said hello, by number; `homes` those that objects live on now."""

    def __init__(
        self, settings: Settings, links: Sequence[tuple[int, str]], clock: Clock, shared: Shared, tasks: Tasks
    ) -> None:
        self.serving: dict[int, Volume] = {}
        self._settings = settings
        self._clock = clock
        self._shared = shared
        self._tasks = tasks
        self._first = asyncio.Event()
        self._all = asyncio.Event()
        self._seen: dict[int, float] = {}  # when its keeper was last known to be there
        self._losses: dict[int, int] = {}
        self._falls: dict[int, deque[float]] = {}  # when its keepers died
        self._unreadable: dict[int, float] = {}  # since when its index is
        self._bus = Bus()
        self._bus.install()
        self._known: dict[int, Home] = {}
        self._askers = {number: Asker(path, partial(self._on_hello, number)) for number, path in links}
        for asker in self._askers.values():
            asker.connect()

    def __repr__(self) -> str:
        return f"<Volumes {sorted(self.serving)} of {len(self._askers)}>"

    def _on_hello(self, number: int, hello: Hello) -> None:
        said = VolumeHello.from_json(hello.volume)
        known = self.serving.get(number)
        if known is not None:
            known.reader.reopen(said)
        else:
            reader = Reader(said, self._clock, self._shared, self._bus)
            self.serving[number] = Volume(reader, self._askers[number], self._tasks)
        self._first.set()
        if len(self.serving) == len(self._askers):
            self._all.set()

    def asker(self, number: int) -> Asker:
        """The link to a volume's keeper, whether that is there or not."""
        return self._askers[number]

    async def greeted(self, seconds: float = LATE_SECONDS) -> None:
        """Until all keepers have said hello, or at least one has and the others are so much later."""
        await self._first.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all.wait()

    def homes(self) -> dict[int, Home]:
        """The volumes that objects live on now, at least one."""
        now = self._clock.monotonic()
        there, sizes = {}, self._settings.volumes
        for number, volume in self.serving.items():
            if volume.asker.up:
                self._seen[number] = now
            hello = volume.reader.hello
            bad = hello.off or volume.reader.unreadable or self._is_unsteady(number, volume.asker.losses, now)
            if now - self._seen.get(number, now) < GONE_SECONDS and not bad:
                there[number] = Home(hello.secret, sizes[number].size)
        if not there:
            number, volume = min(self.serving.items())
            there[number] = Home(volume.reader.hello.secret, sizes[number].size)
        return there

    def _is_unsteady(self, number: int, losses: int, now: float) -> bool:
        """Do its keepers come, and die?"""
        falls = self._falls.setdefault(number, deque([-UNSTEADY_SECONDS] * FALLS, FALLS))
        seen = self._losses.get(number, 0)
        falls.extend([now] * (losses - seen))
        self._losses[number] = losses
        return now - falls[0] < UNSTEADY_SECONDS

    async def watch(self, places: Places) -> None:
        """Tell `places` whenever that changes; give evicted packs back to the file system."""
        self._known = self.homes()
        self._leave(self._askers.keys() - self._known.keys())
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.let_go_of_gone_packs()
            for number, volume in self.serving.items():
                if volume.reader.presence.due:
                    self._tasks.spawn(volume.reader.presence.look(), "index")
                self._look_after_index(number, volume)
            self.settle(places)

    def let_go_of_gone_packs(self) -> None:
        """Evicted packs take up the disk for as long as anybody has them open, and this process may."""
        for volume in self.serving.values():
            volume.reader.let_go_of_gone_packs()

    def settle(self, places: Places) -> None:
        """Tell `places` if that has changed."""
        homes = self.homes()
        if homes != self._known:
            self._leave(self._known.keys() - homes.keys())
            said = ", ".join(self._settings.volume_label(number) for number in sorted(homes))
            log.warning("objects live on: %s", said)
            places.settle(homes)
            self._known = homes

    def _leave(self, numbers: Iterable[int]) -> None:
        """Others have these volumes' objects from now on, so what they have is asked about when they are back."""
        for number in numbers:
            self._shared.versions.leave(number)

    def _look_after_index(self, number: int, volume: Volume) -> None:
        """One that could not be read is an error of the disk, and is tried again after a while."""
        if not volume.reader.unreadable:
            self._unreadable.pop(number, None)
            return
        now = self._clock.monotonic()
        if number not in self._unreadable:
            log.error("the index of %s cannot be read", self._settings.volume_label(number))
            reader = volume.reader
            if reader.damaged:
                volume.asker.tell(Bad(NO_NAME, reader.hello.epoch, 0, 0, Reason.CORRUPT))
            else:
                volume.asker.tell(Bad(NO_NAME, 0, 0, 0, Reason.STORE_FAILED))
        if now - self._unreadable.setdefault(number, now) >= ANEW_SECONDS:
            del self._unreadable[number]
            volume.reader.reopen(volume.reader.hello)

    def links(self) -> Iterator[tuple[str, Asker, Volume | None]]:
        """Of each volume: what metrics call it, the link to its keeper, and itself once it has said hello."""
        for number, asker in self._askers.items():
            yield self._settings.volume_label(number), asker, self.serving.get(number)

    def take_cold_reads(self) -> int:
        """Windows read from the disks since the last call."""
        return sum(volume.reader.take_cold_reads() for volume in self.serving.values())

    def take_cold_lookups(self) -> int:
        """Names looked up in a thread since the last call."""
        return sum(volume.reader.take_cold_lookups() for volume in self.serving.values())

    def close(self) -> None:
        for asker in self._askers.values():
            asker.close()
        for volume in self.serving.values():
            volume.reader.close()
        self._bus.remove()
