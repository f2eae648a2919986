"""What the admin API can do to this node: the supervisor's side of it, wired."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge import __version__
from edge.clock import SystemClock
from edge.config.schema import Settings
from edge.control.aims import aims_of, raw
from edge.control.asks import PurgeAsk, PurgeTold, WarmAsk
from edge.control.fetching import Brought, Fetching, Pace, stored
from edge.control.owed import SEEN_SECONDS, Owed, pay_again_after
from edge.control.roles import Operator
from edge.control.title import Title, referred
from edge.control.warm import Warmth
from edge.control.warmjob import Job
from edge.delivery.places import Place, Places
from edge.errors import BadRequest, ConfigError, EdgeError, OriginError
from edge.fill.messages import FORGET_MOST, fitting
from edge.observe.summary import summary, summed
from edge.policy.purges import Purge
from edge.runtime import convert, sampling
from edge.runtime.child import lay_down_level
from edge.runtime.explaining import explain
from edge.runtime.fleet import Here, Publisher, bus_settings
from edge.runtime.holdings import Holdings
from edge.runtime.masking import masked
from edge.runtime.report import say
from edge.runtime.standing import asked_of, breakers, outcome, stored_of
from edge.runtime.volumes import Volumes
from edge.store.doubts import SUPERVISOR
from edge.store.hits import Shared
from edge.store.purgelog import EVERYTHING_STALE
from edge.store.record import Flag
from edge.tasks import Tasks
from edge.words import Reason, Role

if TYPE_CHECKING:
    from edge.runtime.supervisor import Supervisor

KEEPER_SECONDS: Final = 10.0  # a keeper that has died is back by then
LATE_SECONDS: Final = 3.0  # for keepers that are later than the first; they are asked whether they are there or not
PURGE_SECONDS: Final = 120.0
OWED_SECONDS: Final = 0.5  # between two looks at what volumes owe

log = logging.getLogger("edge.control")


class ControlPlane:
    """The node, as `control` needs it. Links to the keepers are made when they are first needed."""

    def __init__(self, supervisor: "Supervisor", holdings: Holdings, reload: Callable[[], None] | None) -> None:
        self._supervisor, self._holdings, self._reload = supervisor, holdings, reload
        self._clock = SystemClock()
        self._began = time.monotonic()
        self._tasks = Tasks("control")
        self._volumes: Volumes | None = None
        self._known: tuple[Settings, Places] | None = None
        self._operators: tuple[Settings, tuple[Operator, ...]] | None = None
        state = Path(holdings.state_dir)
        self._numbers = [link.volume for link in holdings.links]  # of volumes that can be used
        directories = {self._label(n): Path(said.path) for n, said in enumerate(supervisor.settings.volumes)}
        self.owed = Owed(directories, [self._label(number) for number in self._numbers], self._clock.wall())
        self._shared = Shared.of(holdings.hits_fd, SUPERVISOR)
        self._paying: set[int] = set()
        self._pauses: dict[int, tuple[float, float]] = {}  # of volumes whose last payment failed: seconds, until when
        self.warmth = Warmth(state / "warm", self._bring, self._read, self._clock)
        here = Here(lambda: self._supervisor.settings, self.purge_these, self.warmth)
        self._publisher = Publisher(here, bus_settings(supervisor.settings), state, supervisor.meters, self._clock)

    def __repr__(self) -> str:
        return f"<ControlPlane volumes={self._volumes}>"

    def start(self) -> None:
        """Go on with the warm jobs of before."""
        self.warmth.start()
        self._publisher.start()
        self._tasks.spawn(self._watch(), "owed")

    async def close(self, *, stays: bool) -> None:
        """`stays`: another program goes on in this process."""
        await self._publisher.close(stays=stays)
        await self.warmth.close()
        await self._tasks.close()
        if self._volumes is not None:
            self._volumes.close()

    def operators(self) -> Sequence[Operator]:
        """Who may use the API over TCP, by the configuration in use."""
        settings = self._supervisor.settings
        if self._operators is None or self._operators[0] is not settings:
            self._operators = settings, convert.operators(settings)
        return self._operators[1]

    # -- the cache -------------------------------------------------------------------------------

    async def _links(self) -> Volumes:
        if self._volumes is None:
            links = [(link.volume, link.path) for link in self._holdings.links]
            self._volumes = Volumes(self._supervisor.settings, links, self._clock, self._shared, self._tasks)
        try:
            async with asyncio.timeout(KEEPER_SECONDS):
                await self._volumes.greeted(LATE_SECONDS)
        except TimeoutError:
            raise EdgeError("no keeper answers") from None
        return self._volumes

    def _places(self, volumes: Volumes) -> Places:
        settings = self._supervisor.settings
        if self._known is None or self._known[0] is not settings:
            self._known = settings, Places(convert.site_rules(settings), volumes.homes(), remembered=1000)
        places = self._known[1]
        places.settle(volumes.homes())
        return places

    async def _fetching(self, url: str, *, wanted: bool, pace: Pace) -> Fetching:
        volumes = await self._links()
        place = self._place(volumes, url)
        settings = convert.delivery_settings(self._supervisor.settings, volumes.homes()[place.volume].secret)
        volume = volumes.serving[place.volume]
        return Fetching(volume, place, settings.node.encode(), settings.mark, wanted=wanted, pace=pace)

    def _place(self, volumes: Volumes, url: str) -> Place:
        return self._places(volumes).find(None, raw(url))

    async def _bring(self, url: str, pace: Pace) -> Brought:
        return await (await self._fetching(url, wanted=False, pace=pace)).run(self._clock.wall())

    async def _read(self, url: str) -> bytes:
        """The body of a list. EdgeError: it cannot be had."""

        async def at_once(_: int) -> None:
            return None

        brought = await (await self._fetching(url, wanted=True, pace=at_once)).run(self._clock.wall())
        if brought.status != 200:
            raise OriginError(Reason.BAD_RESPONSE, f"the answer was {brought.status}")
        return brought.body

    async def _list_of(self, url: str) -> bytes:
        """A list as it is stored, however stale: players have what it names; else as the origin has it now."""
        volumes = await self._links()
        place = self._place(volumes, url)
        reader = volumes.serving[place.volume].reader
        record, body = stored(reader, place.name)
        if record is None or record.status != 200 or record.flags & Flag.VARIES:
            return await self._read(url)
        if body is not None:
            return body
        if record.first is not None and record.first.length == record.total:
            with contextlib.suppress(EdgeError, OSError):  # a worker will find it, too
                return await reader.read_verified(record, record.first, 0, record.total)
        return await self._read(url)

    # -- purges ----------------------------------------------------------------------------------

    async def purge(self, ask: PurgeAsk) -> PurgeTold:
        """On every volume of this node; it holds when this returns, but for those that `failed`."""
        if ask.fleet:
            self._publisher.here()  # before anything is done
        began = self._clock.monotonic()
        sites = convert.site_rules(self._supervisor.settings)
        title = await referred(ask.title, self._list_of) if ask.title is not None else Title()
        told = await self.purge_these(aims_of(ask, sites, title.urls), ask, began)
        told = told.model_copy(update={"unread": title.unread})
        return await self._publisher.purged(told, ask, title.urls) if ask.fleet else told

    async def warm(self, ask: WarmAsk) -> Job:
        return await self._publisher.warm(ask, self.warmth) if ask.fleet else self.warmth.add(ask)

    async def fleet(self) -> dict[str, Any]:
        """The fleet as this node sees it."""
        fleet = self._publisher.fleet
        return await fleet.told() if fleet is not None else {"connected": False, "why": "no [fleet] is configured"}

    async def purge_these(self, whats: Sequence[Purge], ask: PurgeAsk, began: float) -> PurgeTold:
        await self._links()
        results = await asyncio.gather(*(self._purge_on(number, whats, dry=ask.dry_run) for number in self._numbers))
        failed = {label: why for label, _, _, why in results if why}
        if not ask.dry_run:
            late = [*self.owed.absent(), *(self.owed.who(label) for label in failed)]
            if late and not await self.owed.add(late, whats):
                failed |= {self.owed.where(who): "it is away" for who in self.owed.absent()}
                failed = {label: f"{why}; nor can it be written down that it is owed" for label, why in failed.items()}
            self._supervisor.meters.count("edge_purges_total", "failed" if failed else "done")
        seconds = self._clock.monotonic() - began
        return PurgeTold(
            objects=sum(objects for _, objects, _, _ in results), length=sum(length for _, _, length, _ in results),
            seconds=round(seconds, 4), soft=ask.soft, dry_run=ask.dry_run, named=len(whats), failed=failed,
        )  # fmt: skip

    async def _purge_on(self, number: int, whats: Sequence[Purge], *, dry: bool) -> tuple[str, int, int, str]:
        label, objects, length = self._label(number), 0, 0
        assert self._volumes is not None
        asker = self._volumes.asker(number)
        deadline = self._clock.monotonic() + KEEPER_SECONDS
        at = 0
        while at < len(whats):
            some = whats[at : at + fitting(whats[at : at + FORGET_MOST])]
            try:
                async with asyncio.timeout(PURGE_SECONDS):
                    told = await asker.forget(*some, dry=dry)
            except (ConnectionError, TimeoutError) as error:
                if self._clock.monotonic() > deadline:
                    return label, objects, length, str(error) or "no answer"
                await asyncio.sleep(0.1)  # it starts anew: to purge twice does no harm
                continue
            if told.error:
                return label, objects, length, told.error
            objects, length, at = objects + told.objects, length + told.length, at + len(some)
        return label, objects, length, ""

    # -- what is owed ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See who is away, and have volumes do what they owe as soon as they can; keep no pack that has gone."""
        told = self._clock.monotonic()
        while True:
            await asyncio.sleep(OWED_SECONDS)
            if self._volumes is not None:  # lists are read here, from packs
                self._volumes.let_go_of_gone_packs()
            if self._clock.monotonic() - told >= SEEN_SECONDS:
                told = self._clock.monotonic()
                await self.owed.seen(self._clock.wall())
            for number in self._numbers:
                if self._shared.versions.take_left(number):
                    await self._was_left(number)
                self._pay_soon(number)

    async def _was_left(self, number: int) -> None:
        """The others have its objects from now on, perhaps in later versions (or nobody knows what was purged)."""
        label = self._label(number)
        who = self.owed.who(label)
        if number not in self._paying and any(what == EVERYTHING_STALE for _, what in self.owed.of(who)):
            return
        say(f"{label} was left: all that it has is asked about before its next use")
        await self.owed.add([who], [EVERYTHING_STALE])

    def left(self, number: int) -> int:
        """How often workers have left a volume by what it owes."""
        return self._shared.versions.left_and_taken(number)

    def keeper_ready(self, number: int) -> None:
        """A volume has its keeper."""
        self._pauses.pop(number, None)
        self._tasks.spawn(self._receive(number), "owed")

    async def _receive(self, number: int) -> None:
        await self.owed.present(self._label(number), self._clock.wall())
        self._pay_soon(number)

    def _pay_soon(self, number: int) -> None:
        _, until = self._pauses.get(number, (0.0, 0.0))
        if (
            self._clock.monotonic() >= until
            and number not in self._paying
            and self.owed.of(self.owed.who(self._label(number)))
        ):
            self._paying.add(number)
            self._tasks.spawn(self._pay(number), "pay")

    async def _pay(self, number: int) -> None:
        """All that a volume owes, as long as it can be written. What it does not confirm is tried again."""
        who = self.owed.who(self._label(number))
        try:
            volumes = await self._links()
            while entries := self.owed.of(who):
                volume = volumes.serving.get(number)
                if volume is None or not volume.asker.up or not volume.reader.hello.writable:
                    return
                some = next([*alike] for _, alike in groupby(entries[:FORGET_MOST], lambda entry: entry[1].soft))
                some = some[: fitting([what for _, what in some])]
                told = await volume.asker.forget(*dict.fromkeys(what for _, what in some), owed=True)
                if told.error:
                    pause = pay_again_after(self._pauses.get(number, (0.0, 0.0))[0])
                    self._pauses[number] = pause, self._clock.monotonic() + pause
                    return
                self._pauses.pop(number, None)
                await self.owed.paid(who, [id_ for id_, _ in some])
                say(f"{self._label(number)} has done {len(some)} purges that it owed: {told.objects} objects")
        except (ConnectionError, EdgeError):
            pass
        finally:
            self._paying.discard(number)

    def _label(self, number: int) -> str:
        return self._supervisor.settings.volume_label(number)

    # -- telling ---------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        supervisor = self._supervisor
        workers = supervisor.of(Role.WORKER)
        return {
            "version": __version__,
            "pid": os.getpid(),
            "node": supervisor.settings.server.node,
            "state": supervisor.readiness()[1],
            "uptime": round(time.monotonic() - self._began, 1),
            "workers": sum(place.ready and not place.retired for place in workers),
            "retiring": sum(place.retired for place in workers),
            "generation": supervisor.generation,
            "refused": supervisor.refused,
            **summary(supervisor.readers),
        }

    def top(self, count: int) -> dict[str, Any]:
        numbers = [place.charter.number for place in self._supervisor.of(Role.WORKER) if not place.retired]
        paths = [sampling.path_of(self._holdings.runtime_dir, number) for number in numbers]
        sites = summary(self._supervisor.readers)["sites"]
        busiest = [{"site": name, **told} for name, told in list(sites.items())[:count]]
        return {"sites": busiest, "objects": sampling.gathered(paths, count)}

    async def explain(self, url: str) -> dict[str, Any]:
        """What the configuration says of a URL, and what is stored for it here and now."""
        try:
            told: dict[str, Any] = dict(explain(self._supervisor.settings, url))
        except ConfigError as wrong:
            raise BadRequest(wrong.hint) from wrong
        volumes = await self._links()
        place = self._place(volumes, url)
        reader = volumes.serving[place.volume].reader
        record, body = stored(reader, place.name)
        now = self._clock.wall()
        told["volume"] = self._label(place.volume)
        told["stored"] = stored_of(reader, record, body, now) if record is not None else None
        told["status"], told["because"] = outcome(record, told["stored"], now)
        upstream = place.rules.upstream
        states = breakers(summed(self._supervisor.readers)["edge_circuit_breaker_state"], upstream)
        told["asked"] = asked_of(self._supervisor.settings, place.key, states, upstream)
        return told

    def config(self) -> dict[str, Any]:
        return masked(self._supervisor.settings.to_json())

    # -- doing -----------------------------------------------------------------------------------

    def drain(self, *, on: bool) -> str:
        self._supervisor.out_of_service = on
        say("an operator drains this node: /readyz says 503" if on else "this node is in service again")
        return "drained: /readyz says 503, players are served on" if on else "in service"

    def reload(self) -> str:
        if self._reload is None:
            raise BadRequest("there is nothing to reload from", 409)
        self._reload()
        return "begun: edge_config_reloads_total and the log say what became of it"

    async def upgrade(self) -> str:
        return await self._supervisor.upgrade()

    def log_level(self, level: str) -> str:
        logging.getLogger("edge").setLevel(level.upper())
        lay_down_level(self._holdings.runtime_dir, level)
        for place in self._supervisor.places:
            if place.ready:
                place.signal(signal.SIGHUP)
        say(f"log level: {level}")
        return level
