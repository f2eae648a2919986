"""`edge demo`: origin, edge, counters and page, started together and ended together, leaving nothing.

    browser --> edge (processes of its own, a cache in a temporary directory) --> origin (in this process)
       `------> counters (in this process) --> the edge's /metrics

Ctrl-C, SIGTERM, a terminal that closes, and the death of the edge all end all of it within a second.
"""

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any, Final

from edge.config.units import parse_duration, parse_listen
from edge.demo.counters import Counters
from edge.demo.edge_process import EdgeProcess
from edge.demo.lines import complain, say
from edge.demo.origin_server import Origin
from edge.demo.origin_server import serve as serve_origin
from edge.tasks import Tasks

READY_SECONDS: Final = 20.0
FAR: Final = "200ms"  # what an origin on another continent adds to each answer of the film
WRONG: Final = 2
FAILED: Final = 1
STOPPED: Final = 0


def run(listen: str, admin: str, origin_delay: str = FAR) -> int:
    """Run until it is told to stop; the exit code. The addresses are HOST:PORT, port 0 takes any free one."""
    try:
        host, _ = parse_listen(listen)
        parse_listen(admin)
        delay = parse_duration(origin_delay)
    except ValueError as error:
        complain(str(error))
        return WRONG
    return asyncio.run(_until_stopped(_Demo(listen, admin, host, delay)))


async def _until_stopped(demo: "_Demo") -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return await demo.run(stop)


class _Demo:
    def __init__(self, listen: str, admin: str, host: str, delay: float) -> None:
        self._listen = listen
        self._admin = admin
        self._host = host
        self._delay = delay

    async def run(self, stop: asyncio.Event) -> int:
        """Start everything, wait for an end, end everything."""
        directory = Path(tempfile.mkdtemp(prefix="edge-demo-"))
        tasks = Tasks("demo")
        edge = EdgeProcess(directory, tasks)
        stopped = tasks.spawn(stop.wait(), "stop")
        try:
            async with Counters(self._host) as counters:
                return await self._play(edge, counters, tasks, stopped)
        except OSError as error:
            complain(f"cannot start: {error}")
            return FAILED
        finally:
            await edge.stop()
            await tasks.close()
            shutil.rmtree(directory, ignore_errors=True)

    async def _play(self, edge: EdgeProcess, counters: Counters, tasks: Tasks, stopped: "asyncio.Task[bool]") -> int:
        origin = Origin(film_delay=self._delay)
        origin.where = {"counters": counters.port, "origin_delay_ms": round(self._delay * 1000)}
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        serving = tasks.spawn(serve_origin("127.0.0.1", 0, port, origin), "origin")
        await _first(port, serving)
        if serving.done():
            return FAILED  # the task has told why
        await edge.start(f"http://127.0.0.1:{port.result()}", self._listen, self._admin)
        ended = tasks.spawn(edge.ended(), "edge")
        ready = tasks.spawn(edge.ready(), "ready")
        await _first(ready, ended, stopped, serving, seconds=READY_SECONDS)
        if ready.done() and not stopped.done():
            counters.metrics = edge.admin + "/metrics"
            self._tell(edge)
            await _first(ended, stopped, serving)
        if stopped.done():
            return STOPPED
        complain(_why(ended, ready, serving))
        return FAILED

    def _tell(self, edge: EdgeProcess) -> None:
        far = f"; its origin answers after {self._delay * 1000:.0f} ms, as a far one would" if self._delay else ""
        say(f"\nplay the film:  {edge.players}/demo/")
        say(f"metrics:        {edge.admin}/metrics")
        say(f"Ctrl-C ends it{far}.")


async def _first(*tasks: "asyncio.Future[Any]", seconds: float | None = None) -> None:
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def _why(ended: "asyncio.Task[int]", ready: "asyncio.Task[None]", serving: "asyncio.Task[None]") -> str:
    if ended.done() and not ready.done():
        return f"the edge did not start (exit code {ended.result()}); --listen and --admin choose other ports"
    if ended.done():
        return f"the edge has ended (exit code {ended.result()})"
    if serving.done():
        return "the origin has ended"
    return f"the edge was not ready within {READY_SECONDS:.0f} s"
