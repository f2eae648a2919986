"""A body on its way, window by window.

At most one window is with the transport at any time, so that a slow reader costs one window of memory (a
plain one costs nothing: the kernel reads the page cache). The transport's write buffer has a high mark of
zero: it calls `pause_writing` when anything at all is left over, and `resume_writing` when all of it has
gone; that, and nothing else, is how a window's end is known. The next window always comes in a later turn of
the loop, so that one fast connection never holds it.

What is promised is sent exactly: a source that ends early, or brings too much, has its connection reset. What its
disk does not give of a window goes back to the source, which has it brought from elsewhere: only of what waits in the
transport already nothing can be taken back.
"""

import asyncio
import errno
import functools
import logging
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from aiofastnet import Transport

from edge.reads import read_at
from edge.server.exchange import BodyBroken, BodySource, Exchange, FileWindow, Outcome
from edge.words import KIB, PENDING, Pending

if TYPE_CHECKING:
    from edge.server.connection import Connection

_READ_INSTEAD: Final = 8 * KIB  # up to here a copy costs less than sendfile after a write of its own
_MORE_COMES: Final = socket.MSG_MORE | socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
# What sendfile ends with if the file cannot be read, and nothing is wrong with the socket.
OF_THE_DISK: Final = frozenset(
    {errno.EIO, errno.EUCLEAN, errno.EBADMSG, errno.ENODATA, errno.EREMOTEIO, errno.ENXIO, errno.ENODEV, errno.ESTALE}
)

log = logging.getLogger("edge.server")


