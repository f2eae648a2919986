"""One end of the link: a SOCK_SEQPACKET Unix socket on the loop, descriptors riding along.

The kernel keeps message boundaries, so reading is one `recvmsg` a message and a lost peer is one EOF.
asyncio's transports know neither SEQPACKET nor SCM_RIGHTS, so this uses the loop's reader and writer hooks.
"""

import array
import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from edge.fill.messages import Message
from edge.fill.wire import decode, encode

MAX_MESSAGE: Final = 192 * 1024  # below the kernel's default send buffer (208 KiB): a larger one is EMSGSIZE
READS_AT_ONCE: Final = 64  # then other connections get their turn
QUEUE_LIMIT: Final = 65536  # messages waiting for a peer that does not read; beyond it the peer is given up


class Channel:
    """Sends and receives messages; `on_message(message, fds)` owns the descriptors it is given."""

    def __init__(
        self,
        sock: socket.socket,
        on_message: Callable[[Message, list[int]], None],
        on_lost: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._on_message = on_message
        self._on_lost = on_lost
        self._waiting: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._readable)
        self.closed = False

    def __repr__(self) -> str:
        return f"<Channel fd={self._fd} waiting={len(self._waiting)} closed={self.closed}>"

    def send(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Queue one message; descriptors are duplicated, so the caller keeps and closes its own."""
        if self.closed:
            return
        raw = encode(message)
        if self._waiting or not self._try_send(raw, list(fds)):
            if len(self._waiting) >= QUEUE_LIMIT:
                self._lost()
                return
            if not self._waiting:
                self._loop.add_writer(self._fd, self._writable)
            self._waiting.append((raw, [os.dup(fd) for fd in fds]))

    def _try_send(self, raw: bytes, fds: list[int]) -> bool:
        try:
            if fds:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
                self._sock.sendmsg([raw], [rights])
            else:
                self._sock.send(raw)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._loop.call_soon(self._lost)  # never from inside the caller's own step
        return True

    def _writable(self) -> None:
        while self._waiting:
            raw, fds = self._waiting[0]
            if not self._try_send(raw, fds):
                return
            self._waiting.popleft()
            for fd in fds:
                os.close(fd)
        self._loop.remove_writer(self._fd)

    def _readable(self) -> None:
        for _ in range(READS_AT_ONCE):
            if self.closed:
                return
            try:
                raw, ancillary, _flags, _addr = self._sock.recvmsg(MAX_MESSAGE + 4096, 64, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._lost()
                return
            if not raw:
                self._lost()
                return
            fds = array.array("i")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            self._on_message(decode(raw), list(fds))

    def _lost(self) -> None:
        if not self.closed:
            self.close()
            self._on_lost()

    def close(self) -> None:
        """Leave the loop and close the socket; messages not sent yet are dropped."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        for _, fds in self._waiting:
            for fd in fds:
                os.close(fd)
        self._waiting.clear()
        self._sock.close()
