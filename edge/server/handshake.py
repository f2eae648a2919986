"""Around a TLS handshake: which name the client asks for, and silence about clients that leave in it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from edge.server.hello import MAX_HELLO, MoreNeeded, server_name

_FAILED: Final = "SSL handshake failed"  # the transport's message
_Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]


async def asked_name(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> str | None:
    """Peek at the ClientHello; the socket is left as it was. None: no name, or no hello will come."""
    seen = 0
    try:
        while True:
            await readable(loop, sock)
            data = sock.recv(MAX_HELLO, socket.MSG_PEEK)
            try:
                return server_name(data)
            except MoreNeeded as more:
                if len(data) <= seen:
                    return None  # readable, and nothing new: the client has left
                seen = len(data)
                # What was peeked at stays readable: without this the loop would spin until the rest is there.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, more.total)
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Until something has come, or the other side has left."""
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _set, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class QuietHandshakes:
    """While installed, the loop does not report clients that close their connection during the handshake.

    The transport reports those as if they were failures of ours, with an exception class in the place of an
    exception, over which the loop's own handler then stumbles. Everything else is reported as before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._before: _Handler | None = loop.get_exception_handler()
        loop.set_exception_handler(self._report)

    def _report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") == _FAILED and isinstance(context.get("exception"), type):
            return
        if self._before is not None:
            self._before(loop, context)
        else:
            loop.default_exception_handler(context)

    def remove(self) -> None:
        """Put back what was there, unless somebody has come after us."""
        if self._loop.get_exception_handler() == self._report:
            self._loop.set_exception_handler(self._before)
