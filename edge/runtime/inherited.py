"""Listening sockets that we did not bind: from a service manager (sd_listen_fds(3)), or from who ran before us.

An inherited socket serves the listener with its address. systemd's [::]:8080 is ours, as is 0.0.0.0:8080 for it.
"""

import os
import socket
import stat
from collections.abc import Iterable, Mapping
from typing import Final, Self

from edge.config.units import parse_listen
from edge.runtime.listeners import BACKLOG, bind
from edge.sockets import AS_IT_IS, SocketOptions

FIRST: Final = 3  # SD_LISTEN_FDS_START
MOST: Final = 1000


class Inherited:
    """`take` or `bind`s; what nobody has taken is closed with `close`."""

    def __init__(self, sockets: Iterable[socket.socket] = ()) -> None:
        self._sockets = list(sockets)

    def __repr__(self) -> str:
        return f"<Inherited {[sock.getsockname() for sock in self._sockets]}>"

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Self:
        """What LISTEN_FDS gives to this very process; none where it was meant for another."""
        count = environment.get("LISTEN_FDS", "")
        if environment.get("LISTEN_PID") != str(pid) or not count.isdecimal():
            return cls()
        return cls.from_descriptors(range(FIRST, FIRST + min(int(count), MOST)))

    @classmethod
    def from_descriptors(cls, numbers: Iterable[int]) -> Self:
        """The listening TCP sockets among these descriptors; the others are left alone."""
        found = []
        for number in numbers:
            try:
                if not stat.S_ISSOCK(os.fstat(number).st_mode):
                    continue
                os.set_inheritable(number, False)
                sock = socket.socket(fileno=number)
            except OSError:
                continue  # fewer were given than were said
            tcp = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
            if tcp and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.setblocking(False)
                found.append(sock)
            else:
                sock.detach()
        return cls(found)

    def bind(self, listen: str, field: str, options: SocketOptions = AS_IT_IS) -> socket.socket:
        """The socket for an address: an inherited one, or a new one; ConfigError: neither can be had."""
        host, port = parse_listen(listen)
        for sock in self._sockets:
            if port and _is(sock, host, port):
                self._sockets.remove(sock)
                sock.listen(BACKLOG)  # systemd's default of it is its own
                options.apply(sock)
                return sock
        return bind(listen, field, options)

    def close(self) -> tuple[str, ...]:
        """Close what is of no use; its addresses, for the log."""
        left = tuple(str(sock.getsockname()) for sock in self._sockets)
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        return left


def _is(sock: socket.socket, host: str, port: int) -> bool:
    bound_host, bound_port = sock.getsockname()[:2]
    if bound_port != port:
        return False
    if bound_host == host:
        return True
    try:
        found = socket.getaddrinfo(host, port, family=sock.family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return host == "::" and bound_host == "0.0.0.0"  # a machine without IPv6
    return any(address[0] == bound_host for *_, address in found)
