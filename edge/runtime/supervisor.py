"""The supervisor: owns listening sockets and shared memory, starts children, replaces the dead, ends them in order.

Start: lock, limits, sockets, shared memory, admin, keepers and workers at once (a worker waits for its keeper).
Stop: admin says 503, workers drain, then keepers write their clean marks, then we go. A second signal ends all.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from edge import __version__
from edge.config.schema import Settings
from edge.observe.meters import Meters
from edge.observe.render import Scrape
from edge.observe.slots import SlotReader, SlotWriter
from edge.runtime.admin import Admin
from edge.runtime.charter import Charter
from edge.runtime.holdings import Holdings, raise_descriptor_limit
from edge.runtime.lifecycle import Phase
from edge.runtime.places import Place, Process
from edge.runtime.report import draining, facts, say
from edge.tasks import Tasks

WORKER: Final = "worker"
KEEPER: Final = "keeper"
ENTRIES: Final = {WORKER: "edge.runtime.worker:run_worker", KEEPER: "edge.runtime.keeper:run_keeper"}
KEEPER_STOP: Final = 10.0  # journals, a sync of the newest pack, the clean mark
KILL_GRACE: Final = 1.0  # beyond drain_timeout, for a worker's own goodbyes
STOPPED, CRASHED, REFUSED = 0, 1, 2  # exit codes


class Supervisor:
    """`run` returns the exit code. `entries` says which function plays a role."""

    def __init__(self, settings: Settings, entries: Mapping[str, str] = ENTRIES) -> None:
        self._settings = settings
        self._entries = entries
        self._tasks = Tasks("supervisor")
        self._phase = Phase.STARTING
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._exit_code = STOPPED

    def __repr__(self) -> str:
        return f"<Supervisor {self._phase}>"

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until a signal, stop. ConfigError is raised before anything is served."""
        descriptors = raise_descriptor_limit()
        holdings = Holdings.take(self._settings)
        try:
            self._places = [self._place(holdings, KEEPER, link.volume) for link in holdings.links]
            self._places += [self._place(holdings, WORKER, n) for n in range(self._settings.worker_count)]
            admin = await self._start_admin(holdings)
            self._install_signals()
            for line in facts(self._settings, holdings.players, holdings.admin, descriptors):
                say(line)
            for wrong in holdings.missing:
                say(f"a volume is left out: {wrong}")
            for place in self._places:
                self._tasks.spawn(self._keep(place), place.name)
            await self._stop.wait()
            await self._end_all(holdings)
            await admin.stop()
        finally:
            await self._tasks.close()
            holdings.close()
        say("stopped")
        return self._exit_code

    def _place(self, holdings: Holdings, role: str, number: int) -> Place:
        worker = role == WORKER
        link_fd = -1 if worker else next(link.sock.fileno() for link in holdings.links if link.volume == number)
        charter = Charter(
            role=role,
            number=number,
            settings=self._settings,
            links=tuple((link.volume, link.path) for link in holdings.links),
            slot_fd=holdings.slot_file(f"slots-{role}-{number}"),
            hits_fd=holdings.hits_fd,
            liveness_fd=holdings.liveness[0],
            status_fd=-1,
            link_fd=link_fd,
            listeners=tuple((sock.fileno(), tls) for sock, tls in holdings.players) if worker else (),
            entry=self._entries[role],
            runtime_dir=holdings.runtime_dir,
        )
        return Place(charter)

    async def _start_admin(self, holdings: Holdings) -> Admin:
        own = holdings.slot_file("slots-supervisor")
        self._meters = Meters(SlotWriter(own))
        self._meters.gauge("edge_build_info", __version__, sys.version.split()[0], to=1)
        readers = [SlotReader(own), *(SlotReader(place.charter.slot_fd) for place in self._places)]
        admin = Admin(Scrape(readers).render, self._readiness)
        await admin.start(holdings.admin)
        return admin

    def _readiness(self) -> tuple[bool, str]:
        """Ready when all children were, as long as one worker is; from then on keepers come and go behind them."""
        if self._phase is Phase.SERVING and not any(place.ready for place in self._of(WORKER)):
            return False, "no worker serves"
        return self._phase is Phase.SERVING, self._phase.value

    def _of(self, role: str) -> list[Place]:
        return [place for place in self._places if place.role == role]

    # -- signals ---------------------------------------------------------------------------------

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, say, "reload is not configured")
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)

    def _on_stop_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            self._exit_code = CRASHED  # answers are cut, and there is no clean mark
        self._stop.set()

    def _reopen_logs(self) -> None:
        for place in self._of(WORKER):
            place.signal(signal.SIGUSR1)

    # -- children --------------------------------------------------------------------------------

    async def _keep(self, place: Place) -> None:
        """Fill one place with processes, one after the other, until we stop."""
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                place.vacate(await place.start(self._on_ready, say).exited)
            except OSError as error:
                place.last_words = f"no process: {error.strerror}"
            if self._stop.is_set():
                return
            delay = place.restarts.delay_after(time.monotonic() - started)
            if self._phase is Phase.STARTING and (place.refused or place.restarts.hopeless):
                if not self._can_do_without(place):
                    self._give_up(place)
                    return
                self._on_ready()
            if place.role == WORKER:
                self._meters.count("edge_worker_restarts_total")
            else:
                self._meters.count("edge_keeper_restarts_total", self._settings.volume_label(place.charter.number))
            say(f"{place.name} has ended ({place.last_words}), {_when(delay)}")
            await asyncio.sleep(delay)

    def _can_do_without(self, place: Place) -> bool:
        """Go on without a volume, trying again and again, as long as another one can be had."""
        place.missed = True
        keepers = self._of(KEEPER)
        return place.role == KEEPER and not all(keeper.missed for keeper in keepers)

    def _on_ready(self) -> None:
        if self._phase is Phase.STARTING and all(place.ready or place.missed for place in self._places):
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
            say(draining(self._settings))
        holdings.stop_listening()
        await self._end(self._of(WORKER), self._settings.server.drain_timeout + KILL_GRACE)
        await self._end(self._of(KEEPER), KEEPER_STOP)
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
        hurry = self._tasks.spawn(self._hurry.wait(), "hurry")
        ended = self._tasks.spawn(asyncio.wait([process.exited for process in processes]), "ended")
        await asyncio.wait({hurry, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (hurry, ended):
            waiting.cancel()


def _when(delay: float) -> str:
    return f"a successor starts in {delay:g} s" if delay else "a successor starts"
