"""A worker process, wired: listeners, delivery, readers and links. Read it top to bottom."""

import asyncio
import contextlib
import socket

from edge.clock import SystemClock
from edge.delivery.answer import Wording, error
from edge.delivery.places import Places
from edge.delivery.story import Delivery
from edge.observe.access_log import AccessLog
from edge.observe.experience import ExperienceMeters
from edge.observe.lines import LineWriter, LogFormat
from edge.observe.meters import Meters, measure_lag
from edge.observe.privacy import Anonymise
from edge.observe.slots import SlotWriter
from edge.observe.tiers import Tiers
from edge.runtime import convert
from edge.runtime.child import ChildHandle
from edge.runtime.doors import Doors
from edge.runtime.gauges import WorkerGauges
from edge.runtime.heap import share_one_arena, trim_now_and_then
from edge.runtime.sampling import path_of, sample
from edge.runtime.spanning import Spanning
from edge.runtime.telling import Teller
from edge.runtime.volumes import Volumes
from edge.server.listener import Listener
from edge.server.tls import tls_send_path
from edge.store.hits import Shared
from edge.tasks import Tasks

RETIRED_LOOK = 0.1


async def run_worker(child: ChildHandle) -> None:
    """Serve players until told to stop."""
    share_one_arena()
    charter, settings = child.charter, child.charter.settings
    clock = SystemClock()
    slots = SlotWriter(charter.slot_fd)
    meters = Meters(slots)
    rules = convert.site_rules(settings)
    wording = Wording(settings.server.node)
    shared = Shared.of(charter.hits_fd, charter.number)
    tasks = Tasks("worker")

    volumes = Volumes(settings, charter.links, clock, shared, tasks)
    await volumes.greeted()
    log = _access_log(child, meters)
    spans = Spanning.of(settings, clock)
    teller = Teller(meters, ExperienceMeters(meters), log, clock, Tiers(convert.tiers(settings)), spans)
    homes = volumes.homes()
    places = Places(rules, homes)
    delivery = Delivery(
        places,
        volumes.serving,
        clock,
        convert.delivery_settings(settings, homes[min(homes)].secret),
        teller.on_closed,
        lambda: volumes.settle(places),
    )

    def refusal(status: int, detail: str) -> bytes:
        teller.refused(rules[0].name, status)
        head, body = error(status, detail, rules[0], clock.wall(), wording)
        return head + b"\r\n" + body

    server = convert.server_settings(settings)
    doors = Doors(settings, delivery, meters, clock, charter.runtime_dir)
    listeners = [
        Listener(
            socket.socket(fileno=fd),
            door.handler,
            server,
            ssl_context=door.tls if secure else None,
            clock=clock,
            observer=teller,
            error_response=refusal,
            options=options,
        )
        for (fd, secure), door, options in zip(
            charter.listeners, doors.each(), convert.listener_options(settings), strict=True
        )
    ]
    for listener in listeners:
        listener.start()
    tasks.spawn(measure_lag(slots, "worker", clock), "lag")
    tasks.spawn(trim_now_and_then(), "trim")
    gauges = WorkerGauges(meters, listeners, volumes)
    tasks.spawn(gauges.run(), "gauges")
    tasks.spawn(volumes.watch(places), "volumes")
    tasks.spawn(sample(lambda: teller.last, path_of(charter.runtime_dir, charter.number)), "sample")
    if server.tls:
        meters.gauge("edge_tls_send_path", tls_send_path(), to=1)
    child.on_reopen_logs(log.reopen if log is not None else None)
    child.ready()
    await child.ended()
    if child.retire_requested.is_set():
        await _retire(child, listeners, settings.server.retire_timeout)
    await asyncio.gather(*(listener.drain(settings.server.drain_timeout) for listener in listeners))
    await tasks.close()
    gauges.zero()
    volumes.close()
    if log is not None:
        log.close()
    if spans is not None:
        await spans.close()


async def _retire(child: ChildHandle, listeners: list[Listener], seconds: float) -> None:
    """Others have taken over: go when the last connection has, when told to stop, or when the time is over."""
    for listener in listeners:
        listener.retire()
    child.adopted()
    deadline = asyncio.get_running_loop().time() + seconds
    while any(listener.connections for listener in listeners) and asyncio.get_running_loop().time() < deadline:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETIRED_LOOK):
                await child.stop_requested.wait()
            return


def _access_log(child: ChildHandle, meters: Meters) -> AccessLog | None:
    charter = child.charter
    said = charter.settings.log
    if said.access == "off":
        return None
    writer = LineWriter(
        Anonymise(said.anonymise),
        bytes.fromhex(charter.log_secret),
        convert.secret_names(charter.settings),
        form=LogFormat(said.format),
        node=charter.settings.server.node,
    )
    return AccessLog(said.access, writer, lambda count: meters.count("edge_log_dropped_total", by=count))
