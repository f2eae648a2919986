"""The limits of the players' side; every one bounds what a stranger can make this process hold or do."""

from dataclasses import dataclass
from pathlib import Path

from edge.server.proxy import Network
from edge.words import KIB, MIB, SECONDS


@dataclass(frozen=True, slots=True)
class TlsCert:
    """A certificate chain and its key (PEM files), and the names it is for (`*.` stands for one label).

    A single certificate needs no names; the first of several also serves names that none has.
    """

    cert: Path
    key: Path
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Sizes in bytes, times in seconds."""

    max_line: int = 8 * KIB  # request line, and each field line
    max_head: int = 16 * KIB
    max_fields: int = 100
    max_body: int = 0  # of a request; 0: those with one are refused, since players send none
    body_timeout: float = 30 * SECONDS  # without a byte of a request's body that somebody waits for
    max_requests: int = 10_000  # per connection: an old connection does not stay with one worker for ever
    pipeline_limit: int = 16  # requests that wait parsed; then reading pauses
    max_connections: int = 50_000  # per listener and worker; then accepting pauses
    head_timeout: float = 10 * SECONDS  # from a head's first byte to its last, however it dribbles
    idle_timeout: float = 75 * SECONDS  # players pause up to 10 s between segments
    handshake_timeout: float = 10 * SECONDS
    linger_timeout: float = 5 * SECONDS  # after the last answer, so that the client can read it before a reset
    min_drain_rate: int = 4 * KIB  # bytes per second that a reader takes while data waits for it ...
    drain_grace: float = 30 * SECONDS  # ... measured over spans of this length
    window_plain: int = MIB  # handed to the kernel at once, so that one fast connection never holds the loop
    window_tls: int = 256 * KIB
    tls: tuple[TlsCert, ...] = ()
    proxies: tuple[Network, ...] = ()  # from these a PROXY header is expected, and believed
