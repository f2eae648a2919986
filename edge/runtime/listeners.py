"""Sockets that the supervisor binds and children inherit, for players and operators."""

import errno
import socket
from typing import Final

from edge.config.units import parse_listen
from edge.errors import ConfigError
from edge.sockets import AS_IT_IS, SocketOptions

BACKLOG: Final = 4096  # connections that wait to be accepted: a second of a crowd that comes back after a break
HINTS: Final = {
    errno.EACCES: "this port needs a right: ports under 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: "another program listens there already: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EAFNOSUPPORT: "this machine has no addresses of this family",
}


def bind(listen: str, field: str, options: SocketOptions = AS_IT_IS) -> socket.socket:
    """A listening TCP socket; `[::]` takes IPv4 as well, and becomes 0.0.0.0 where there is no IPv6.

    What it accepts has its options. ConfigError names `field`, and what to do.
    """
    host, port = parse_listen(listen)
    try:
        if host == "::" and not _has_ipv6():
            return _bind(socket.AF_INET, ("0.0.0.0", port), options)
        return _bind(*_resolve(host, port), options)
    except OSError as error:
        hint = HINTS.get(error.errno or 0, error.strerror or str(error))
        raise ConfigError(field, listen, hint) from error


def _resolve(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    """The first address of a host, IPv4 before IPv6: one listener is one address."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address


def _bind(family: int, address: tuple[object, ...], options: SocketOptions) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        options.apply(sock)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def spoken(sock: socket.socket) -> str:
    """HOST:PORT as people write it."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
