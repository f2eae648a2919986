"""The supervisor: owns listening sockets and shared memory, starts children, replaces the dead, ends them in order.

Start: lock, limits, sockets, shared memory, admin, keepers and workers at once (a worker waits for its keeper).
Reload: see `reload`.
Stop: admin says 503, workers drain, then keepers write their clean marks, then we go. A second signal ends all.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from edge import __version__
from edge.config.schema import Settings
from edge.control.api import ROUTES, Api
from edge.control.openapi import render
from edge.control.owed import to_json
from edge.observe.meters import Meters
from edge.observe.render import Scrape
from edge.observe.slots import SlotWriter
from edge.runtime import pulse
from edge.runtime.admin import Admin
from edge.runtime.control import ControlPlane
from edge.runtime.ending import Ending
from edge.runtime.handover import Handover
from edge.runtime.holdings import Holdings, raise_descriptor_limit
from edge.runtime.inherited import Inherited
from edge.runtime.lifecycle import Phase
from edge.runtime.notify import Notifier
from edge.runtime.nursery import Nursery
from edge.runtime.places import Place, Process
from edge.runtime.posts import Posts
from edge.runtime.reload import Reloader
from edge.runtime.report import draining, say, say_facts, tell_settings
from edge.runtime.signals import STOPS, hold, release, stop_waits
from edge.runtime.upgrade import Upgrader, adopt, take_over
from edge.tasks import Tasks
from edge.words import Role

ENTRIES: Final[Mapping[str, str]] = {
    Role.WORKER: "edge.runtime.worker:run_worker",
    Role.KEEPER: "edge.runtime.keeper:run_keeper",
}
KEEPER_STOP: Final = 10.0  # journals, a sync of the newest pack, the clean mark
KILL_GRACE: Final = 1.0  # beyond drain_timeout, for a worker's own goodbyes
# A stop that is sent to all our processes, or to the group, may end children before the supervisor hears of it. One
# that ends as if it was told to has a successor only if we are not told, too, within these seconds.
AS_TOLD: Final = (0, -signal.SIGTERM)
TOLD_TOO: Final = 0.1
STOPPED, CRASHED, REFUSED = 0, 1, 2  # exit codes


class Supervisor:
    """`run` returns the exit code. `entries` says which function plays a role; `load` reads the settings anew.

    `nursery` forks the children; without one they are executed.
    """

    def __init__(
        self,
        settings: Settings,
        entries: Mapping[str, str] = ENTRIES,
        load: Callable[[], Settings] | None = None,
        nursery: Nursery | None = None,
        handover: Handover | None = None,
    ) -> None:
        self.nursery = nursery
        self.settings = settings
        self.generation = 0
        self.refused = ""  # why the last reload was; empty: it was taken up
        # A reload keeps the secret: a player's hash is one all day.
        self.posts = Posts(entries, handover.log_secret if handover is not None else secrets.token_hex(32))
        self.places, self.readers = self.posts.places, self.posts.readers
        self.out_of_service = False  # an operator has had load balancers take players elsewhere
        self.changed = asyncio.Event()  # a child has become ready, or has ended
        self._load = load
        self._handover = handover
        self.tasks = Tasks("supervisor")
        self.changes = Tasks("supervisor")  # reloads and upgrades: a stop ends them first
        self.turn = asyncio.Lock()  # of reloads and upgrades: one at a time
        self._phase = Phase.STARTING
        self._stop = asyncio.Event()
        self._ending = Ending(self.tasks)
        self._exit_code = STOPPED
        self.notifier = Notifier.of(os.environ, os.getpid())

    def __repr__(self) -> str:
        return f"<Supervisor {self._phase}>"

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until a signal, stop. ConfigError is raised before anything is served."""
        descriptors = raise_descriptor_limit()
        holdings = self._take()
        try:
            self.admin = await self._start_admin(holdings)
            self._install_signals(holdings)
            if not self._stop.is_set():
                self._begin(holdings, descriptors)
            await self._stop.wait()
            await self._end_all(holdings)
            await self.close_admin()
        finally:
            await self.tasks.close()
            holdings.close()
        say("stopped")
        return self._exit_code

    def _begin(self, holdings: Holdings, descriptors: int | None) -> None:
        if self._handover is None:
            say_facts(self.settings, holdings.players, holdings.admin, descriptors, holdings.missing)
            self.employ(self.places)
        else:
            self.changes.spawn(take_over(self, holdings, self._handover), "take over")
        self.tasks.spawn(self.notifier.beat(self._doing), "watchdog")
        self.tasks.spawn(self._watch(), "pulses")

    def _take(self) -> Holdings:
        """Everything that is ours alone, and the places for those who will work with it."""
        if self._handover is not None:
            holdings = Holdings.resume(self._handover)
            adopt(self, holdings, self._handover)
            self._phase = Phase.SERVING
            return holdings
        inherited = Inherited.of(os.environ, os.getpid())
        holdings = Holdings.take(self.settings, inherited)
        for address in inherited.close():
            say(f"an inherited socket is closed, since no listener has its address: {address}")
        posts, settings = self.posts, self.settings
        self.places += [posts.place(holdings, settings, Role.KEEPER, link.volume) for link in holdings.links]
        self.places += [posts.place(holdings, settings, Role.WORKER, n) for n in range(settings.worker_count)]
        return holdings

    async def close_admin(self, *, stays: bool = False) -> None:
        """Answer no operator any more, and let go of the cache. `stays`: another program goes on from here."""
        await self.admin.stop()
        await self._private.stop()
        await self._control.close(stays=stays)

    async def _start_admin(self, holdings: Holdings) -> Admin:
        self.meters = Meters(SlotWriter(self.posts.slot(holdings, "supervisor")))
        self.meters.gauge("edge_build_info", __version__, sys.version.split()[0], to=1)
        for place in self.of(Role.WORKER):
            self.meters.count("edge_worker_restarts_total", str(place.charter.number), by=0)
        self.tell_settings()
        self._control = ControlPlane(self, holdings, self._reload_soon if self._load is not None else None)
        document = render(ROUTES, __version__)
        guarded = Api(self._control, ROUTES, document, self._control.operators)
        admin = Admin(Scrape(self.readers), self.readiness, guarded.add_to)
        await admin.start(holdings.admin)
        own = Api(self._control, ROUTES, document, None)
        self._private = Admin(Scrape(self.readers), self.readiness, own.add_to)
        await self._private.start(holdings.control)
        self._control.start()
        return admin

    def tell_settings(self) -> None:
        """Metrics of the configuration that holds from now on."""
        tell_settings(self.meters, self.settings)

    def readiness(self) -> tuple[bool, str]:
        """Ready when all children were, as long as one worker is; from then on keepers come and go behind them."""
        if self._phase is Phase.SERVING and not any(place.ready for place in self.of(Role.WORKER)):
            return False, "no worker serves"
        if self._phase is Phase.SERVING and self.out_of_service:
            return False, "drained by an operator"
        return self._phase is Phase.SERVING, self._phase.value

    def _doing(self) -> str:
        """For `systemctl status`."""
        serving = sum(place.ready and not place.retired for place in self.of(Role.WORKER))
        return f"{self.readiness()[1]}: {serving} workers, generation {self.generation}"

    def of(self, role: Role) -> list[Place]:
        return self.posts.of(role)

    def hire(
        self, holdings: Holdings, settings: Settings, players: Sequence[tuple[socket.socket, bool]], generation: int
    ) -> list[Place]:
        """Start workers with new settings beside those that serve."""
        new = self.posts.more_workers(holdings, settings, players, generation)
        self.employ(new)
        return new

    def employ(self, places: Sequence[Place]) -> None:
        """Fill places with processes from now on."""
        for place in places:
            self.tasks.spawn(self._keep(place), place.name)

    # -- signals ---------------------------------------------------------------------------------

    def _install_signals(self, holdings: Holdings) -> None:
        loop = asyncio.get_running_loop()
        self.reloader = Reloader(self, holdings, self._load or (lambda: self.settings))
        for number in STOPS:
            loop.add_signal_handler(number, self._on_stop_signal)
        if self._load is not None:
            loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        else:
            loop.add_signal_handler(signal.SIGHUP, say, "there is nothing to reload from")
        self._upgrader = Upgrader(self, holdings, self._load)
        loop.add_signal_handler(signal.SIGUSR2, self._upgrade_soon)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)
        if stop_waits():
            self._stop.set()
        release()

    @property
    def stopping(self) -> bool:
        """True from the signal on."""
        return self._stop.is_set()

    def _on_stop_signal(self) -> None:
        if self._stop.is_set():
            self._ending.hurry.set()
            self._exit_code = CRASHED  # answers are cut, and there is no clean mark
        self._stop.set()

    def _reload_soon(self) -> None:
        if self._phase is Phase.SERVING:
            self.reloader.request()
        else:
            say(f"not reloaded: {self._phase.value}")

    def _upgrade_soon(self) -> None:
        self.changes.spawn(self._upgrader.by_signal(), "upgrade")

    async def upgrade(self) -> str:
        """Check the program that is installed now, and become it; BadRequest: why not."""
        return await self._upgrader.request()

    def _reopen_logs(self) -> None:
        for place in self.of(Role.WORKER):
            place.signal(signal.SIGUSR1)

    # -- children --------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """For ever: whose loop stands still is ended, so that his successor serves."""
        while True:
            await asyncio.sleep(pulse.BEAT_SECONDS)
            for place in self.places:
                place.look(say)

    async def _keep(self, place: Place) -> None:
        """Fill one place with processes, one after the other, until we stop."""
        while not self._stop.is_set() and not place.retired:
            started = time.monotonic()
            code = None
            try:
                code = await self._start(place).exited
                place.vacate(code)
            except OSError as error:
                place.last_words = f"no process: {error.strerror}"
            if code in AS_TOLD and not place.retired:
                await self._told_too()
            self.changed.set()
            if self._stop.is_set():
                return
            if place.retired:
                break
            delay = place.restarts.delay_after(time.monotonic() - started)
            if self._phase is Phase.STARTING and (place.refused or place.restarts.hopeless):
                if not self._can_do_without(place):
                    self._give_up(place)
                    return
                self._on_ready()
            if place.role is Role.WORKER:
                self.meters.count("edge_worker_restarts_total", str(place.charter.number))
            else:
                self.meters.count("edge_keeper_restarts_total", self.settings.volume_label(place.charter.number))
            say(f"{place.name} has ended ({place.last_words}), {_when(delay)}")
            await asyncio.sleep(delay)
        if place.retired:
            self.posts.leave(place)

    async def _told_too(self) -> None:
        """Until we are to stop, or have not been told to for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOLD_TOO):
                await self._stop.wait()

    def _start(self, place: Place) -> Process:
        """What a volume owes is hidden from its keeper's start on, until it is done; an index is left alone that the
        last keeper died of."""
        if place.role is Role.WORKER:
            return place.start(self._on_ready, say, self.nursery)
        owed, number = self._control.owed, place.charter.number
        entries = tuple(to_json(what) for _, what in owed.of(owed.who(self.settings.volume_label(number))))
        left = self._control.left(number)
        place.charter = replace(place.charter, owed=entries, left=left, distrust=place.broken)

        def on_ready() -> None:
            self._control.keeper_ready(number)
            self._on_ready()

        return place.start(on_ready, say, self.nursery)

    def _can_do_without(self, place: Place) -> bool:
        """Go on without a volume, trying again and again, as long as another one can be had."""
        place.missed = True
        keepers = self.of(Role.KEEPER)
        return place.role is Role.KEEPER and not all(keeper.missed for keeper in keepers)

    def _on_ready(self) -> None:
        self.changed.set()
        if self._phase is Phase.STARTING and all(place.ready or place.missed for place in self.places):
            self._phase = Phase.SERVING
            say("ready")
            self.notifier.ready(self._doing())

    def _give_up(self, place: Place) -> None:
        say(f"{place.name} does not start: {place.last_words}")
        self._exit_code = REFUSED if place.refused else CRASHED
        self._stop.set()

    # -- stopping --------------------------------------------------------------------------------

    async def _end_all(self, holdings: Holdings) -> None:
        served = self._phase is Phase.SERVING
        self._phase = Phase.DRAINING
        if served:
            say(draining(self.settings))
        self.notifier.stopping(self.settings.server.drain_timeout + KILL_GRACE + KEEPER_STOP)
        await self.changes.close()
        holdings.stop_listening()
        await self._ending.end(self.of(Role.WORKER), self.settings.server.drain_timeout + KILL_GRACE)
        await self._ending.end(self.of(Role.KEEPER), KEEPER_STOP)
        self._phase = Phase.STOPPED
        hold()  # one more signal would find nothing to hasten, but could cut our own end in two


def _when(delay: float) -> str:
    return f"a successor starts in {delay:g} s" if delay else "a successor starts"
