"""The keeper process of one volume, wired: store, origin client, desk. Read it top to bottom."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from edge.access.keys import stamp
from edge.clock import Clock, SystemClock
from edge.config.schema import Settings
from edge.control.owed import from_json
from edge.fill.desk import Desk
from edge.fill.shop import Upstream
from edge.observe.meters import FillMeters, Meters, UpstreamMeters, measure_lag
from edge.observe.slots import SlotWriter
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member, Selection
from edge.origin.resolve import best_resolver
from edge.runtime import convert
from edge.runtime.child import ChildHandle
from edge.runtime.endless import ENDLESS_SECONDS, endless
from edge.runtime.gauges import KeeperGauges
from edge.runtime.heap import keep_bodies_apart, trim_now_and_then
from edge.store.bus import Bus
from edge.store.doubts import KEEPER
from edge.store.hits import Shared
from edge.store.scrub import Scrubber
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from edge.tasks import Tasks

WARM_SECONDS = 0.5


async def run_keeper(child: ChildHandle) -> None:
    """Keep the volume until told to stop."""
    keep_bodies_apart()
    charter, settings = child.charter, child.charter.settings
    clock = SystemClock()
    slots = SlotWriter(charter.slot_fd)
    meters = Meters(slots)
    tasks = Tasks("keeper")
    volume = await _open_volume(child, clock, tasks)
    store = StoreThread(volume)
    store.start()

    def upstream(settings: Settings, name: str) -> Group:
        group = group_of(settings, name, clock)
        for member in group.members:
            member.client.observe(UpstreamMeters(meters, slots, name, member.client.member))
        return group

    def upstreams(settings: Settings) -> dict[str, Upstream]:
        return {name: Upstream(convert.fill_settings(settings, name), group) for name, group in groups.items()}

    told = who_is_asked(settings)
    groups = {name: upstream(settings, name) for name in told}
    sites = {rules.name: rules for rules in convert.site_rules(settings)}
    desk = Desk(convert.fill_settings(settings), store, upstreams(settings), sites, clock, FillMeters(meters))
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
        lambda bad: store.post(volume.mending.found_bad, bad),
        lambda pack: store.post(volume.mending.note_scrubbed, pack),
        volume.index.meta(b"scrubbed"),
        lambda pack: store.post(volume.mending.mend_journal, pack),
    )

    def adopt(new: Settings) -> None:
        nonlocal groups, told
        scrubber.adopt(convert.scrub_settings(new))
        sites = {rules.name: rules for rules in convert.site_rules(new)}
        before, now = groups, who_is_asked(new)
        groups = {name: before[name] if told.get(name) == who else upstream(new, name) for name, who in now.items()}
        told = now
        desk.adopt(convert.fill_settings(new), sites, upstreams(new))
        for name, group in before.items():
            if groups.get(name) is not group:
                group.retire()

    child.on_new_settings(adopt)
    tasks.spawn(measure_lag(slots, "keeper", clock), "lag")
    tasks.spawn(trim_now_and_then(), "trim")
    tasks.spawn(_keep_warm(lambda: groups.values()), "warm")
    tasks.spawn(_abort_if_endless(child, store.ident, lambda: store.doing), "endless")
    gauges = KeeperGauges(meters, store, scrubber, desk, lambda: groups.values(), settings.volume_label(charter.number))
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
    for group in groups.values():
        await group.close()
    await loop.run_in_executor(None, scrubber.close)
    await store.close(clean=True)


def group_of(settings: Settings, name: str, clock: Clock) -> Group:
    """The members of an upstream, each with connections of its own, none of which is opened yet."""
    members, keys, origin = [], convert.signing_keys(settings), settings.origin_of(name)
    for said in convert.members(settings, name):
        signer = convert.signer(said, keys, clock)
        client = OriginClient(said.origin, clock, signer=signer, resolver=best_resolver())
        members.append(Member(client, said.weight, said.role))
    own = convert.own(settings, name)
    return Group(members, Selection(origin.selection), own=own, fallback=origin.fallback)


def who_is_asked(settings: Settings) -> dict[str, tuple[object, ...]]:
    """All that each group is made of, with what its files have in them: a certificate is renewed in its place."""
    keys, found = settings.origin.keys_file, dict[str, tuple[object, ...]]()
    for name in settings.groups:
        members, origin, own = convert.members(settings, name), settings.origin_of(name), convert.own(settings, name)
        files = [(said.origin.ca_file, said.origin.client_cert, said.origin.client_key) for said in members]
        stamps = [stamp(Path(path)) for each in files for path in each if path]
        found[name] = members, origin.selection, origin.fallback, keys, own, tuple(stamps)
    return found


async def _open_volume(child: ChildHandle, clock: Clock, tasks: Tasks) -> Volume:
    settings, number = child.charter.settings, child.charter.number
    shared = Shared.of(child.charter.hits_fd, KEEPER - number, fades=child.charter.fades_hits)
    directory = Path(settings.volumes[number].path)
    volume_settings = convert.volume_settings(settings, number)
    loop = asyncio.get_running_loop()
    owed = [from_json(said) for said in child.charter.owed]

    bus = Bus()
    bus.install()

    def watch(thread: int) -> None:
        watching.append(tasks.spawn(_abort_if_endless(child, thread, lambda: 0), "start"))

    def open_volume() -> Volume:
        loop.call_soon_threadsafe(watch, threading.get_ident())
        volume = Volume.open(
            directory,
            volume_settings,
            clock=clock,
            shared=shared,
            bus=bus,
            end=child.end_at_once,
            distrust=child.charter.distrust,
        )
        volume.come_back(child.charter.left)
        if owed:  # seen by nobody from the start; the supervisor has them done, and strikes them out
            volume.purges.hide(owed)
        return volume

    watching: list[asyncio.Task[None]] = []
    try:
        return await loop.run_in_executor(None, open_volume)
    finally:
        for task in watching:
            task.cancel()


async def _abort_if_endless(child: ChildHandle, thread: int, doing: Callable[[], int]) -> None:
    """A successor that leaves the index alone is better than a volume that never comes back."""
    await endless(thread, doing)
    child.abort(f"the volume's thread has used {ENDLESS_SECONDS:g} s of a processor for one call")


def _accept(link: socket.socket, desk: Desk) -> None:
    try:
        sock, _ = link.accept()
    except OSError:
        return
    desk.attach(sock)


async def _keep_warm(current: Callable[[], Iterable[Group]]) -> None:
    while True:
        for group in current():
            group.tend()
        await asyncio.sleep(WARM_SECONDS)
