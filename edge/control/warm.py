"""Warm jobs: what players will ask for tonight is fetched while nobody minds.

A job's URLs are brought one after the other (or a few at a time), at its rate, within its window, behind every
player's fetch. Its file is written every few seconds, so that a restart repeats a few URLs, which are there then.
"""

import asyncio
import contextlib
import fnmatch
import logging
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from edge.clock import Clock
from edge.control.asks import WarmAsk
from edge.control.fetching import Brought, Pace
from edge.control.title import Read, referred
from edge.control.warmjob import OVER, Job, State
from edge.control.window import Window
from edge.errors import BadRequest, EdgeError
from edge.tasks import Tasks

SAVE_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 30.0  # while a window is closed: clocks are set, and summer comes
JOBS_MOST: Final = 1000  # kept, those that are over too
AT_WORK: Final = 2  # jobs at a time

log = logging.getLogger("edge.control")


class Bringing(Protocol):
    """Brings one URL; EdgeError: it cannot be had."""

    def __call__(self, url: str, pace: Pace) -> Awaitable[Brought]: ...


class Warmth:
    """All warm jobs of a node; `directory` keeps them over restarts."""

    def __init__(self, directory: Path, bring: Bringing, read: Read, clock: Clock) -> None:
        self._directory = directory
        self._bring, self._read, self._clock = bring, read, clock
        self._tasks = Tasks("warm")
        self._turn = asyncio.Semaphore(AT_WORK)
        self._running: dict[str, asyncio.Task[None]] = {}
        self.jobs: dict[str, Job] = {}

    def __repr__(self) -> str:
        return f"<Warmth jobs={len(self.jobs)} running={len(self._running)}>"

    def start(self) -> None:
        """Go on with what a run before has left."""
        with contextlib.suppress(OSError):  # a full disk: jobs live as long as we do
            self._directory.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._directory.glob("*.json")):
            try:
                job = Job.load(path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("warm job %s cannot be read: %s", path.name, error)
                continue
            self.jobs[job.id] = job
            if job.state is State.WAITING:
                self._go(job)

    async def close(self) -> None:
        await self._tasks.close()

    # -- what operators do -----------------------------------------------------------------------

    def add(self, ask: WarmAsk, id_: str | None = None) -> Job:
        """Begin a job; it gets a name unless it has one. BadRequest: what it says cannot be done."""
        if ask.window is not None:
            Window.parse(ask.window, ask.zone)
        self._forget_old()
        job = Job(id_ or secrets.token_hex(4), ask, self._clock.wall())
        self.jobs[job.id] = job
        self._save(job)
        self._go(job)
        return job

    def _save(self, job: Job) -> None:
        """On a full disk it goes on all the same: after a restart it begins where it was written down last."""
        try:
            job.save(self._directory)
        except OSError as error:
            log.warning("warm job %s cannot be written down: %s", job.id, error)

    def _forget_old(self) -> None:
        over = sorted((job for job in self.jobs.values() if job.state in OVER), key=lambda job: job.created)
        for job in over[: max(0, len(self.jobs) - JOBS_MOST + 1)]:
            del self.jobs[job.id]
            with contextlib.suppress(OSError):
                (self._directory / f"{job.id}.json").unlink()
        if len(self.jobs) >= JOBS_MOST:
            raise BadRequest(f"there are {JOBS_MOST} jobs that are not over", 429)

    def find(self, id_: str) -> Job:
        job = self.jobs.get(id_)
        if job is None:
            raise BadRequest(f"there is no warm job {id_!r}", 404)
        return job

    async def turn_to(self, id_: str, state: State) -> Job:
        """Pause, go on with (WAITING) or cancel a job; the same as before if it is over."""
        job = self.find(id_)
        if job.state in OVER or job.state is state:
            return job
        task = self._running.pop(id_, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if job.state not in OVER:
            job.state = state
            self._save(job)
        if job.state is State.WAITING:
            self._go(job)
        return job

    # -- at work ---------------------------------------------------------------------------------

    def _go(self, job: Job) -> None:
        self._running[job.id] = self._tasks.spawn(self._run(job), f"job {job.id}")

    async def _run(self, job: Job) -> None:
        async with self._turn:
            try:
                await self._work(job)
            except EdgeError as error:
                job.note_failure("the job", str(error))
            job.state = State.DONE
            self._save(job)
            self._running.pop(job.id, None)

    async def _work(self, job: Job) -> None:
        window = Window.parse(job.ask.window, job.ask.zone) if job.ask.window else None
        await self._until_open(job, window)
        if job.urls is None:
            job.urls = await self._list(job)
            self._save(job)
        pace = Pacing(job.ask.rate, self._clock)
        saved = began = self._clock.monotonic()
        step = job.ask.parallel
        try:
            while job.position < len(job.urls):
                if window is not None and window.opens_in(self._clock.wall()) > 0:
                    job.seconds += self._clock.monotonic() - began
                    await self._until_open(job, window)
                    began = self._clock.monotonic()
                some = job.urls[job.position : job.position + step]
                await asyncio.gather(*(self._one(job, url, pace) for url in some))
                job.position += len(some)
                now = self._clock.monotonic()
                job.seconds, began = job.seconds + now - began, now
                if now - saved >= SAVE_SECONDS:
                    saved = now
                    await asyncio.to_thread(self._save, job)
        finally:
            self._save(job)

    async def _until_open(self, job: Job, window: Window | None) -> None:
        while window is not None and (seconds := window.opens_in(self._clock.wall())) > 0:
            job.state = State.WAITING
            await asyncio.sleep(min(seconds, LOOK_SECONDS))
        job.state = State.RUNNING

    async def _list(self, job: Job) -> list[str]:
        """Every URL of the job, each once: those it names, and what its titles refer to. Lists that fail are noted."""
        ask = job.ask

        def chosen(url: str) -> bool:
            return not ask.renditions or any(fnmatch.fnmatchcase(url, pattern) for pattern in ask.renditions)

        found: dict[str, None] = {}
        for url in ask.titles:
            try:
                title = await referred(url, self._read, chosen)
            except BadRequest as error:
                job.note_failure(url, error.detail)
                continue
            found[url] = None
            found.update(dict.fromkeys(title.urls))
            for unread, why in title.unread.items():
                job.note_failure(unread, f"what this list names is not known: {why}")
        found.update(dict.fromkeys(ask.urls))
        return [url for url in found if ask.prefix is None or url.startswith(ask.prefix)]

    async def _one(self, job: Job, url: str, pace: "Pacing") -> None:
        try:
            brought = await self._bring(url, pace.take)
        except EdgeError as error:
            job.note_failure(url, str(error))
            return
        job.length += brought.fetched
        if brought.status != 200 or not brought.kept:
            job.refused += 1
            why = "may not be kept" if brought.status == 200 else f"the answer was {brought.status}"
            job.note(url, why)
        elif brought.fetched:
            job.fetched += 1
        else:
            job.present += 1


class Pacing:
    """At most `rate` bytes a second over any longer while; 0 = as fast as it comes."""

    def __init__(self, rate: float, clock: Clock, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._due = clock.monotonic()

    async def take(self, count: int) -> None:
        """So many bytes have come: wait until they are due."""
        if self._rate <= 0:
            return
        now = self._clock.monotonic()
        self._due = max(self._due, now) + count / self._rate
        if self._due > now:
            await self._sleep(self._due - now)
