"""What a worker and a keeper say of themselves once a second: gauges, and counters that others keep for them."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from edge.errors import StoreError
from edge.fill.desk import Desk
from edge.observe.meters import Meters
from edge.origin.breaker import State
from edge.origin.group import Group
from edge.runtime.volumes import Volumes
from edge.server.listener import Listener
from edge.store.health import Trust
from edge.store.scrub import Scrubber
from edge.store.thread import StoreThread

SECONDS: Final = 1.0
FREE_SPACE_SECONDS: Final = 10.0  # it is asked of the disk
CONNECTIONS: Final = ("active", "idle", "waiting")
READER_CHECK_SECONDS: Final = 60.0

log = logging.getLogger("edge.runtime")


class WorkerGauges:
    """Of a worker's connections, its links to keepers, its disk reads."""

    def __init__(self, meters: Meters, listeners: Sequence[Listener], volumes: Volumes) -> None:
        self._meters = meters
        self._listeners = listeners
        self._volumes = volumes

    async def run(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(SECONDS)

    def sample(self) -> None:
        meters = self._meters
        open_now = sum(listener.connections for listener in self._listeners)
        active = sum(listener.active for listener in self._listeners)
        self._connections(active, open_now - active)
        reading = 0
        for label, asker, volume in self._volumes.links():
            meters.gauge("edge_keeper_link_up", label, to=asker.up)
            meters.gauge("edge_keeper_link_waiting", label, to=asker.waiting)
            if volume is not None:
                reading += volume.reader.reads_waiting
                for seconds in volume.reader.take_read_seconds():
                    meters.observe("edge_disk_operation_seconds", label, "read", value=seconds)
        meters.gauge("edge_executor_queue_depth", "disk", to=reading)
        meters.count("edge_cache_cold_reads_total", by=self._volumes.take_cold_reads())
        meters.count("edge_cache_cold_lookups_total", by=self._volumes.take_cold_lookups())

    def zero(self) -> None:
        """This worker ends: its numbers stay, and it has no connections any more."""
        self._connections(0, 0)
        for label, _, _ in self._volumes.links():
            self._meters.gauge("edge_keeper_link_up", label, to=0)
            self._meters.gauge("edge_keeper_link_waiting", label, to=0)
        self._meters.gauge("edge_executor_queue_depth", "disk", to=0)

    def _connections(self, active: int, idle: int) -> None:
        self._meters.gauge("edge_http_connections", "active", to=active)
        self._meters.gauge("edge_http_connections", "idle", to=idle)
        self._meters.gauge("edge_http_inflight_requests", to=active)


class KeeperGauges:
    """Of a keeper's volume, its store thread, its upstream's connections."""

    def __init__(
        self,
        meters: Meters,
        store: StoreThread,
        scrubber: Scrubber,
        desk: Desk,
        upstreams: Callable[[], Iterable[Group]],
        label: str,
    ) -> None:
        self._meters = meters
        self._store = store
        self._scrubber = scrubber
        self._desk = desk
        self._upstreams = upstreams
        self._label = label
        self._groups: list[Group] = []  # those that were told of last

    async def run(self) -> None:
        seconds = 0.0
        while True:
            try:
                self.sample()
            except StoreError as error:  # its table of readers is full, perhaps: what frees it is posted below
                log.warning("figures of %s are those of before: %s", self._label, error)
            if seconds % FREE_SPACE_SECONDS == 0.0:
                self._store.post(self._store.volume.room.measure)
            await asyncio.sleep(SECONDS)
            seconds += SECONDS
            if seconds >= READER_CHECK_SECONDS:
                seconds = 0.0
                self._store.post(self._store.volume.index.reader_check)

    def sample(self) -> None:
        meters, label = self._meters, self._label
        volume = self._store.volume
        stats = volume.stats()
        meters.gauge("edge_cache_size_bytes", label, to=stats.size_bytes)
        meters.gauge("edge_cache_max_size_bytes", label, to=stats.max_bytes)
        meters.gauge("edge_cache_day_written_bytes", label, to=volume.room.written_today)
        meters.gauge("edge_cache_day_writes_max_bytes", label, to=volume.settings.daily_writes)
        meters.gauge("edge_cache_objects", label, to=stats.objects)
        meters.gauge("edge_cache_index_load_progress_ratio", label, to=stats.rebuild_progress)
        meters.gauge("edge_cache_cold", label, to=stats.rebuilding)
        meters.gauge("edge_executor_queue_depth", "store", to=self._store.waiting)
        meters.gauge("edge_flights", to=len(self._desk.flights))
        self._sample_upstreams(list(self._upstreams()))
        self._desk.look()
        for operation, seconds in self._store.take_timed():
            meters.observe("edge_disk_operation_seconds", label, operation, value=seconds)
        for reason, count in volume.tallies.take_evictions().items():
            meters.count("edge_cache_evictions_total", label, reason, by=count)
        for damage, count in volume.tallies.take_damage().items():
            meters.count("edge_cache_corrupt_total", damage.value, by=count)
        for age in volume.tallies.take_ages():
            meters.observe("edge_cache_eviction_age_seconds", label, value=age)
        for (name, *labels), count in volume.tallies.take_counts(volume.packs).items():
            meters.count(name, label, *labels, by=count)
        if (space := volume.room.space) is not None:
            meters.gauge("edge_volume_free_bytes", label, to=space[0])
            meters.gauge("edge_volume_min_free_bytes", label, to=space[1])
        for trust in Trust:
            meters.gauge("edge_volume_state", label, trust.value, to=int(volume.health.trust is trust))
        meters.count("edge_scrub_read_bytes_total", label, by=self._scrubber.take_read_bytes())
        meters.count("edge_scrub_findings_total", label, by=self._scrubber.take_found())
        meters.gauge("edge_scrub_progress_ratio", label, to=self._scrubber.progress)
        meters.gauge("edge_scrub_passes", label, to=self._scrubber.passes)
        meters.count("edge_store_errors_total", label, by=self._store.take_errors())

    def _sample_upstreams(self, groups: list[Group]) -> None:
        meters = self._meters
        if groups != self._groups:  # other members: those that are no more must not be told of for ever
            self._groups, names = groups, [_name(group) for group in groups]
            shares = [(_name(group), member.client.member) for group in groups for member in group.members]
            meters.only("edge_upstream_share_ratio", shares)
            meters.only("edge_upstream_up", shares)
            meters.only("edge_circuit_breaker_state", [(*share, state.value) for share in shares for state in State])
            meters.only("edge_upstream_connections", [(name, state) for name in names for state in CONNECTIONS])
        for group in groups:
            self._sample_upstream(_name(group), group)

    def _sample_upstream(self, name: str, group: Group) -> None:
        counts = [member.client.pool.counts for member in group.members]
        for number, state in enumerate(CONNECTIONS):
            self._meters.gauge("edge_upstream_connections", name, state, to=sum(count[number] for count in counts))
        for member in group.members:
            self._meters.gauge("edge_upstream_share_ratio", name, member.client.member, to=member.client.breaker.share)
            up = int(member.client.breaker.state is State.CLOSED)
            self._meters.gauge("edge_upstream_up", name, member.client.member, to=up)
            for state in State:
                to = int(member.client.breaker.state is state)
                self._meters.gauge("edge_circuit_breaker_state", name, member.client.member, state.value, to=to)


def _name(group: Group) -> str:
    return group.members[0].client.settings.name
