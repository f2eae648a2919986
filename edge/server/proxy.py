"""The PROXY protocol, versions 1 and 2: what a proxy before us says of whose connection it hands on.

It is the first thing on a connection, before TLS and HTTP, and it is believed of proxies that are configured only: of
these it must come, since a receiver that guesses can be told anything by a client behind them.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.server.handshake import readable
from edge.server.hello import MoreNeeded

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2: no protocol begins so
V1_START: Final = b"PROXY "
V1_MOST: Final = 107  # bytes, its line's end included
V2_FIXED: Final = 16
V2_MOST: Final = V2_FIXED + 4096  # addresses, and what proxies add of themselves
_PORT: Final = rb"(0|[1-9]\d{0,4})"
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) " + _PORT + b" " + _PORT + rb")\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21  # version and command
_TCP4, _TCP6 = 0x11, 0x21  # family and transport
_SIZES: Final = {_TCP4: (4, 12), _TCP6: (16, 36)}  # bytes of an address, and of all that the family has


class NoProxyHeader(OSError):
    """What a proxy sent does not begin as it must."""


@dataclass(frozen=True, slots=True)
class Said:
    """`client` None: the connection is the proxy's own (a health check), or of an unknown kind. `length` in bytes."""

    client: str | None
    length: int


def header_of(data: bytes) -> Said:
    """The header at the beginning of what has come. MoreNeeded; NoProxyHeader: there is none."""
    if not data:
        raise MoreNeeded(1)
    if data.startswith(SIGNATURE[: len(data)]):
        return _version_2(data)
    if data.startswith(V1_START[: len(data)]):
        return _version_1(data)
    raise NoProxyHeader("no PROXY header")


def _version_1(data: bytes) -> Said:
    end = data.find(b"\n", 0, V1_MOST)
    if end < 0:
        if len(data) >= V1_MOST:
            raise NoProxyHeader("a PROXY line without an end")
        raise MoreNeeded(len(data) + 1)
    found = _V1.fullmatch(data[: end + 1])
    if found is None:
        raise NoProxyHeader("a malformed PROXY line")
    family, source, destination, *ports = found.groups()
    if family is None:
        return Said(None, end + 1)
    version = 4 if family == b"TCP4" else 6
    try:
        client, server = (ipaddress.ip_address(text.decode()) for text in (source, destination))
    except ValueError:
        raise NoProxyHeader("a PROXY line without addresses") from None
    if client.version != version or server.version != version or max(map(int, ports)) > 65535:
        raise NoProxyHeader("a PROXY line whose addresses do not fit")
    return Said(_written(client), end + 1)


def _version_2(data: bytes) -> Said:
    if len(data) < V2_FIXED:
        raise MoreNeeded(V2_FIXED)
    command, family, size = data[12], data[13], int.from_bytes(data[14:16])
    if command not in (_LOCAL, _PROXY):
        raise NoProxyHeader("a PROXY header of another version")
    if V2_FIXED + size > V2_MOST:
        raise NoProxyHeader("a PROXY header that is too long")
    address, needed = _SIZES.get(family, (0, 0))
    if command == _PROXY and size < needed:
        raise NoProxyHeader("a PROXY header without its addresses")
    if len(data) < V2_FIXED + size:
        raise MoreNeeded(V2_FIXED + size)
    if command == _LOCAL or not address:
        return Said(None, V2_FIXED + size)
    return Said(_written(ipaddress.ip_address(data[V2_FIXED : V2_FIXED + address])), V2_FIXED + size)


def _written(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the kernel's addresses are written here: IPv4 is IPv4, however it came."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def trusted(peer: str, proxies: Sequence[Network]) -> bool:
    """Is this the address of a proxy whose word counts?"""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in proxies)


async def client_of(loop: asyncio.AbstractEventLoop, sock: socket.socket, peer: str, seconds: float) -> str:
    """Take the header off a proxy's connection; whose it is. NoProxyHeader, TimeoutError."""
    sock.setblocking(False)
    seen = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                await readable(loop, sock)
                data = sock.recv(V2_MOST, socket.MSG_PEEK)
                try:
                    said = header_of(data)
                    break
                except MoreNeeded as more:
                    if len(data) <= seen:
                        raise NoProxyHeader("the proxy has left") from None
                    seen = len(data)
                    # What was peeked at stays readable: without this the loop would spin until the rest is there.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, more.total)
            sock.recv(said.length)
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return said.client or peer
