"""What a start-up says: one line a fact, each flushed, so that a log or a terminal has it at once."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from edge.config.schema import Settings
from edge.config.units import write_duration
from edge.errors import ConfigError
from edge.observe.events import LIFE
from edge.observe.meters import Meters
from edge.runtime.child import loop_factory
from edge.runtime.listeners import spoken
from edge.server.expiry import ends_at
from edge.server.tls import tls_send_path
from edge.sockets import SocketOptions
from edge.store.residency import Residency
from edge.words import ORIGIN

_life = logging.getLogger(LIFE)
EXPIRY: Final = "edge_tls_certificate_expiry_timestamp_seconds"
CAPACITY: Final = "edge_link_capacity_bytes_per_second"
FEW_DESCRIPTORS: Final = 8192  # below it a crowd of players runs into the limit before the machine is busy


def say(line: str) -> None:
    """One line of the server's life, for its operator."""
    _life.info("%s", line)


def say_facts(
    settings: Settings,
    players: tuple[tuple[socket.socket, bool], ...],
    admin: socket.socket,
    descriptors: int | None,
    missing: tuple[ConfigError, ...],
) -> None:
    """What a start begins with; `missing` = what is wrong with volumes that are left out."""
    for line in facts(settings, players, admin, descriptors):
        say(line)
    for wrong in missing:
        say(f"a volume is left out: {wrong}")


def tell_settings(meters: Meters, settings: Settings) -> None:
    """Metrics of the configuration that holds from now on."""
    meters.gauge("edge_config_last_reload_success", to=1)
    meters.gauge("edge_config_last_reload_success_timestamp_seconds", to=time.time())
    capacity = settings.server.link_capacity
    meters.only(CAPACITY, [()] if capacity else [])
    if capacity:
        meters.gauge(CAPACITY, to=capacity)
    meters.only(EXPIRY, [(str(number),) for number in range(len(settings.tls))])
    for number, tls in enumerate(settings.tls):
        try:
            meters.gauge(EXPIRY, str(number), to=ends_at(Path(tls.cert)))
        except (OSError, ValueError) as error:
            _life.warning("when %s ends cannot be told: %s", tls.cert, error)


def facts(
    settings: Settings,
    players: tuple[tuple[socket.socket, bool], ...],
    admin: socket.socket,
    descriptors: int | None,
) -> Iterator[str]:
    """What is known before any child has started."""
    for sock, tls in players:
        yield f"listening for players on {'https' if tls else 'http'}://{spoken(sock)}"
    yield f"admin (metrics, health) on http://{spoken(admin)}"
    count = settings.worker_count
    keepers = len(settings.volumes)
    yield (
        f"{count} worker{'s' if count != 1 else ''}, {keepers} keeper{'s' if keepers != 1 else ''}, "
        f"event loop: {loop_factory()[1]}"
    )
    yield from _send_paths(players)
    if not Residency().works:
        yield "every body is read before it is sent: no cachestat(2) here (Linux 6.5; filters may forbid it)"
    for field, name, why in refused_controls(settings):
        yield f"{field} = {name} is left out: {why}"
    for upstream in settings.upstreams:
        host = f", asked for as {upstream.host}" if upstream.host else ""
        group = "" if upstream.group == ORIGIN else f" of {upstream.group}"
        yield f"misses{group} are fetched from {upstream.url}{host}"
    for unasked in groups_unasked(settings):
        yield f"no site goes to upstream {unasked}: upstream = {unasked!r} in a [[site]] would have it asked"
    if settings.log.access != "off":
        yield f"access log: {settings.log.access}, addresses: {settings.log.anonymise}"
    if descriptors is not None and descriptors < FEW_DESCRIPTORS:
        yield f"only {descriptors} open files are allowed here (ulimit -n): that bounds the players' connections"
    yield from _room(settings)


def groups_unasked(settings: Settings) -> tuple[str, ...]:
    """Upstreams that have members, and that no site goes to."""
    return tuple(name for name in settings.groups if name not in settings.groups_asked)


def refused_controls(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Congestion controls that this machine does not have or allow: field, value, what mends it."""
    said = [("server", settings.server.congestion_control), ("origin", settings.origin.congestion_control)]
    said += [("listener", one.congestion_control) for one in settings.listener]
    said += [("upstream", one.congestion_control) for one in settings.upstream]
    for section, name in dict.fromkeys(said):
        why = SocketOptions(name).refusal()
        if why is not None:
            yield f"{section}.congestion_control", name or "", why


def _send_paths(players: tuple[tuple[socket.socket, bool], ...]) -> Iterator[str]:
    engine = f"aiofastnet {version('aiofastnet')}"
    if any(not tls for _, tls in players):
        yield f"bodies leave by sendfile ({engine})"
    if any(tls for _, tls in players):
        if tls_send_path() == "ktls":
            yield f"encrypted bodies leave by sendfile, encrypted by the kernel ({engine})"
        else:
            yield f"encrypted bodies leave from memory maps: no kernel TLS with this Python and kernel ({engine})"


def _room(settings: Settings) -> Iterator[str]:
    """A volume that its file system cannot hold stops growing earlier: say so now."""
    min_free = settings.cache.min_free
    for volume in settings.volumes:
        try:
            about = os.statvfs(Path(volume.path))
        except OSError:
            continue  # it is left out, and that is said
        most = int(about.f_blocks * about.f_frsize * (1 - min_free))
        if volume.size > most:
            name = volume.path if settings.volume else "the cache"
            yield (
                f"{name} may take {volume.size / 1e9:.1f} GB, but its file system has room for "
                f"{most / 1e9:.1f} GB (min_free {min_free:.0%} is left free)"
            )


def draining(settings: Settings) -> str:
    return f"draining: answers under way have {write_duration(settings.server.drain_timeout)}"
