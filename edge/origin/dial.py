"""Opening a connection to an upstream: its addresses in turn, TLS, and the options of its sockets."""

import asyncio
import errno
import os
import socket
import ssl
from typing import Any, Final

import aiofastnet

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.connection import OriginConnection
from edge.origin.names import Names
from edge.origin.path import PathStatistics, round_trip
from edge.origin.resolve import Resolver
from edge.origin.settings import Address, OriginSettings
from edge.words import Reason

ADDRESSES_IN_TIME: Final = 3  # how many that are silent may be tried within one connect time-out
FAIR: Final = 1.0  # seconds: who was given less to answer, since our own line took the rest, has not failed


class Dialer:
    """Opens connections to one upstream; OriginError CONNECT_FAILED, CONNECT_TIMEOUT."""

    def __init__(
        self,
        settings: OriginSettings,
        address: Address,
        clock: Clock,
        path: PathStatistics,
        resolver: Resolver | None = None,
    ) -> None:
        self._settings = settings
        self._address = address
        self._path = path
        self._names = Names(address.host, address.port, clock, resolver)
        self._tls = tls_context(settings) if address.secure else None

    def __repr__(self) -> str:
        return f"<Dialer {self._names}>"

    async def open(self, within: float | None = None) -> OriginConnection:
        """A connection that is ready for a request, within the connect time-out or `within` seconds.

        FIRST_BYTE_TIMEOUT: there was less time than it takes to say that the upstream does not connect.
        """
        most = self._settings.connect_timeout
        limit = most if within is None else max(0.0, min(most, within))
        try:
            async with asyncio.timeout(limit):
                return await self._connect(await self._names.addresses(), limit)
        except TimeoutError:
            detail = f"no connection in {limit:.1f} s"
            if limit < min(FAIR, most):
                raise OriginError(Reason.FIRST_BYTE_TIMEOUT, detail) from None
            raise OriginError(Reason.CONNECT_TIMEOUT, detail) from None
        except OSError as error:  # ssl.SSLError is one too
            raise OriginError(Reason.CONNECT_FAILED, _what(error)) from error

    def refresh(self) -> None:
        """Have the name resolved again if that is due."""
        self._names.refresh()

    def leads_there(self, connection: OriginConnection) -> bool:
        """Does it lead to an address that the upstream still has?"""
        return connection.address is None or self._names.serves(connection.address)

    async def close(self) -> None:
        await self._names.close()

    async def _connect(self, addresses: list[Any], seconds: float) -> OriginConnection:
        """The first address that answers, each having its share of the time."""
        share = seconds / min(len(addresses), ADDRESSES_IN_TIME)
        order = list(addresses)  # others may connect, and put a failed address last, meanwhile
        for entry in order[:-1]:
            try:
                async with asyncio.timeout(share):
                    return await self.connect_to(entry)
            except (OSError, TimeoutError):
                self._names.failed(entry)
        return await self.connect_to(order[-1])

    async def connect_to(self, entry: Any) -> OriginConnection:
        """Whatever happens, cancellation included, no socket is left open."""
        family, kind, protocol, _, sockaddr = entry
        loop = asyncio.get_running_loop()
        connection = OriginConnection(self._settings)
        connection.address = sockaddr
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            self._settings.sockets.apply(sock)
            await loop.sock_connect(sock, sockaddr)
            if sock.getsockname() == sock.getpeername():
                # Nobody listens there, and the kernel has chosen that very port for our end: it is joined to itself.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
            self._settings.sockets.insist(sock)
            self._path.connected(round_trip(sock))
            host = (self._settings.sni or self._address.host) if self._tls else None
            await aiofastnet.create_connection(loop, lambda: connection, sock=sock, ssl=self._tls, server_hostname=host)
        except BaseException:
            connection.close()
            sock.close()
            raise
        return connection


def _what(error: OSError) -> str:
    """What has failed, and not where: players are told of it, who need not know where an origin is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message.partition(',')[0]}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)


def tls_context(settings: OriginSettings) -> ssl.SSLContext:
    """A context for an https upstream."""
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert:
        context.load_cert_chain(settings.client_cert, settings.client_key)
    return context
