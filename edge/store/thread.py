"""The keeper's store thread: every call of a volume runs here, in order, never on the loop (DESIGN D5).

Writes are the bulk and carry a callback; other calls return futures. Consecutive commits share a transaction.
Between batches the thread does the volume's own work: journals, eviction, rebuild, sweeping.

Nobody waits for a disk that does not answer: once a call has taken LATE_SECONDS, all who wait are told StoreError, and
so is who comes; who has waited for twice as long behind others is told the same. What they asked for is done all the
same when the disk is back (space that nobody waits for any more is given back). A call counts as an error of the disk
for each LATE_SECONDS that it takes.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

from edge.errors import NotAdmitted, StoreError
from edge.store.calls import Call, Written, no_answer
from edge.store.health import Trust, is_of_the_disk
from edge.store.pack import Reservation
from edge.store.patience import LATE_SECONDS, LOOKS, Patience
from edge.store.volume import Volume
from edge.words import MIB

T = TypeVar("T")
_Outcome = tuple[Call, Any, Exception | None]
log = logging.getLogger("edge.store")

QUEUE_BYTES: Final = 64 * MIB  # data that waits for the disk; then origins are held back
FLUSH_SECONDS: Final = 1.0
FLUSH_BYTES: Final = 64 * MIB
SWEEP_SECONDS: Final = 1.0
TIMED_MOST: Final = 1000  # operations whose time waits to be counted
BATCH: Final = 512


class StoreThread:
    """Runs a volume. `start` on the keeper's loop; `close` ends the thread and the volume."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self._patience = Patience()
        self._look_seconds = LATE_SECONDS / LOOKS
        self._looking: asyncio.TimerHandle | None = None
        self._doing: list[Call] = []
        self.errors = 0
        volume.disk_error = self._failed
        self.on_trust: Callable[[Trust], None] = lambda _: None  # on the loop: the volume's hello is another
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Call] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()  # a way there and back takes 37 us of CPU, 49 with a Condition
        self._bytes = 0  # of those in the queue or under way; the loop's
        self._unsynced = 0  # written; the thread's
        self._timed: deque[tuple[str, float]] = deque(maxlen=TIMED_MOST)  # the thread appends, the loop takes
        self._room = asyncio.Event()
        self._room.set()
        self._stopping, self._clean = False, True
        self._names = {volume.write: "write", volume.commit_many: "commit"}  # operations of the disk that are timed
        self._last_flush = self._last_sweep = time.monotonic()
        self._evict_after = 0.0  # nothing could be evicted: look again then
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    def __repr__(self) -> str:
        return f"<StoreThread waiting={len(self._queue)} bytes={self._bytes}>"

    def start(self) -> None:
        self._thread.start()
        self._look()

    # -- on the loop -----------------------------------------------------------------------------

    def call(self, function: Callable[..., T], *args: Any) -> "asyncio.Future[T]":
        """Run a call of the volume in the thread; its result or exception comes with the future."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._patience.over:
            future.set_exception(no_answer())
        else:
            self._put(function, args, future, 0)
        return future

    def call_patiently(self, function: Callable[..., T], *args: Any) -> "asyncio.Future[T]":
        """The same of what must be done (a purge), however long it takes."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(function, args, future, 0, patient=True)
        return future

    async def attempt(self, function: Callable[..., Any], *args: Any) -> bool:
        """The same, where nobody's answer depends on it; False when it could not be done."""
        try:
            await self.call(function, *args)
        except (StoreError, OSError):
            return False
        return True

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """The same without an answer; an exception is logged and counted."""
        self._put(function, args, None, 0)

    def post_write(self, place: Reservation, at: int, data: memoryview, written: Written) -> None:
        """Write into a reservation; `written` is called on the loop, in the order of the writes."""
        if self._patience.over:
            self._loop.call_soon(written, no_answer())
        else:
            self._put(self.volume.write, (place, at, data), written, len(data))

    async def room(self) -> None:
        """Wait while too much data waits for the disk."""
        await self._room.wait()

    def _put(
        self, function: Callable[..., Any], args: tuple[Any, ...], answer: Any, size: int, *, patient: bool = False
    ) -> None:
        self._queue.append(Call(function, args, answer, size, patient=patient))
        self._wake.put(None)
        if size:  # others than the loop post what has none
            self._bytes += size
            if self._bytes > QUEUE_BYTES:
                self._room.clear()

    @property
    def hangs(self) -> bool:
        """Is the thread held up in a call?"""
        return self._patience.over

    @property
    def ident(self) -> int:
        """The thread's, once it has been started."""
        assert self._thread.ident is not None
        return self._thread.ident

    @property
    def doing(self) -> int:
        """Which call it is in, or was in last."""
        return self._patience.call

    @property
    def waiting(self) -> int:
        """Calls that wait for the thread."""
        return len(self._queue)

    def take_timed(self) -> list[tuple[str, float]]:
        """(operation, seconds) of writes, commits and flushes since the last call: the last thousand at most."""
        return [self._timed.popleft() for _ in range(len(self._timed))]

    def take_errors(self) -> int:
        """Failed calls since the last call of this."""
        taken, self.errors = self.errors, 0
        return taken

    async def close(self, *, clean: bool = True) -> None:
        """Finish what is queued, then close the volume."""
        self._clean = clean
        if self._looking is not None:
            self._looking.cancel()
        self._stopping = True
        self._wake.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def be_late_after(self, seconds: float) -> None:
        """Have patience for so long from now on."""
        self._look_seconds = seconds / LOOKS
        self._look()

    def _look(self) -> None:
        """Does the disk answer, and soon enough?"""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.call_later(self._look_seconds, self._look)
        hung = self._patience.look()
        if hung:
            self.disk_failed()
            self._room.set()
        for call in (*self._doing, *self._queue.copy()):
            if call.answer is None or call.patient:
                continue
            call.looks += 1
            if hung or call.looks > 2 * LOOKS:
                call.tell(None, no_answer())

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch = self._take()
            if batch is None:
                break
            self._do(batch)
            with self._patience:
                self._own_work()
        try:
            self.volume.close(clean=self._clean)
        except Exception:
            log.exception("closing the volume failed")

    def _take(self) -> list[Call] | None:
        if not self._queue and not self._stopping:
            try:
                self._wake.get(timeout=0.001 if self._busy() else 0.2)
            except Empty:
                pass
        while not self._wake.empty():  # before the queue is looked at: what comes later wakes again
            self._wake.get_nowait()
        if not self._queue and self._stopping:
            return None
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
        self._doing = batch
        return batch

    def _do(self, batch: list[Call]) -> None:
        outcomes: list[_Outcome] = []
        at = 0
        while at < len(batch):
            call = batch[at]
            if call.function == self.volume.commit:
                end = at
                while end < len(batch) and batch[end].function in (self.volume.commit, self.volume.release):
                    end += 1
                outcomes.extend(self._commit(batch[at:end]))
                at = end
                continue
            with self._patience:
                outcomes.append((call, *self._call(call.function, call.args)))
            self._unsynced += call.size
            at += 1
        if outcomes:
            self._loop.call_soon_threadsafe(self._answer, outcomes)

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        try:
            operation = self._names.get(function)
            if operation is None:
                return function(*args), None
            began = time.perf_counter()
            done = function(*args)
            self._timed.append((operation, time.perf_counter() - began))
            return done, None
        except NotAdmitted as refusal:
            return None, refusal
        except Exception as error:
            self._failed(error)
            return None, error

    def _commit(self, calls: list[Call]) -> list[_Outcome]:
        """Commits, each perhaps with a release behind it: one transaction, then the releases."""
        commits = [call for call in calls if call.function == self.volume.commit]
        with self._patience:
            results, error = self._call(self.volume.commit_many, ([call.args for call in commits],))
        kept = results if error is None else [False] * len(commits)
        outcomes: list[_Outcome] = [(call, result, error) for call, result in zip(commits, kept, strict=True)]
        for call in calls:
            if call.function != self.volume.commit:
                outcomes.append((call, *self._call(call.function, call.args)))
        return outcomes

    def _answer(self, outcomes: list[_Outcome]) -> None:
        self._bytes -= sum(call.size for call, _, _ in outcomes)
        if self._bytes <= QUEUE_BYTES // 2:
            self._room.set()
        for call, result, error in outcomes:
            awaited = call.answer is not None
            if not call.tell(result, error) and isinstance(result, Reservation):
                self.post(self.volume.release, result)  # who waited for it has gone another way meanwhile
            elif not awaited and error is not None:
                log.error("store: %s", error)

    def _busy(self) -> bool:
        waiting = time.monotonic() < self._evict_after
        return (self.volume.rebuilding and not self.volume.rebuild_waits) or (not waiting and self._lacks_room())

    def _lacks_room(self) -> bool:
        return self.volume.health.writable and self.volume.needs_room()

    def _own_work(self) -> None:
        now = time.monotonic()
        try:
            if self.volume.rebuilding:
                epoch = self.volume.epoch
                self.volume.rebuild_step()
                for _ in range(self.volume.take_disk_errors()):
                    self.disk_failed()
                if self.volume.epoch != epoch:
                    self._loop.call_soon_threadsafe(self.on_trust, self.volume.health.trust)
            if now >= self._evict_after and self._lacks_room():
                self._evict_after = now + FLUSH_SECONDS  # also where it fails
                if self.volume.evict_step():
                    self._evict_after = 0.0
            due = now - self._last_flush >= FLUSH_SECONDS or self._unsynced >= FLUSH_BYTES
            if due and self.volume.health.writable:
                self._last_flush, self._unsynced = now, 0
                self.volume.keep_generations()
                began = time.perf_counter()
                if self.volume.flush_journals():
                    self._timed.append(("sync", time.perf_counter() - began))
            if now - self._last_sweep >= SWEEP_SECONDS:
                self._last_sweep = now
                self.volume.sweep_live()
        except Exception as error:
            self._failed(error)
            log.error("store: %s: %s", type(error).__name__, error)
        if self.volume.health.is_to_be_tried(now):
            self._try_disk()

    def _failed(self, error: Exception) -> None:
        if is_of_the_disk(error):
            self.disk_failed()
        else:
            self.errors += 1

    def disk_failed(self) -> None:
        """The volume's disk has failed once (workers' reads count as well).

        Called in the thread, or on the loop while the thread is held up in a call.
        """
        self.errors += 1
        health = self.volume.health
        before = health.trust
        health.failed(time.monotonic())
        self._say(before)

    def _try_disk(self) -> None:
        health = self.volume.health
        before = health.trust
        try:
            self.volume.try_disk()
        except OSError:
            health.failed(time.monotonic())
        else:
            if not self._patience.over:  # else that has been counted
                if before is Trust.OFF:  # its objects have lived elsewhere meanwhile, if there was another one
                    self.volume.come_back()
                health.works()
        self._say(before)

    def _say(self, before: Trust) -> None:
        trust = self.volume.health.trust
        if trust is not before:
            log.error("the disk of %s: %s", self.volume.directory, trust.value)
            self._loop.call_soon_threadsafe(self.on_trust, trust)
