"""What an origin remembers: who asked what, the version of each object, and whom it holds back.

A test needs no sleeps: `hold` a path, wait for `arrived` or `held`, act, `release`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

REQUESTS_MOST: Final = 10_000  # older ones are forgotten; a benchmark of millions must not fill the memory
PATHS_MOST: Final = 10_000  # of which the counts by range are kept


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came: names of fields in lower case, repeated ones joined by a comma."""

    method: str
    path: str
    query: str
    fields: dict[str, str]

    @property
    def range(self) -> str:
        """Its Range, "" for the whole."""
        return self.fields.get("range", "")


@dataclass(slots=True)
class Hold:
    """A gate: who comes to it waits for `opened`. `at` counts body bytes sent, None = before the head."""

    at: int | None
    opened: asyncio.Event


class Ledger:
    """The memory of one origin; shared by all its connections, on one event loop."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.ranges: dict[str, Counter[str]] = {}
        self.requests: deque[Asked] = deque(maxlen=REQUESTS_MOST)
        self.versions: Counter[str] = Counter()
        self._holds: dict[str, Hold] = {}
        self._held: Counter[str] = Counter()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def __repr__(self) -> str:
        return f"<Ledger {self.counts.total()} requests, held {dict(self._held)}>"

    def note(self, asked: Asked) -> int:
        """Count a request; which number it is of its path, from 1."""
        self.counts[asked.path] += 1
        if asked.path in self.ranges or len(self.ranges) < PATHS_MOST:
            self.ranges.setdefault(asked.path, Counter())[asked.range] += 1
        self.requests.append(asked)
        self._look()
        return self.counts[asked.path]

    def reset(self) -> None:
        """Forget what was asked; versions and holds stay."""
        self.counts.clear()
        self.ranges.clear()
        self.requests.clear()

    def version(self, path: str) -> int:
        """From 1."""
        return self.versions[path] + 1

    def bump(self, path: str) -> int:
        """Begin a new version of an object; its number."""
        self.versions[path] += 1
        return self.version(path)

    def hold(self, path: str, at: int | None = None) -> None:
        """From now on hold answers of `path` back: before the head, or after `at` bytes of the body."""
        self.release(path)
        self._holds[path] = Hold(at, asyncio.Event())

    def release(self, path: str) -> bool:
        """Let all go on that wait, and hold nobody any more; False if nothing was held."""
        hold = self._holds.pop(path, None)
        if hold is not None:
            hold.opened.set()
        return hold is not None

    def release_all(self) -> None:
        for path in list(self._holds):
            self.release(path)

    def holds(self, path: str) -> bool:
        """Whether answers of `path` are being held back."""
        return path in self._holds

    def stop_at(self, path: str, sent: int | None) -> int | None:
        """How many body bytes may be sent before the next gate, None when there is none ahead."""
        hold = self._holds.get(path)
        if hold is None or hold.at is None or hold.at < (sent or 0):
            return None
        return hold.at

    async def gate(self, path: str, sent: int | None) -> None:
        """Wait while this point of an answer is held: `sent` body bytes have gone, None = not even the head."""
        hold = self._holds.get(path)
        if hold is None or hold.at != sent:
            return
        self._held[path] += 1
        self._look()
        try:
            await hold.opened.wait()
        finally:
            self._held[path] -= 1

    def waiting(self, path: str) -> int:
        """How many answers wait at the path's gate."""
        return self._held[path]

    async def arrived(self, path: str, count: int = 1) -> None:
        """Until `count` requests for `path` have come."""
        await self._until(lambda: self.counts[path] >= count)

    async def held(self, path: str, count: int = 1) -> None:
        """Until `count` answers wait at the path's gate."""
        await self._until(lambda: self._held[path] >= count)

    async def _until(self, true: Callable[[], bool]) -> None:
        if true():
            return
        watcher = (true, asyncio.get_running_loop().create_future())
        self._watchers.append(watcher)
        try:
            await watcher[1]
        finally:
            self._watchers.remove(watcher)

    def _look(self) -> None:
        for true, future in self._watchers:
            if not future.done() and true():
                future.set_result(None)
