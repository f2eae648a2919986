"""Listening sockets of the supervisor; children inherit them."""

import contextlib
import os
import socket
import tempfile
from pathlib import Path

from edge.config.units import parse_listen
from edge.errors import ConfigError

BACKLOG = 4096


def bind(listen: str, field: str) -> socket.socket:
    """A listening TCP socket; `[::]` takes IPv4 as well, and becomes 0.0.0.0 where there is no IPv6."""
    host, port = parse_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return _bind(family, host, port)
    except OSError as error:
        if host == "::" and family == socket.AF_INET6 and not _has_ipv6():
            return _bind(socket.AF_INET, "0.0.0.0", port)
        hint = {13: "needs the right to bind this port", 98: "another program listens there already"}
        raise ConfigError(field, listen, hint.get(error.errno or 0, str(error.strerror or error))) from error


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
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


class RuntimeDirectory:
    """A private directory for the link sockets; removed at the end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="edge-"))

    def link(self, name: str) -> tuple[socket.socket, str]:
        """A listening SEQPACKET socket that outlives the keeper which accepts from it."""
        path = str(self.path / name)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(path)
        sock.listen(256)
        sock.setblocking(False)
        return sock, path

    def remove(self) -> None:
        for entry in self.path.iterdir():
            with contextlib.suppress(OSError):
                os.unlink(entry)
        with contextlib.suppress(OSError):
            self.path.rmdir()
