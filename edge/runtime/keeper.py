"""The keeper process of one volume, wired: store, origin client, desk. Read it top to bottom."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from edge.clock import Clock, SystemClock
from edge.config.schema import Settings
from edge.control.owed import AWAY_SECONDS, from_json
from edge.fill.desk import Desk
from edge.observe.meters import FillMeters, Meters, UpstreamMeters, measure_lag
from edge.observe.slots import SlotWriter
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member, Selection
from edge.origin.resolve import best_resolver
from edge.runtime import convert
from edge.runtime.child import ChildHandle
from edge.runtime.gauges import KeeperGauges
from edge.runtime.heap import trim_now_and_then
from edge.store.bus import Bus
from edge.store.doubts import KEEPER
from edge.store.hits import Shared
from edge.store.purgelog import EVERYTHING_STALE
from edge.store.scrub import Scrubber
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from edge.tasks import Tasks

WARM_SECONDS = 0.5


async def run_keeper(child: ChildHandle) -> None:
    """Keep the volume until told to stop."""
    charter, settings = child.charter, child.charter.settings
    clock = SystemClock()
    slots = SlotWriter(charter.slot_fd)
    meters = Meters(slots)
    volume = await _open_volume(child, clock)
    store = StoreThread(volume)
    store.start()

    def upstream(settings: Settings) -> Group:
        members, keys = [], convert.signing_keys(settings)
        for said in convert.members(settings):
            client = OriginClient(
                said.origin, clock, signer=convert.signer(said, keys, clock), resolver=best_resolver()
            )
            client.observe(UpstreamMeters(meters, slots, said.origin.name, client.member))
            members.append(Member(client, said.weight, said.role))
        selection = Selection(settings.origin.selection)
        return Group(members, selection, own=convert.own(settings), fallback=settings.origin.fallback)

    told = _who(settings)
    group = upstream(settings)
    sites = {rules.name: rules for rules in convert.site_rules(settings)}
    desk = Desk(convert.fill_settings(settings), store, group, sites, clock, FillMeters(meters))
    store.on_trust = lambda _: desk.greet_all()
    link = socket.socket(fileno=charter.link_fd)
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(link.fileno(), _accept, link, desk)

    scrubber = Scrubber(
        volume.inspector(),
        volume.index,
        lambda: list(volume.packs.all),
        convert.scrub_settings(settings),
        clock,
        lambda bad: store.post(volume.found_bad, bad),
        lambda pack: store.post(volume.note_scrubbed, pack),
        volume.index.meta(b"scrubbed"),
    )

    def adopt(new: Settings) -> None:
        nonlocal group, told
        scrubber.adopt(convert.scrub_settings(new))
        sites = {rules.name: rules for rules in convert.site_rules(new)}
        if _who(new) == told:
            desk.adopt(convert.fill_settings(new), sites)
            return
        told = _who(new)
        before, group = group, upstream(new)
        desk.adopt(convert.fill_settings(new), sites, group)
        before.retire()

    child.on_new_settings(adopt)
    tasks = Tasks("keeper")
    tasks.spawn(measure_lag(slots, "keeper", clock), "lag")
    tasks.spawn(trim_now_and_then(), "trim")
    tasks.spawn(_keep_warm(lambda: group), "warm")
    gauges = KeeperGauges(meters, store, scrubber, desk, lambda: group, settings.volume_label(charter.number))
    scrubber.start()
    tasks.spawn(gauges.run(), "gauges")
    stats = volume.stats()
    state = "index lost, rebuilding behind" if volume.index_lost else f"{stats.objects} objects"
    child.say(
        f"cache {volume.directory}: {stats.size_bytes / 1e9:.2f} of {stats.max_bytes / 1e9:.2f} GB in "
        f"{stats.packs} packs, {state}"
    )
    child.ready()
    await child.stop_requested.wait()
    loop.remove_reader(link.fileno())
    await tasks.close()
    await desk.close()
    await group.close()
    await loop.run_in_executor(None, scrubber.close)
    await store.close(clean=True)


def _who(settings: Settings) -> tuple[object, ...]:
    """All that a group is made of."""
    origin = settings.origin
    return convert.members(settings), origin.selection, origin.fallback, origin.keys_file, convert.own(settings)


async def _open_volume(child: ChildHandle, clock: Clock) -> Volume:
    settings, number = child.charter.settings, child.charter.number
    shared = Shared.of(child.charter.hits_fd, KEEPER - number)
    directory = Path(settings.volumes[number].path)
    volume_settings = convert.volume_settings(settings, number)
    loop = asyncio.get_running_loop()
    owed = [from_json(said) for said in child.charter.owed]

    bus = Bus()
    bus.install()

    def open_volume() -> Volume:
        volume = Volume.open(
            directory,
            volume_settings,
            clock=clock,
            shared=shared,
            bus=bus,
            end=child.end_at_once,
            distrust=child.charter.distrust,
        )
        if child.charter.gone_since and clock.monotonic() - child.charter.gone_since >= AWAY_SECONDS:
            owed.append(EVERYTHING_STALE)  # its objects have lived elsewhere meanwhile, perhaps in later versions
        if owed:  # seen by nobody from the start; the supervisor has them done, and strikes them out
            volume.purges.hide(owed)
        return volume

    return await loop.run_in_executor(None, open_volume)


def _accept(link: socket.socket, desk: Desk) -> None:
    try:
        sock, _ = link.accept()
    except OSError:
        return
    desk.attach(sock)


async def _keep_warm(current: Callable[[], Group]) -> None:
    while True:
        current().tend()
        await asyncio.sleep(WARM_SECONDS)
