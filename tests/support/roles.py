"""Roles for the supervisor's tests: processes with all the edges of real ones, and nothing in between.

What a worker does is chosen by the node's name in its settings, and by the words that a client sends to it.
"""

import asyncio
import json
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import NoReturn

from edge.errors import ConfigError
from edge.observe.meters import Meters
from edge.observe.slots import SlotWriter
from edge.runtime.child import ChildHandle

ENTRIES = {"worker": "tests.support.roles:worker", "keeper": "tests.support.roles:keeper"}


async def keeper(child: ChildHandle) -> None:
    """Accepts links and says its pid on each; its node's name may have it fail."""
    behaviour = child.charter.settings.server.node
    if behaviour == "keeper-refuses":
        raise ConfigError("cache.size", 1, "a keeper's own objection")
    link = socket.socket(fileno=child.charter.link_fd)
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    child.say("cache: nothing in it")
    if child.charter.distrust:
        child.say("the index is left alone")
    child.ready()

    async def greet() -> None:
        while True:
            sock, _ = await loop.sock_accept(link)
            with sock:
                await loop.sock_sendall(sock, str(os.getpid()).encode())
                if behaviour == "keeper-stands-still" and not child.charter.distrust:
                    _stand_still()

    greeting = asyncio.ensure_future(greet())
    await child.stop_requested.wait()
    greeting.cancel()
    _tell_end(child, "keeper stops")


async def worker(child: ChildHandle) -> None:
    """Answers one word a connection, on all its listeners."""
    behaviour = child.charter.settings.server.node
    if behaviour == "worker-crashes":
        raise RuntimeError("a worker's own crash")
    if behaviour == "worker-fails":
        raise OSError(5, "a disk's own failure")
    if behaviour == "worker-stuck":
        await asyncio.Event().wait()  # as one that never hears from its keeper
    work = Work(child, behaviour)
    tasks = [asyncio.ensure_future(work.accept(fd)) for fd, _ in child.charter.listeners]
    child.on_reopen_logs(lambda: child.say(f"worker {child.charter.number} opens its log anew"))
    if behaviour != "worker-waits":
        child.ready()
    await child.stop_requested.wait()
    if behaviour == "worker-deaf":
        await asyncio.Event().wait()
    for task in tasks:
        task.cancel()
    await work.finish()
    _tell_end(child, f"worker {child.charter.number} stops")


def _tell_end(child: ChildHandle, line: str) -> None:
    if child.charter.settings.server.node != "ends-silently":  # as real ones do
        child.say(line)


class Work:
    def __init__(self, child: ChildHandle, behaviour: str) -> None:
        self._child = child
        self._behaviour = behaviour
        self._meters = Meters(SlotWriter(child.charter.slot_fd))
        self._open: set[asyncio.Task[None]] = set()

    async def accept(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        with sock:
            while True:
                client, _ = await loop.sock_accept(sock)
                task = asyncio.ensure_future(self._serve(client))
                self._open.add(task)
                task.add_done_callback(self._open.discard)

    async def finish(self) -> None:
        """What is under way is answered to its end."""
        while self._open:
            await asyncio.wait(set(self._open))

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        word = (await reader.readline()).decode().strip()
        if word:  # else the client only looked whether somebody listens
            self._meters.count("edge_http_methods_total", "GET")
            writer.write((await self._answer(word, reader, writer)).encode())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def _answer(self, word: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        charter = self._child.charter
        match word:
            case "who":
                return f"{charter.number} {os.getpid()}"
            case "ready":
                self._child.ready()
                return "ready"
            case "die":
                os._exit(9)
            case "block":
                writer.write(b"blocked")
                await writer.drain()
                return _stand_still()  # a loop that never turns again sees no end of a pipe
            case "spin":
                return _spin()
            case "slow":
                writer.write(b"begun ")
                await writer.drain()
                await reader.readline()
                return "done"
            case "keeper":
                return await asyncio.to_thread(_keeper_pid, charter.links[0][1])
            case _:
                return json.dumps(_about(charter.descriptors))


def _stand_still() -> NoReturn:
    """As a thread that waits for a lock which nobody gives back."""
    while True:
        time.sleep(60)


def _spin() -> NoReturn:
    while True:
        pass


def _keeper_pid(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(10)
        sock.connect(path)
        return sock.recv(100).decode()


def _about(descriptors: tuple[int, ...]) -> dict[str, object]:
    """What this process has inherited."""
    listening = 0
    for entry in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(entry))) as sock:
                listening += sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            continue  # not a socket, or closed meanwhile
    return {
        "descriptors": len(descriptors),
        "listening": listening,
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "stdin": os.readlink("/proc/self/fd/0"),
        "loop": type(asyncio.get_running_loop()).__module__,
        "edge": str(Path(__import__("edge").__file__).parent),
    }
