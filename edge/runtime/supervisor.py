"""The supervisor: owns listening sockets and shared memory, starts children, replaces the dead, ends them in order.

Start: lock, limits, sockets, shared memory, admin, keepers and workers at once (a worker waits for its keeper).
Reload: see `reload`.
Stop: admin says 503, workers drain, then keepers write their clean marks, then we go. A second signal ends all.
"""

import asyncio
import itertools
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
from edge.observe.meters import Meters
from edge.observe.render import Scrape
from edge.observe.slots import SlotReader, SlotWriter
from edge.runtime.admin import Admin
from edge.runtime.charter import Charter
from edge.runtime.control import ControlPlane
from edge.runtime.holdings import Holdings, raise_descriptor_limit
from edge.runtime.lifecycle import Phase
from edge.runtime.nursery import Nursery
from edge.runtime.places import Place, Process
from edge.runtime.reload import Reloader
from edge.runtime.report import draining, facts, say
from edge.tasks import Tasks
from edge.words import Role

ENTRIES: Final[Mapping[str, str]] = {
    Role.WORKER: "edge.runtime.worker:run_worker",
    Role.KEEPER: "edge.runtime.keeper:run_keeper",
}
KEEPER_STOP: Final = 10.0  # journals, a sync of the newest pack, the clean mark
KILL_GRACE: Final = 1.0  # beyond drain_timeout, for a worker's own goodbyes
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
    ) -> None:
        self._nursery = nursery
        self.settings = settings
        self.generation = 0
        self.places: list[Place] = []
        self.out_of_service = False  # an operator has had load balancers take players elsewhere
        self.changed = asyncio.Event()  # a child has become ready, or has ended
        self._entries = entries
        self._load = load
        self._slots: dict[str, int] = {}
        self.readers: list[SlotReader] = []
        self.tasks = Tasks("supervisor")
        self._phase = Phase.STARTING
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._exit_code = STOPPED
        self._log_secret = secrets.token_hex(32)  # a reload keeps it: a player's hash is one all day

    def __repr__(self) -> str:
        return f"<Supervisor {self._phase}>"

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until a signal, stop. ConfigError is raised before anything is served."""
        descriptors = raise_descriptor_limit()
        holdings = Holdings.take(self.settings)
        try:
            self.places += [self._place(holdings, Role.KEEPER, link.volume) for link in holdings.links]
            self.places += [self._place(holdings, Role.WORKER, n) for n in range(self.settings.worker_count)]
            admin = await self._start_admin(holdings)
            self._install_signals(holdings)
            for line in facts(self.settings, holdings.players, holdings.admin, descriptors):
                say(line)
            for wrong in holdings.missing:
                say(f"a volume is left out: {wrong}")
            for place in self.places:
                self.tasks.spawn(self._keep(place), place.name)
            await self._stop.wait()
            await self._end_all(holdings)
            await admin.stop()
            await self._private.stop()
            await self._control.close()
        finally:
            await self.tasks.close()
            holdings.close()
        say("stopped")
        return self._exit_code

    def _place(self, holdings: Holdings, role: Role, number: int) -> Place:
        worker = role is Role.WORKER
        link_fd = -1 if worker else next(link.sock.fileno() for link in holdings.links if link.volume == number)
        charter = Charter(
            role=role,
            number=number,
            settings=self.settings,
            links=tuple((link.volume, link.path) for link in holdings.links),
            slot_fd=self._slot(holdings, f"{role}-{number}"),
            hits_fd=holdings.hits_fd,
            liveness_fd=holdings.liveness[0],
            status_fd=-1,
            link_fd=link_fd,
            listeners=tuple((sock.fileno(), tls) for sock, tls in holdings.players) if worker else (),
            entry=self._entries[role],
            runtime_dir=holdings.runtime_dir,
            log_secret=self._log_secret,
        )
        return Place(charter)

    def _slot(self, holdings: Holdings, name: str) -> int:
        """The metric slots of a post: its counters go on whoever holds it."""
        if name not in self._slots:
            self._slots[name] = holdings.slot_file(f"slots-{name}")
            self.readers.append(SlotReader(self._slots[name]))
        return self._slots[name]

    def hire(
        self, holdings: Holdings, settings: Settings, players: Sequence[tuple[socket.socket, bool]], generation: int
    ) -> list[Place]:
        """Start workers with new settings beside those that serve."""
        taken = {place.charter.number for place in self.of(Role.WORKER)}
        numbers = (number for number in itertools.count() if number not in taken)
        new = []
        for number in itertools.islice(numbers, settings.worker_count):
            place = self._place(holdings, Role.WORKER, number)
            place.generation = generation
            place.charter = replace(
                place.charter, settings=settings, listeners=tuple((sock.fileno(), tls) for sock, tls in players)
            )
            new.append(place)
        self.places += new
        for place in new:
            self.tasks.spawn(self._keep(place), place.name)
        return new

    async def _start_admin(self, holdings: Holdings) -> Admin:
        self.meters = Meters(SlotWriter(self._slot(holdings, "supervisor")))
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
        self.meters.gauge("edge_config_last_reload_successful", to=1)
        self.meters.gauge("edge_config_last_reload_success_timestamp_seconds", to=time.time())
        if self.settings.server.link_capacity:
            self.meters.gauge("edge_link_capacity_bytes_per_second", to=self.settings.server.link_capacity)

    def readiness(self) -> tuple[bool, str]:
        """Ready when all children were, as long as one worker is; from then on keepers come and go behind them."""
        if self._phase is Phase.SERVING and not any(place.ready for place in self.of(Role.WORKER)):
            return False, "no worker serves"
        if self._phase is Phase.SERVING and self.out_of_service:
            return False, "drained by an operator"
        return self._phase is Phase.SERVING, self._phase.value

    def of(self, role: Role) -> list[Place]:
        return [place for place in self.places if place.role is role]

    # -- signals ---------------------------------------------------------------------------------

    def _install_signals(self, holdings: Holdings) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        if self._load is not None:
            self._reloader = Reloader(self, holdings, self._load)
            loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        else:
            loop.add_signal_handler(signal.SIGHUP, say, "there is nothing to reload from")
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)

    def _on_stop_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            self._exit_code = CRASHED  # answers are cut, and there is no clean mark
        self._stop.set()

    def _reload_soon(self) -> None:
        if self._phase is Phase.SERVING:
            self._reloader.request()
        else:
            say(f"not reloaded: {self._phase.value}")

    def _reopen_logs(self) -> None:
        for place in self.of(Role.WORKER):
            place.signal(signal.SIGUSR1)

    # -- children --------------------------------------------------------------------------------

    async def _keep(self, place: Place) -> None:
        """Fill one place with processes, one after the other, until we stop."""
        while not self._stop.is_set() and not place.retired:
            started = time.monotonic()
            try:
                place.vacate(await self._start(place).exited)
            except OSError as error:
                place.last_words = f"no process: {error.strerror}"
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
            self.places.remove(place)

    def _start(self, place: Place) -> Process:
        """A keeper does what its volume owes before it serves."""
        if place.role is Role.WORKER:
            return place.start(self._on_ready, say, self._nursery)
        owed, label = self._control.owed, self.settings.volume_label(place.charter.number)
        entries = tuple(owed.of(label))
        place.charter = replace(place.charter, owed=entries)

        def on_ready() -> None:
            owed.paid(label, len(entries))
            self._on_ready()

        return place.start(on_ready, say, self._nursery)

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
        holdings.stop_listening()
        await self._end(self.of(Role.WORKER), self.settings.server.drain_timeout + KILL_GRACE)
        await self._end(self.of(Role.KEEPER), KEEPER_STOP)
        self._phase = Phase.STOPPED

    async def _end(self, places: Sequence[Place], seconds: float) -> None:
        """SIGTERM; SIGKILL for who is left after so many seconds, or after a second signal."""
        running = [(place, place.process) for place in places if place.process is not None]
        for place, _ in running:
            place.signal(signal.SIGTERM)
        await self._wait_for([process for _, process in running], seconds)
        late = [(place, process) for place, process in running if not process.exited.done()]
        for place, process in late:
            if not self._hurry.is_set():
                say(f"{place.name} did not end within {seconds:g} s: killed")
            process.signal(signal.SIGKILL)
        await asyncio.gather(*(process.exited for _, process in late))

    async def _wait_for(self, processes: Sequence[Process], seconds: float) -> None:
        """Until all have ended, the time is over, or somebody is impatient."""
        if not processes:
            return
        hurry = self.tasks.spawn(self._hurry.wait(), "hurry")
        ended = self.tasks.spawn(asyncio.wait([process.exited for process in processes]), "ended")
        await asyncio.wait({hurry, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (hurry, ended):
            waiting.cancel()


def _when(delay: float) -> str:
    return f"a successor starts in {delay:g} s" if delay else "a successor starts"
