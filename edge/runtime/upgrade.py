"""The program that is installed now takes the place of the one that runs, without a dropped request (`edge upgrade`).

1. the new program tries itself on in a process of its own: it reads the configuration and imports all that it will
   run; what is wrong is said, and everything goes on as it was
2. the supervisor closes its admin side, and replaces itself (execve): pid, children, sockets and locks stay
3. the new supervisor adopts the children. It ends each old keeper, which closes its volume cleanly, and starts a new
   one; workers wait on their link meanwhile, as when a keeper has died, and hits go on
4. new workers start beside the old ones, on the same listening sockets
5. when all of them serve, the old ones accept no more, and each connection ends with its next answer
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge import __version__
from edge.config.load import ConfigErrors
from edge.config.schema import Settings
from edge.errors import BadRequest, ConfigError
from edge.fill.messages import PROTOCOL
from edge.runtime.handover import VERSION, Adopted, Handover, Heir, reaped
from edge.runtime.holdings import Holdings
from edge.runtime.places import Place
from edge.runtime.reload import same_where_fixed
from edge.runtime.report import say
from edge.runtime.signals import hold, release
from edge.store.hits import SHARED_BYTES
from edge.words import Role

if TYPE_CHECKING:
    from edge.runtime.supervisor import Supervisor

TRY: Final = "EDGE_TRY"  # in the environment: say whether you would start, and end
TRY_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 0.5  # for the operator's answer to leave before its connection ends with the program
HEARD_SECONDS: Final = 0.01  # for our loop to hear of a signal that came before
KEEPER_SECONDS: Final = 10.0  # journals, a sync of the newest pack, the clean mark


class Upgrader:
    """The old program's side."""

    def __init__(self, supervisor: "Supervisor", holdings: Holdings, load: Callable[[], Settings] | None) -> None:
        self._supervisor, self._holdings, self._load = supervisor, holdings, load
        self._under_way = False

    async def by_signal(self) -> None:
        """SIGUSR2."""
        try:
            await self.request()
        except BadRequest as refused:
            say(f"not upgraded: {refused.detail}")

    async def request(self) -> str:
        """Begin; what the new program said of itself. BadRequest: nothing was done."""
        self._unless_we_stop()
        if self._load is None or self._under_way:
            raise BadRequest("an upgrade is under way" if self._under_way else "there is nothing to upgrade from", 409)
        self._under_way = True
        try:
            said = await self._tried()
            self._unless_we_stop()
        except BaseException:
            self._under_way = False
            raise
        say(f"upgrading from {__version__}: {said}")
        self._supervisor.changes.spawn(self._go(), "upgrade")
        return said

    def _unless_we_stop(self) -> None:
        if self._supervisor.stopping:
            raise BadRequest("the server stops", 409)

    async def _tried(self) -> str:
        assert self._load is not None
        try:
            settings = await asyncio.to_thread(self._load)
            same_where_fixed(self._supervisor.settings, settings)
            self._try_listeners(settings)
        except (ConfigErrors, ConfigError) as wrong:
            raise BadRequest(str(wrong), 409) from wrong
        process = await asyncio.create_subprocess_exec(
            sys.executable, *sys.orig_argv[1:], env={**os.environ, TRY: understood()}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(TRY_SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            raise BadRequest(f"the new program said nothing in {TRY_SECONDS:g} s", 409) from None
        finally:
            await _put_away(process)
        lines = said.decode(errors="replace").strip().splitlines() or ["without a word"]
        if process.returncode != 0:
            raise BadRequest("the new program does not start: " + "; ".join(lines[-5:]), 409)
        return lines[-1]

    def _try_listeners(self, settings: Settings) -> None:
        """ConfigError: an address cannot be had. The successor could not serve by these settings, nor go back."""
        ours = {sock for sock, _ in self._holdings.players}
        for sock, _ in self._holdings.listen_on(settings):
            if sock not in ours:
                sock.close()

    async def _go(self) -> None:
        supervisor = self._supervisor
        await asyncio.sleep(ANSWER_SECONDS)
        async with supervisor.turn:  # a reload under way comes to its end
            supervisor.notifier.reloading()
            handover = self._handover().copied()  # the admin side closes its own
            await supervisor.close_admin(stays=True)
            hold()  # until the successor has its handlers
            try:
                await asyncio.sleep(HEARD_SECONDS)
                if not supervisor.stopping:
                    self._become(handover)
            finally:
                release()

    def _become(self, handover: Handover) -> None:
        """Without a pause: of a child that begins, or says something, after the handover nobody would know."""
        children = tuple(filter(None, map(_heir, self._supervisor.places)))
        replace(handover, children=children).name_in(os.environ)
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, sys.orig_argv)

    def _handover(self) -> Handover:
        """All but the children, who come and go until the last moment."""
        supervisor, holdings = self._supervisor, self._holdings
        named = zip(holdings.addresses, holdings.players, strict=True)
        return Handover(
            program=__version__,
            generation=supervisor.generation,
            log_secret=supervisor.posts.log_secret,
            runtime_dir=holdings.runtime_dir,
            state_dir=holdings.state_dir,
            players=tuple((listen, sock.fileno(), tls) for listen, (sock, tls) in named),
            admin=holdings.admin.fileno(),
            control=holdings.control.fileno(),
            links=tuple((link.volume, link.sock.fileno(), link.path) for link in holdings.links),
            hits=holdings.hits_fd,
            liveness=holdings.liveness,
            locks=holdings.locks,
            slots=dict(supervisor.posts.slots),
            children=(),
            nursery=supervisor.nursery.pid if supervisor.nursery is not None else 0,
        )


async def _put_away(process: asyncio.subprocess.Process) -> None:
    """End it, if it has not ended, and let its pipe end before our loop does."""
    if process.returncode is None:
        process.kill()
        await process.communicate()


def _heir(place: Place) -> Heir | None:
    process = place.process
    if process is None or process.has_ended:
        return None
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    said = place.generation, place.retired, place.ready
    return Heir(place.role, place.charter.number, process.pid, pidfd, process.status_fd, *said)


def understood() -> str:
    """Versions of all that an old worker and a new keeper, or one program and the next, say to each other."""
    return f"link {PROTOCOL}, shared memory {SHARED_BYTES}, handover {VERSION}"


def tried_on() -> bool:
    """Is this process only to say whether the program would start? Then all that it will run is imported now.

    ConfigError: it would not understand the program that runs.
    """
    said = os.environ.get(TRY)
    if said is None:
        return False
    if said != understood():
        raise ConfigError("upgrade", said, f"the installed program has {understood()}: restart the server instead")
    import edge.runtime.child
    import edge.runtime.keeper
    import edge.runtime.supervisor
    import edge.runtime.worker

    print(f"version {__version__} in {os.path.dirname(os.path.dirname(edge.runtime.child.__file__))}")
    return True


# -- the new program's side -----------------------------------------------------------------------


def adopt(supervisor: "Supervisor", holdings: Holdings, handover: Handover) -> None:
    """The children of our predecessor, at their places; its workers serve on."""
    posts = supervisor.posts
    for name, fd in handover.slots.items():
        posts.keep_slot(name, fd)
    supervisor.generation = handover.generation
    for heir in handover.children:
        place = posts.place(holdings, supervisor.settings, Role(heir.role), heir.number)
        place.generation, place.retired, place.ready = heir.generation, heir.retired, heir.ready
        place.adopt(Adopted(heir.pid, heir.pidfd), heir.status_fd, supervisor.changed.set, say)
        posts.places.append(place)


async def take_over(supervisor: "Supervisor", holdings: Holdings, handover: Handover) -> None:
    """Steps 3 to 5. New children that do not start are tried again and again, while the old workers serve on."""
    old = list(supervisor.places)
    for place in old:
        if place.role is Role.WORKER:
            supervisor.tasks.spawn(_see_out(supervisor, place), f"{place.name} of before")
    async with supervisor.turn:
        players = holdings.listen_on(supervisor.settings)
        holdings.switch(players, supervisor.settings)
        await asyncio.gather(*(_new_keeper(supervisor, holdings, link.volume) for link in holdings.links))
        taken = handover.generation + 1
        new = supervisor.hire(holdings, supervisor.settings, players, taken)
        while not all(place.ready for place in new):
            supervisor.changed.clear()
            await supervisor.changed.wait()
        supervisor.generation = taken
        await supervisor.reloader.retire([place for place in old if place.role is Role.WORKER], taken)
    if handover.nursery:
        supervisor.tasks.spawn(_bury(handover.nursery), "nursery of before")
    say(f"upgraded from {handover.program} to {__version__}: {len(new)} workers took over")
    supervisor.notifier.ready("upgraded")


async def _see_out(supervisor: "Supervisor", place: Place) -> None:
    assert place.process is not None
    place.vacate(await place.process.exited)
    supervisor.posts.leave(place)
    supervisor.changed.set()


async def _bury(pid: int) -> None:
    """The process that has forked our predecessor's children ends with the last of them."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        loop.add_reader(pidfd, ended.set)
        await ended.wait()
        reaped(pid)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


async def _new_keeper(supervisor: "Supervisor", holdings: Holdings, volume: int) -> None:
    """The old one closes the volume cleanly, then a new one opens it."""
    for place in [place for place in supervisor.of(Role.KEEPER) if place.charter.number == volume]:
        process = place.process
        assert process is not None
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(KEEPER_SECONDS):
                await asyncio.shield(process.exited)
        except TimeoutError:
            say(f"{place.name} did not end within {KEEPER_SECONDS:g} s: killed")
            process.signal(signal.SIGKILL)
            await asyncio.shield(process.exited)
        place.vacate(process.exited.result())
        supervisor.places.remove(place)
    place = supervisor.posts.place(holdings, supervisor.settings, Role.KEEPER, volume)
    supervisor.places.append(place)
    supervisor.employ([place])
