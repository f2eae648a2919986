"""Resolving a name: by the system's resolver, or by c-ares, which also tells for how long the answer is good."""

import asyncio
import importlib
import logging
import socket
from typing import Any, Final, Protocol

Entry = Any  # what getaddrinfo gives

LOOKUP_SECONDS: Final = 2.0  # for one try of one server; the system's resolver is asked where none answers

log = logging.getLogger("edge.origin")


class Resolver(Protocol):
    """Gives (addresses, seconds for which they are good or None); OSError, UnicodeError."""

    async def resolve(self, host: str, port: int) -> tuple[list[Entry], float | None]: ...

    async def close(self) -> None: ...


class SystemResolver:
    """getaddrinfo: everything that the system knows, but no time to live."""

    def __repr__(self) -> str:
        return "<SystemResolver>"

    async def resolve(self, host: str, port: int) -> tuple[list[Entry], float | None]:
        loop = asyncio.get_running_loop()
        return list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)), None

    async def close(self) -> None:
        """Nothing is held."""


class TtlResolver:
    """c-ares, by aiodns: /etc/hosts and DNS. What it does not find is asked of the system (mDNS, containers)."""

    def __init__(self, aiodns: Any, **options: Any) -> None:
        """`options`: of aiodns.DNSResolver."""
        self._aiodns = aiodns
        self._options = options
        self._system = SystemResolver()
        self._own: Any = None  # made on the loop that uses it

    def __repr__(self) -> str:
        return f"<TtlResolver {self._options}>"

    async def resolve(self, host: str, port: int) -> tuple[list[Entry], float | None]:
        if address := _literal(host, port):
            return address, None
        if self._own is None:
            self._own = self._aiodns.DNSResolver(timeout=LOOKUP_SECONDS, tries=2, **self._options)
        try:
            found = await self._own.getaddrinfo(host, port=port, type=socket.SOCK_STREAM)
        except self._aiodns.error.DNSError as error:
            log.debug("%s: %s; the system is asked", host, error)
            return await self._system.resolve(host, port)
        entries = [(node.family, node.socktype, node.protocol, "", _spoken(node.addr)) for node in found.nodes]
        told = [float(node.ttl) for node in found.nodes if node.ttl > 0]  # 0: /etc/hosts, which has none
        return entries, min(told, default=None)

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()


def _literal(host: str, port: int) -> list[Entry]:
    """An address that is written as one is nothing to ask anybody about: c-ares has a thread for its questions."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except OSError:
        return []


def _spoken(address: tuple[Any, ...]) -> tuple[Any, ...]:
    host = address[0]
    return (host.decode() if isinstance(host, bytes) else host, *address[1:])


def best_resolver() -> Resolver:
    """With the extra `dns` the one that knows times to live."""
    try:
        return TtlResolver(importlib.import_module("aiodns"))
    except ImportError:
        return SystemResolver()
