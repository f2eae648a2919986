"""The configuration against the machine: workers, ports, certificates, the ways to the upstream's members."""

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
from edge.runtime import convert
from edge.runtime.checks import wrong_files
from edge.runtime.convert import SaidMember
from edge.runtime.doctor.findings import Finding, State, judged
from edge.runtime.doctor.machine import Machine
from edge.runtime.report import groups_unasked, refused_controls
from edge.words import DAYS

EXPIRY_NOTED: Final = 14 * DAYS
CONNECTS: Final = 3  # of which the fastest counts
WINDOW_RATE: Final = 125_000_000  # bytes a second that one far body should be able to come at


def look_at_fit(machine: Machine, settings: Settings, *, origin: bool = True) -> Iterator[Finding]:
    """`origin`: connect to the members of the upstream, too."""
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
    for group in groups_unasked(settings):
        mend = f'upstream = "{group}" in a [[site]], or leave its [[upstream]] out'
        yield Finding("configuration", f"group {group}", State.NOTE, "no site goes to it", mend)
    for tls in settings.tls:
        yield from _expiry(Path(tls.cert))
    named = (
        ("origin", settings.origin.congestion_control),
        *(("upstream", one.congestion_control) for one in settings.upstream),
    )
    for section, wanted in dict.fromkeys(named):
        yield from _congestion_control(machine, section, wanted)
    if origin:
        members = convert.members(settings)
        ways = [_way(said) for said in members]
        yield from (finding for finding, _ in ways)
        yield from _window(
            machine, [trip for said, (_, trip) in zip(members, ways, strict=True) if trip >= said.origin.far]
        )


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


def _congestion_control(machine: Machine, section: str, wanted: str | None) -> Iterator[Finding]:
    """Connections to upstreams ask for one of their own; where the kernel has it not, they go on with the usual one."""
    there = machine.sysctl("net.ipv4.tcp_available_congestion_control")
    if wanted and there is not None:
        mend = f"modprobe tcp_{wanted}, or congestion_control in [{section}] as one of: {there}"
        good = wanted in there.split()
        found = "the kernel has it" if good else "the kernel does not have it"
        yield judged("configuration", f"{section}.congestion_control {wanted}", found, good=good, mend=mend)


def _way(said: SaidMember) -> tuple[Finding, float]:
    """Connect to a member of the upstream: what came of it, and its round trip (0: none)."""
    what, url = f"{said.role.value} {said.origin.url}", said.origin.url
    try:
        address = Address.of(url)
        trips = [_round_trip(address.host, address.port, said.origin.connect_timeout) for _ in range(CONNECTS)]
    except (OSError, ConfigError) as error:
        mend = "its url, its name's address, a firewall: nothing can be fetched from it"
        return Finding("configuration", what, State.WRONG, f"no connection: {error}", mend), 0.0
    return Finding("configuration", what, State.GOOD, f"connects in {min(trips) * 1000:.1f} ms"), min(trips)


def _window(machine: Machine, trips: list[float]) -> Iterator[Finding]:
    """Of one connection over the longest of the far ways."""
    window = int(max(trips, default=0.0) * WINDOW_RATE)
    said = (machine.sysctl("net.ipv4.tcp_rmem") or "").split()
    if said and int(said[-1]) < window:
        mend = f"sysctl -w net.ipv4.tcp_rmem='{said[0]} {said[1]} {window}': one connection's window over that way"
        yield Finding("configuration", "window from afar", State.NOTE, f"{int(said[-1]):,} bytes", mend)


def _round_trip(host: str, port: int, timeout: float) -> float:
    begun = time.monotonic()
    with socket.create_connection((host, port), timeout):
        return time.monotonic() - begun
