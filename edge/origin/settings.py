"""How an upstream is spoken to, and what it is asked."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, Self
from urllib.parse import urlsplit

from edge.access.passes import NOBODY, Context
from edge.errors import ConfigError
from edge.sockets import AS_IT_IS, SocketOptions
from edge.words import ORIGIN

IDENTITY_MOST: Final = 64  # bytes, see `rendezvous.score`


@dataclass(frozen=True, slots=True)
class OriginSettings:
    """One upstream; times in seconds (CONVENTIONS section 1 gives the reasons)."""

    url: str
    name: str = ORIGIN  # of the upstream that it belongs to
    host_header: str | None = None
    connect_timeout: float = 3.0
    first_byte_timeout: float = 8.0
    total_first_byte: float = 9.5
    stall_timeout: float = 5.0
    retries: int = 2
    retry_jitter: tuple[float, float] = (0.1, 0.4)
    max_connections: int = 384  # eight players with 32 each at 1 % loss, and a quarter for first requests
    queue_limit: int = 1024
    queue_timeout: float = 2.0
    keepalive: float = 75.0
    warm: int = 32  # connections kept open ahead to a far upstream that is in use
    hedge: bool = True  # a late first byte may be asked for a second time
    far: float = 0.02  # a round trip from which on a body is brought over several connections
    sockets: SocketOptions = AS_IT_IS
    max_head_bytes: int = 64 * 1024
    max_fields: int = 256
    ca_file: str | None = None
    verify: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    sni: str | None = None
    probe: str | None = None  # a path, after the base path of the URL
    probe_interval: float = 5.0


FieldList = tuple[tuple[bytes, bytes], ...]


class Urgency(IntEnum):
    """Who comes first when all connections are in use; the least number."""

    LIST = 0  # a player's playlist or manifest
    LIVE = 1  # at the live edge: a part, a segment that a live playlist lists
    START = 2  # what a start waits for: initialisation, keys, the beginning of a film
    SEGMENT = 3
    RENEWAL = 4  # nobody waits for it
    AHEAD = 5  # nobody has asked for it yet


class RequestBody(Protocol):
    """What a request carries: its length (-1: not known, so it goes in chunks) and its bytes, iterated once."""

    length: int

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """`target` is path and query; the upstream's base path is put before it. Fields without Host and Connection.

    `retry` False: it is sent once, whatever becomes of it, and not on a connection that may be closing.
    """

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()
    retry: bool = True
    body: RequestBody | None = None
    urgency: Urgency = Urgency.SEGMENT
    hedge: bool = False  # it may be sent a second time when its first byte is late
    context: Context = NOBODY  # for shields and siblings only
    counts: bool = True  # what becomes of it says how the member serves; who checks a member judges that himself


class Signer(Protocol):
    """What a request to one member carries beside its own fields, to be let in."""

    async def sign(self, request: UpstreamRequest, target: bytes, host: bytes) -> FieldList:
        """Fields for one sending of this request. `target` and `host` as they are sent; OriginError."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an upstream URL leads."""

    host: str
    port: int
    secure: bool
    base_path: bytes
    authority: bytes

    @property
    def identity(self) -> bytes:
        """What it is called when objects are shared out: the same on every edge and after every restart."""
        whole = self.authority + self.base_path  # two buckets at one endpoint are two members
        return whole if len(whole) <= IDENTITY_MOST else hashlib.blake2b(whole).digest()

    @property
    def member(self) -> str:
        """What metrics and logs call it."""
        return f"{self.host}:{self.port}{self.base_path.decode()}"

    @classmethod
    def of(cls, url: str) -> Self:
        """ConfigError for what is not an http(s) URL with a host."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError("origin.url", url, f"not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("origin.url", url, "must look like http://host[:port][/base/path] or https://...")
        if parts.query or parts.fragment or parts.username:
            raise ConfigError("origin.url", url, "must have no query, fragment or user name")
        secure = parts.scheme == "https"
        standard = 443 if secure else 80
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = host if port in (None, standard) else f"{host}:{port}"
        return cls(parts.hostname, port or standard, secure, parts.path.rstrip("/").encode(), authority.encode())
