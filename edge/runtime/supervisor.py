"""The supervisor: owns listening sockets and shared memory, starts children, replaces the dead, ends them in order.

Start: lock, limits, sockets, memfds, keepers, workers, admin. Stop: workers drain, then keepers, then we.
"""

import asyncio
import os
import resource
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge import __version__
from edge.config.schema import Settings
from edge.errors import ConfigError, VolumeBusy
from edge.observe.meters import Meters
from edge.observe.render import Scrape
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.runtime.admin import Admin
from edge.runtime.charter import Charter
from edge.runtime.child import loop_factory
from edge.runtime.listeners import RuntimeDirectory, bind, spoken
from edge.store.disk import Disk
from edge.store.files import take_lock
from edge.store.hits import create_hits_file
from edge.tasks import Tasks

BACK_OFF_MOST: Final = 5.0
STABLE_SECONDS: Final = 10.0  # a child that lived so long is replaced at once again
KEEPER_STOP: Final = 10.0
KILL_GRACE: Final = 1.0


@dataclass(slots=True)
class Child:
    """One numbered place for a process; processes come and go, the place keeps its slots."""

    role: str
    number: int
    slot_fd: int
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    failures: int = 0
    started: float = 0.0
    last_words: str = ""

    @property
    def name(self) -> str:
        return f"{self.role} {self.number}"


@dataclass(slots=True)
class Inherited:
    """Descriptors that children get."""

    players: list[socket.socket]
    link: socket.socket
    link_path: str
    hits_fd: int
    liveness: tuple[int, int] = field(default_factory=os.pipe)