class Unreadable(Exception):
    """The disk does not give a file's bytes; `left`: how many of the window the kernel has not taken."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left


class Sender:
    """Sends one body. `length` None: of unknown length, in chunks or until the connection's end."""

    __slots__ = (
        "_again", "_by_copy", "_chunked", "_connection", "_future", "_left", "_limit", "_prefix", "_pulling",
        "_scheduled", "_sock", "_source", "_transport", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        connection: "Connection",
        transport: Transport,
        source: BodySource,
        length: int | None,
        limit: int,
        *,
        chunked: bool,
        by_copy: bool,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._sock = connection.sock
        self._source: BodySource | None = source
        self._left = length
        self._limit = limit
        self._chunked = chunked
        self._by_copy = by_copy  # TLS in user space: file windows must pass through memory
        self._prefix = b""  # what goes before the next window: the head, a chunk's size, a chunk's end
        self._pulling = self._again = self._waiting = self._scheduled = False
        self._future: asyncio.Future[Any] | None = None

    def __repr__(self) -> str:
        return f"<Sender left={self._left} waiting={self._waiting} stopped={self._source is None}>"

    def start(self, head: bytes) -> None:
        """Send the head, together with the first window if that is there already."""
        self._prefix = head
        self._pump()

    def resume(self) -> None:
        """The source has more to say. Heard also while it is being asked, and then asked again."""
        if self._pulling:
            self._again = True
        elif self._waiting:
            self._schedule()

    def advance(self) -> None:
        """The window that was with the transport has gone to the kernel."""
        if self._left == 0:
            self._connection.finish()
        else:
            self._schedule()

    def take_back(self, count: int) -> None:
        """The file of the last window does not give its last `count` bytes: they come from elsewhere."""
        if self._source is None:
            return
        try:
            self._source.take_back(count)
        except BodyBroken as broken:
            self._break(str(broken))
        else:
            self._schedule()

    def stop(self) -> None:
        """No more; whether complete or not."""
        source, self._source = self._source, None
        if self._future is not None and not self._future.done():
            self._future.cancel()  # or the transport, aborted, would set an exception that is None
        if source is not None:
            source.close()

    # -- asking for windows ----------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._waiting = False
            self._connection.service.loop.call_soon(self._pump)

    def _pump(self) -> None:
        """One window, or word that there is none."""
        self._scheduled = False
        if self._source is None:
            return
        window = self._pull(self._source)
        if self._source is None:
            return  # the source had the connection ended while it was asked
        if window is PENDING:
            self._flush()
            self._waiting = True
            if self._again:
                self._schedule()
        elif window is None:
            self._end()
        else:
            self._send(window)

    def _pull(self, source: BodySource) -> FileWindow | bytes | memoryview | Pending | None:
        self._pulling, self._again = True, False
        try:
            return source.next_window(self._limit if self._left is None else min(self._limit, self._left))
        except BodyBroken as broken:
            self._break(str(broken))
        except Exception:
            log.exception("a body source failed")
            self._connection.abort(Outcome.BROKEN)
        finally:
            self._pulling = False
        return None

    def _break(self, why: str) -> None:
        log.info("connection reset, the body cannot be completed: %s", why)
        self._connection.abort(Outcome.BROKEN)

    # -- handing over ----------------------------------------------------------------------------

    def _send(self, window: FileWindow | bytes | memoryview) -> None:
        count = window.count if isinstance(window, FileWindow) else len(window)
        if count <= 0 or (self._left is not None and count > self._left):
            self._break(f"a window of {count} bytes where {self._left} are left")
        elif not isinstance(window, FileWindow):
            self._send_bytes(window)
        elif count <= _READ_INSTEAD and not self._by_copy:
            try:
                data = read_at(window.file.fileno(), count, window.offset)
            except OSError:
                self.take_back(count)
            else:
                self._got(window, data)
        elif not self._by_copy:
            self._send_file(window)
        else:
            view = window.file.view(window.offset, count)
            if view is not None and len(view) == count:
                self._send_bytes(view)
            else:
                self._read(window)

    def _send_bytes(self, window: bytes | memoryview) -> None:
        count = len(window)
        prefix = self._take_prefix(count)
        if prefix:
            self._transport.writelines((prefix, window))
        else:
            self._transport.write(window)
        self._handed(count)

    def _send_file(self, window: FileWindow) -> None:
        """The kernel takes at once what its buffer has room for; the transport waits with the rest."""
        prefix = self._take_prefix(window.count)
        gone = 0
        if self._sock is not None and not self._connection.paused:
            try:
                left = send_at_once(self._sock, prefix, window)
            except Unreadable as unreadable:
                self._unsent(b"", window.count - unreadable.left, unreadable.left)
                return
            if left == 0:
                self._handed(window.count)
                return
            if left <= window.count:
                prefix, gone = b"", window.count - left
            else:
                prefix = prefix[len(prefix) - (left - window.count) :]
        file, end = window.file, window.offset + window.count
        if os.lseek(file.fileno(), 0, os.SEEK_END) < end:  # a quarter of fstat's cost; nobody uses the position
            # sendfile would send what there is and call it a success; the next answer would fill the gap.
            self._unsent(prefix, gone, window.count - gone)
            return
        if not (self._chunked or window.file.is_there(window.offset + gone, window.count - gone)):
            self._unsent(prefix, gone, window.count - gone)
            return
        if prefix:
            self._transport.write(prefix)
        try:
            future = self._transport.sendfile(file, window.offset + gone, window.count - gone)  # type: ignore[arg-type]
        except (OSError, RuntimeError) as error:
            if not self._transport.is_closing():
                self._break(f"sendfile: {error}")
            return  # else connection_lost follows
        if future is not None:
            self._future = future
            future.add_done_callback(_consume)
        self._handed(window.count)

    def _unsent(self, prefix: bytes, gone: int, left: int) -> None:
        """Of a window only the first bytes have been sent: it is shorter by the others."""
        if self._chunked:
            self._break(f"{left} bytes of a chunk cannot be read")  # its length has been said
            return
        if prefix:
            self._transport.write(prefix)
        if self._left is not None:
            self._left -= gone
        self._connection.sent_at_once(gone)
        self.take_back(left)

    def _read(self, window: FileWindow) -> None:
        """Read what may have to wait for a disk in the pool. The callback keeps the file open meanwhile."""
        service, fd = self._connection.service, window.file.fileno()
        future = service.loop.run_in_executor(service.executor, read_at, fd, window.count, window.offset)
        future.add_done_callback(functools.partial(self._was_read, window))

    def _was_read(self, window: FileWindow, future: asyncio.Future[bytes]) -> None:
        if future.cancelled() or self._source is None:
            _consume(future)
            return
        if future.exception() is not None:
            self.take_back(window.count)
        else:
            self._got(window, future.result())

    def _got(self, window: FileWindow, data: bytes) -> None:
        if len(data) == window.count:
            self._send_bytes(data)
        else:
            self.take_back(window.count)

    def _handed(self, count: int) -> None:
        if self._left is not None:
            self._left -= count
        self._connection.written += count
        if self._connection.handed(count):
            self.advance()

    # -- framing ---------------------------------------------------------------------------------

    def _take_prefix(self, count: int) -> bytes:
        """What has to go before a window of `count` bytes; chunks are RFC 9112 section 7.1."""
        prefix, self._prefix = self._prefix, b""
        if self._chunked:
            prefix += b"%x\r\n" % count
            self._prefix = b"\r\n"
        self._connection.written += len(prefix)
        return prefix

    def _flush(self) -> None:
        """Nothing follows for a while: what waits for company goes alone."""
        if self._prefix:
            self._transport.write(self._prefix)
            self._connection.written += len(self._prefix)
            self._prefix = b""

    def _end(self) -> None:
        if self._left:
            self._break(f"the body ends {self._left} bytes early")
            return
        self._left = 0
        if self._chunked:
            self._prefix += b"0\r\n\r\n"
        self._flush()
        if self._connection.handed(0):
            self.advance()


class OneWindow:
    """A `BodySource` over a single stretch of a file."""

    __slots__ = ("_elsewhere", "_exchange", "_window")

    def __init__(self, window: FileWindow, exchange: Exchange) -> None:
        self._window = window
        self._exchange = exchange
        self._elsewhere: BodySource | None = None

    def next_window(self, limit: int) -> FileWindow | bytes | memoryview | Pending | None:
        """The next bytes, None at the end."""
        if self._elsewhere is not None:
            return self._elsewhere.next_window(limit)
        window = self._window
        if window.count == 0:
            return None
        count = min(limit, window.count)
        self._window = FileWindow(window.file, window.offset + count, window.count - count)
        return FileWindow(window.file, window.offset, count)

    def take_back(self, count: int) -> None:
        """From there on the file is left alone."""
        if self._elsewhere is not None:
            self._elsewhere.take_back(count)
            return
        window = self._window
        rest = FileWindow(window.file, window.offset - count, window.count + count)
        self._elsewhere = self._exchange.elsewhere(rest)

    def close(self) -> None:
        """Of its own it has nothing to give back."""
        if self._elsewhere is not None:
            self._elsewhere.close()


def send_at_once(sock: socket.socket, head: bytes, window: FileWindow) -> int:
    """What the kernel takes of head and window without waiting; how many bytes of both it did not take.

    The head waits in the kernel (MSG_MORE) until the file's bytes are there, so that both leave in one packet and
    the client is woken once. Only while the transport holds nothing back is it right to pass it by; what is left,
    and why, goes the transport's way. Unreadable: but for the file.
    """
    left = len(head) + window.count
    try:
        if head:
            left -= sock.send(head, _MORE_COMES)
            if left > window.count:
                return left
        while left:
            sent = os.sendfile(sock.fileno(), window.file.fileno(), window.offset + window.count - left, left)
            if sent == 0:
                break  # the file ends
            left -= sent
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise Unreadable(left) from error
        # Else full, or broken: the transport finds out by itself.
    return left


def _consume(future: asyncio.Future[Any]) -> None:
    """A queued sendfile's failure is told by connection_lost; here it is only taken note of."""
    if not future.cancelled():
        future.exception()
