"""The end of processes: asked, waited for, and killed where they do not hear."""

import asyncio
import signal
from collections.abc import Sequence

from edge.runtime.places import Place, Process
from edge.runtime.report import say
from edge.tasks import Tasks


class Ending:
    """`hurry` is set by a second signal: who has not ended yet is killed."""

    def __init__(self, tasks: Tasks) -> None:
        self.hurry = asyncio.Event()
        self._tasks = tasks

    def __repr__(self) -> str:
        return f"<Ending hurry={self.hurry.is_set()}>"

    async def end(self, places: Sequence[Place], seconds: float) -> None:
        """SIGTERM; SIGKILL for who is left after so many seconds, or after a second signal."""
        running = [(place, place.process) for place in places if place.process is not None]
        for place, _ in running:
            place.signal(signal.SIGTERM)
        await self._wait_for([process for _, process in running], seconds)
        late = [(place, process) for place, process in running if not process.exited.done()]
        for place, process in late:
            if not self.hurry.is_set():
                say(f"{place.name} did not end within {seconds:g} s: killed")
            process.signal(signal.SIGKILL)
        await asyncio.gather(*(process.exited for _, process in late))

    async def _wait_for(self, processes: Sequence[Process], seconds: float) -> None:
        """Until all have ended, the time is over, or somebody is impatient."""
        if not processes:
            return
        hurry = self._tasks.spawn(self.hurry.wait(), "hurry")
        ended = self._tasks.spawn(asyncio.wait([process.exited for process in processes]), "ended")
        await asyncio.wait({hurry, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (hurry, ended):
            waiting.cancel()
