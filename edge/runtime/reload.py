"""New settings without a dropped request: keepers take them up, new workers take over, old ones finish.

1. the file is read and validated; what is wrong is said, and everything goes on as it was
2. sockets: those by the same address are kept, new ones are bound
3. keepers take up the new settings (sites, origins); one that does not answer is replaced
4. new workers start beside the old ones, on the same listening sockets
5. when all of them serve, the old ones accept no more, and each connection ends with its next answer
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from edge.config.load import ConfigErrors
from edge.config.schema import Settings
from edge.errors import ConfigError
from edge.observe.events import EventFormat, listen
from edge.runtime.charter import lay_down
from edge.runtime.holdings import Holdings
from edge.runtime.places import Place
from edge.runtime.report import say
from edge.words import Role

if TYPE_CHECKING:
    from edge.runtime.supervisor import Supervisor

START_SECONDS: Final = 30.0  # for the new workers, together
ADOPT_SECONDS: Final = 5.0  # for a keeper: it only builds objects
GENERATIONS: Final = 3  # that may be finishing at a time; the oldest is drained when another one comes
FIXED: Final = ("cache", "volume", "admin", "fleet")  # sections that need a restart


class Refused(Exception):
    """The new settings are not taken up; each line says why."""


class Reloader:
    """One reload at a time; a signal that comes meanwhile has one more follow."""

    def __init__(self, supervisor: "Supervisor", holdings: Holdings, load: Callable[[], Settings]) -> None:
        self._supervisor = supervisor
        self._holdings = holdings
        self._load = load
        self._again = False
        self._running = False

    def request(self) -> None:
        """Read the configuration and go by it, soon."""
        self._again = True
        if not self._running:
            self._running = True
            self._supervisor.changes.spawn(self._run(), "reload")

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                async with self._supervisor.turn:
                    await self._reload()
        finally:
            self._running = False

    async def _reload(self) -> None:
        supervisor = self._supervisor
        supervisor.notifier.reloading()
        try:
            count = await self._take_up()
        except Refused as refused:
            supervisor.refused = str(refused)
            for line in str(refused).splitlines():
                say(f"not reloaded: {line}")
            supervisor.meters.gauge("edge_config_last_reload_success", to=0)
            supervisor.meters.count("edge_config_reloads_total", "refused")
            supervisor.notifier.ready("the last reload was refused: see the log")
            return
        supervisor.refused = ""
        old = sum(place.retired for place in supervisor.places)
        say(f"reloaded: {count} worker{'s' if count != 1 else ''} took over, {old} finish what they have")
        supervisor.meters.count("edge_config_reloads_total", "ok")
        supervisor.tell_settings()
        supervisor.notifier.ready("reloaded")

    async def _take_up(self) -> int:
        supervisor, holdings = self._supervisor, self._holdings
        before = supervisor.settings
        try:
            settings = await asyncio.to_thread(self._load)
            same_where_fixed(before, settings)
            players = holdings.listen_on(settings)
        except (ConfigErrors, ConfigError) as wrong:
            raise Refused(str(wrong)) from wrong
        ours, taken = {sock for sock, _ in holdings.players}, supervisor.generation + 1
        new: list[Place] = []
        try:
            await self._keepers_adopt(settings)
            new = supervisor.hire(holdings, settings, players, taken)
            await self._all_serve(new)
        except (Refused, OSError) as wrong:  # the latter: no room for what is laid down, no descriptor
            for place in new:
                place.retired = True
                place.signal(signal.SIGKILL)
            for sock, _ in players:
                if sock not in ours:
                    sock.close()
            with suppress(OSError):  # then they have not heard of the new ones either
                await self._keepers_adopt(before)
            raise Refused(str(wrong)) from wrong
        supervisor.settings, supervisor.generation = settings, taken
        listen(EventFormat(settings.log.events), "supervisor", settings.log.level)
        holdings.switch(players, settings)
        await self.retire([place for place in supervisor.of(Role.WORKER) if place.generation < taken], taken)
        return len(new)

    async def retire(self, old: list[Place], taken: int) -> None:
        """Until none of them accepts any more."""
        serving = [place for place in old if place.ready and not place.retired]
        for place in serving:
            place.adopted.clear()
        for place in old:
            place.retire(finish=place.generation > taken - GENERATIONS)
        for place in serving:
            try:
                async with asyncio.timeout(ADOPT_SECONDS):
                    await place.adopted.wait()
            except TimeoutError:
                say(f"{place.name} does not hear that it is to retire: it is stopped")
                place.retire(finish=False)

    async def _keepers_adopt(self, settings: Settings) -> None:
        """Keepers that run are told; the others have it with their charter."""
        keepers = self._supervisor.of(Role.KEEPER)
        lay_down(settings, self._holdings.runtime_dir)
        for place in keepers:
            place.give(settings)
            place.adopted.clear()
            if place.ready:
                place.signal(signal.SIGHUP)
        for place in keepers:
            try:
                if place.ready:
                    async with asyncio.timeout(ADOPT_SECONDS):
                        await place.adopted.wait()
            except TimeoutError:
                say(f"{place.name} does not take up new settings: it is replaced")
                place.signal(signal.SIGKILL)

    async def _all_serve(self, new: list[Place]) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        changed = self._supervisor.changed
        while not all(place.ready for place in new):
            for place in new:
                if place.restarts.failures:
                    raise Refused(f"{place.name} does not start: {place.last_words}")
            changed.clear()
            try:
                async with asyncio.timeout_at(deadline):  # wait_for may lose a cancellation (until Python 3.12)
                    await changed.wait()
            except TimeoutError:
                raise Refused(f"the new workers did not start within {START_SECONDS:g} s") from None


def same_where_fixed(before: Settings, after: Settings) -> None:
    """ConfigError: they differ in what is only read at a start."""
    for section in FIXED:
        old, new = getattr(before, section), getattr(after, section)
        if old != new:
            raise ConfigError(section, _told(new, old), "this section is only read at a start: restart the server")


def _told(new: object, old: object) -> str:
    """What differs, as far as it can be named in a few words."""
    if isinstance(new, tuple):
        return f"{len(new)} of them"
    changed = [name for name, value in vars(new).items() if value != getattr(old, name)]
    return ", ".join(f"{name} = {getattr(new, name)}" for name in changed)
