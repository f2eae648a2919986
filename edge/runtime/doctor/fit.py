"""The configuration against the machine: workers, ports, certificates, the way to the origin."""

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge.config.schema import Settings
from edge.config.units import parse_listen
from edge.errors import ConfigError
from edge.origin.settings import Address
from edge.runtime.checks import wrong_files
from edge.runtime.doctor.findings import Finding, State, judged
from edge.runtime.doctor.machine import Machine
from edge.runtime.report import refused_controls
from edge.words import DAYS

EXPIRY_NOTED: Final = 14 * DAYS
CONNECTS: Final = 3  # of which the fastest counts
WINDOW_RATE: Final = 125_000_000  # bytes a second that one far body should be able to come at


def look_at_fit(machine: Machine, settings: Settings, *, origin: bool = True) -> Iterator[Finding]:
    """`origin`: connect to the origin, too."""
    yield judged(
        "configuration",
        "workers",
        f"{settings.worker_count} on {machine.cores} cores",
        good=settings.worker_count <= machine.cores,
        mend=f"workers = {machine.cores} in [server], or leave it out: more of them only take turns",
    )
    for field, listen, _ in settings.listeners:
        yield _port(field, listen)
    yield _port("admin.listen", settings.admin.listen)
    for wrong in wrong_files(settings):
        yield Finding("configuration", wrong.field, State.WRONG, str(wrong.value), wrong.hint)
    for field, name, why in refused_controls(settings):
        yield Finding("configuration", field, State.NOTE, f"{name} is left out", why)
    for tls in settings.tls:
        yield from _expiry(Path(tls.cert))
    if origin and settings.origin.url:
        yield from _origin(machine, settings)


def _port(field: str, listen: str) -> Finding:
    """Could it be bound? A port that is taken may be this very server's."""
    host, port = parse_listen(listen)
    what = f"{field} {listen}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except PermissionError:
        mend = "AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or a port from 1024 on"
        return Finding("configuration", what, State.WRONG, "not allowed", mend)
    except OSError as error:
        mend = "if an edge runs here already, all is well; else `ss -ltnp` names who has it"
        return Finding("configuration", what, State.NOTE, str(error.strerror), mend)
    return Finding("configuration", what, State.GOOD, "free")


def _expiry(cert: Path) -> Iterator[Finding]:
    """The leaf's end, asked of a handshake's own parser."""
    try:
        until = ssl.cert_time_to_seconds(_not_after(cert))
    except (OSError, ValueError, KeyError):
        return  # that it cannot be used was said above
    days = (until - time.time()) / DAYS
    yield judged(
        "configuration",
        f"certificate {cert}",
        f"good for {days:.0f} days" if days > 0 else f"ended {-days:.0f} days ago",
        good=until - time.time() > EXPIRY_NOTED,
        mend="renew it, then `edge reload`",
        else_=State.NOTE if days > 0 else State.WRONG,
    )


def _not_after(cert: Path) -> str:
    """A self-connection would need a name; Python's own test helper reads the file as OpenSSL does."""
    decode = getattr(ssl, "_ssl")._test_decode_cert  # noqa: B009 (private, and the only reader without a dependency)
    return str(decode(str(cert))["notAfter"])


def _origin(machine: Machine, settings: Settings) -> Iterator[Finding]:
    what = f"origin {settings.origin.url}"
    try:
        address = Address.of(settings.origin.url)
        trips = [_round_trip(address.host, address.port, settings.origin.connect_timeout) for _ in range(CONNECTS)]
    except (OSError, ConfigError) as error:
        mend = "url in [origin], its name's address, a firewall: nothing can be fetched"
        yield Finding("configuration", what, State.WRONG, f"no connection: {error}", mend)
        return
    trip = min(trips)
    yield Finding("configuration", what, State.GOOD, f"connects in {trip * 1000:.1f} ms")
    window = int(trip * WINDOW_RATE)
    said = (machine.sysctl("net.ipv4.tcp_rmem") or "").split()
    if trip >= settings.origin.far and said and int(said[-1]) < window:
        mend = f"sysctl -w net.ipv4.tcp_rmem='{said[0]} {said[1]} {window}': one connection's window over that way"
        yield Finding("configuration", "window from the origin", State.NOTE, f"{int(said[-1]):,} bytes", mend)


def _round_trip(host: str, port: int, timeout: float) -> float:
    begun = time.monotonic()
    with socket.create_connection((host, port), timeout):
        return time.monotonic() - begun