class Supervisor:
    """See the module's text. `run` returns the exit code."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks = Tasks("supervisor")
        self._stopping = asyncio.Event()
        self._runtime = RuntimeDirectory()
        self._children: list[Child] = []
        self._was_ready = False
        self._draining = False
        self._impatient = False
        self._failed: str | None = None

    # -- life ------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Start, serve until a signal, stop. ConfigError and VolumeBusy are raised before anything is served."""
        lock = self._take_directory()
        try:
            self._inherited = self._make_inherited()
            self._slots = create_slot_file("slots-supervisor")
            self._meters = Meters(SlotWriter(self._slots))
            self._meters.gauge("edge_build_info", __version__, sys.version.split()[0], to=1)
            self._children = [self._child("keeper", 0)]
            self._children += [self._child("worker", n) for n in range(self._settings.worker_count)]
            admin = await self._start_admin()
            self._install_signals()
            self._report()
            for child in self._children:
                self._tasks.spawn(self._keep_alive(child), child.name)
            await self._stopping.wait()
            await self._stop(admin)
        finally:
            await self._tasks.close()
            self._runtime.remove()
            os.close(lock)
        return 1 if self._failed else 0

    def _take_directory(self) -> int:
        directory = Path(self._settings.cache.dir)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return take_lock(Disk(), directory / "server.lock")
        except VolumeBusy as busy:
            holder = str(busy).rpartition("(")[2].rstrip(")")
            hint = f"another server uses this directory ({holder}): stop it or give another --cache-dir"
            raise ConfigError("cache.dir", str(directory), hint) from busy
        except OSError as error:
            raise ConfigError("cache.dir", str(directory), f"cannot be used: {error.strerror}") from error

    def _make_inherited(self) -> Inherited:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        players = [bind(listen, "server.listen") for listen in self._settings.server.listen]
        self._admin_socket = bind(self._settings.admin.listen, "admin.listen")
        link, path = self._runtime.link("cache.link")
        return Inherited(players, link, path, create_hits_file())

    def _child(self, role: str, number: int) -> Child:
        return Child(role, number, create_slot_file(f"slots-{role}-{number}"))

    async def _start_admin(self) -> Admin:
        readers = [SlotReader(self._slots), *(SlotReader(child.slot_fd) for child in self._children)]
        admin = Admin(Scrape(readers).render, self._readiness)
        await admin.start(self._admin_socket)
        return admin

    def _readiness(self) -> tuple[bool, str]:
        if self._draining:
            return False, "draining"
        return (True, "ready") if self._was_ready else (False, "starting")

    def _install_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._say, "reload is not configured")
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)

    def _on_stop_signal(self) -> None:
        if self._stopping.is_set():
            self._impatient = True
            for child in self._children:
                self._signal(child, signal.SIGKILL)
        self._stopping.set()

    def _reopen_logs(self) -> None:
        for child in self._children:
            if child.role == "worker":
                self._signal(child, signal.SIGUSR1)

    # -- reporting -------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        print(line, flush=True)

    def _report(self) -> None:
        settings = self._settings
        scheme = "https" if settings.tls else "http"
        for sock in self._inherited.players:
            self._say(f"listening for players on {scheme}://{spoken(sock)}")
        self._say(f"admin (metrics, health) on http://{spoken(self._admin_socket)}")
        self._say(f"{settings.worker_count} workers, 1 keeper, event loop: {loop_factory()[1]}")
        how = "sendfile" if not settings.tls else "TLS from memory maps, or kTLS where the kernel offers it"
        self._say(f"bodies leave by {how}")
        self._say(f"misses are fetched from {settings.origin.url}")

    # -- children --------------------------------------------------------------------------------

    async def _keep_alive(self, child: Child) -> None:
        """Run one place's processes, one after the other, until we stop."""
        while not self._stopping.is_set():
            await self._run_once(child)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - child.started
            child.failures = 0 if lived > STABLE_SECONDS else child.failures + 1
            if not self._was_ready and child.failures >= 2:
                self._failed = child.last_words or f"{child.name} does not start"
                self._say(f"{child.name} does not start: {self._failed}")
                self._stopping.set()
                return
            if child.role == "worker":
                self._meters.count("edge_worker_restarts_total")
            else:
                self._meters.count("edge_keeper_restarts_total", "cache")
            self._say(f"{child.name} has ended, {child.last_words or 'without a word'}; it is replaced")
            await asyncio.sleep(0 if child.failures <= 1 else min(0.1 * 2**child.failures, BACK_OFF_MOST))

    async def _run_once(self, child: Child) -> None:
        read_end, write_end = os.pipe()
        charter = self._charter(child, write_end)
        charter_fd = charter.to_file()
        keep = [charter_fd, write_end, child.slot_fd, charter.hits_fd, charter.liveness_fd]
        keep += [fd for fd, _ in charter.listeners]
        keep += [charter.link_fd] if charter.link_fd >= 0 else []
        child.ready, child.last_words, child.started = False, "", time.monotonic()
        command = (sys.executable, "-m", "edge.runtime.child", child.role, str(charter_fd), str(os.getpid()))
        child.process = await asyncio.create_subprocess_exec(*command, pass_fds=keep, stdin=asyncio.subprocess.DEVNULL)
        os.close(charter_fd)
        os.close(write_end)
        listening = self._tasks.spawn(self._listen_to(child, read_end), f"status of {child.name}")
        code = await child.process.wait()
        await listening
        child.process = None
        child.ready = False
        if not child.last_words:
            child.last_words = f"signal {-code}" if code < 0 else f"exit code {code}"

    def _charter(self, child: Child, status_fd: int) -> Charter:
        inherited = self._inherited
        tls = bool(self._settings.tls)
        is_worker = child.role == "worker"
        return Charter(
            role=child.role,
            number=child.number,
            settings=self._settings,
            link_path=inherited.link_path,
            slot_fd=child.slot_fd,
            hits_fd=inherited.hits_fd,
            liveness_fd=inherited.liveness[0],
            status_fd=status_fd,
            link_fd=-1 if is_worker else inherited.link.fileno(),
            listeners=tuple((sock.fileno(), tls) for sock in inherited.players) if is_worker else (),
        )

    async def _listen_to(self, child: Child, fd: int) -> None:
        """Lines that a child says: ready, say ..., failed ..."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "rb", 0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        async for raw in reader:
            word, _, rest = raw.decode(errors="replace").strip().partition(" ")
            if word == "ready":
                child.ready = True
                self._check_ready()
            elif word == "say":
                self._say(rest)
            elif word == "failed":
                child.last_words = rest
        transport.close()

    def _check_ready(self) -> None:
        if not self._was_ready and all(child.ready for child in self._children):
            self._was_ready = True
            self._say("ready")

    # -- stopping --------------------------------------------------------------------------------

    def _signal(self, child: Child, number: signal.Signals) -> None:
        if child.process is not None and child.process.returncode is None:
            child.process.send_signal(number)

    async def _stop(self, admin: Admin) -> None:
        self._draining = True
        if self._was_ready:
            self._say("draining")
        workers = [child for child in self._children if child.role == "worker"]
        keepers = [child for child in self._children if child.role == "keeper"]
        await self._end(workers, self._settings.server.drain_timeout + KILL_GRACE)
        await self._end(keepers, KEEPER_STOP)
        await admin.stop()
        self._say("stopped")

    async def _end(self, children: list[Child], timeout: float) -> None:
        """SIGTERM, wait, then SIGKILL."""
        processes = [child.process for child in children if child.process is not None]
        for child in children:
            self._signal(child, signal.SIGTERM)
        if not processes:
            return
        waits = [asyncio.ensure_future(process.wait()) for process in processes]
        _, late = await asyncio.wait(waits, timeout=0.0 if self._impatient else timeout)
        if late:
            for child in children:
                self._signal(child, signal.SIGKILL)
            await asyncio.wait(late)
