"""Counting: what each process calls. A hit costs two dictionary look-ups and a few additions."""

import asyncio
from bisect import bisect_left
from collections.abc import Collection
from typing import Final

from edge.clock import Clock
from edge.observe.catalogue import BY_NAME, FROM_CACHE, METHODS, OTHER, TTFB, Tier
from edge.observe.process import ProcessMeters
from edge.observe.slots import SlotWriter
from edge.observe.tiers import tier_of
from edge.words import KIB, CacheStatus, Kind

MEASURED_FROM: Final = 256 * KIB  # the throughput of smaller bodies says nothing about the path
LAG_SECONDS: Final = 0.1
TICKS_A_SECOND: Final = 10
MAX_SITES: Final = 100
MEMORY_LIMIT: Final = 20_000  # remembered label combinations: twice as many as there can be series


class Bounded:
    """At most `limit` values of a label; all further ones are `other`."""

    __slots__ = ("_limit", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __repr__(self) -> str:
        return f"<Bounded {len(self._seen)} of {self._limit}>"

    def admit(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._limit:
                return OTHER
            self._seen.add(value)
        return value


class Histogram:
    """One series: a cell a bucket, and the sum."""

    __slots__ = ("_bounds", "_counts", "_values", "buckets", "sum")

    def __init__(self, slots: SlotWriter, metric: str, *labels: str) -> None:
        self._bounds = BY_NAME[metric].buckets
        self.buckets = slots.cell(metric, *labels)
        self.sum = self.buckets + len(self._bounds) + 1
        self._counts, self._values = slots.counts, slots.values

    def observe(self, value: float) -> None:
        """A value below 0 (of a span whose end was never set) counts as 0: a sum never falls."""
        if not value >= 0.0:
            value = 0.0
        self._counts[self.buckets + bisect_left(self._bounds, value)] += 1
        self._values[self.sum] += value


AnswerCells = tuple[int, int, int, int, int, int]


class Meters:
    """Of a worker: what players get. Of any process: counters and gauges by name."""

    def __init__(self, slots: SlotWriter) -> None:
        self.slots = slots
        self._counts = slots.counts
        self._values = slots.values
        # StrEnums hash as the strings they are (65 ns): a key of them costs no more than one of their ids.
        self._requests: dict[tuple[str, int, Kind, CacheStatus, str | None], AnswerCells] = {}
        self._methods = {name.encode(): slots.cell("edge_http_methods_total", name) for name in METHODS}
        self._other_method = self._methods[OTHER.encode()]
        self._rates: dict[Kind, Histogram] = {}
        self._sites = Bounded(MAX_SITES)

    def __repr__(self) -> str:
        return f"<Meters {self.slots!r}>"

    def request(
        self,
        site: str,
        code: int,
        kind: Kind,
        method: bytes,
        status: CacheStatus,
        body_bytes: int,
        ttfb: float,
        tier: Tier | None = None,
    ) -> None:
        """One answer; `ttfb` in seconds. Without `tier` the status tells it."""
        self.answered(self.cells_of(site, code, kind, status, tier), method, body_bytes, ttfb)

    def cells_of(self, site: str, code: int, kind: Kind, status: CacheStatus, tier: Tier | None = None) -> AnswerCells:
        """Where answers like this one are counted; does not change while this process lives."""
        key = (site, code, kind, status, tier)
        cells = self._requests.get(key)
        if cells is None:
            cells = self._series_of(site, code, kind, status, tier or tier_of(status))
            if len(self._requests) < MEMORY_LIMIT:
                self._requests[key] = cells
        return cells

    def answered(self, cells: AnswerCells, method: bytes, body_bytes: int, ttfb: float) -> None:
        """`request`, for who knows the cells."""
        counts = self._counts
        answers, cached, sent, of_kind, buckets, total = cells
        counts[answers] += 1
        counts[cached] += 1
        counts[sent] += body_bytes
        counts[of_kind] += body_bytes
        if not ttfb >= 0.0:  # as Histogram.observe, without the call
            ttfb = 0.0
        counts[buckets + bisect_left(TTFB, ttfb)] += 1
        self._values[total] += ttfb
        counts[self._methods.get(method, self._other_method)] += 1

    def more_bytes(self, site: str, kind: Kind, status: CacheStatus, tier: Tier, count: int) -> None:
        """Body bytes of an answer that is counted already: they came from elsewhere than its first ones."""
        site = self.bounded(site)
        self.count("edge_cache_response_bytes_total", site, status.value, tier.value, by=count)
        self.count("edge_http_response_bytes_total", site, kind.value, by=count)

    def _series_of(self, site: str, code: int, kind: Kind, status: CacheStatus, tier: Tier) -> AnswerCells:
        site = self.bounded(site)
        cell = self.slots.cell
        group = "hit" if status in FROM_CACHE else "miss"
        ttfb = Histogram(self.slots, "edge_http_ttfb_seconds", group, tier.value)
        return (
            cell("edge_http_requests_total", site, code_label(code), kind.value),
            cell("edge_cache_requests_total", site, status.value, tier.value),
            cell("edge_cache_response_bytes_total", site, status.value, tier.value),
            cell("edge_http_response_bytes_total", site, kind.value),
            ttfb.buckets,
            ttfb.sum,
        )

    def bounded(self, site: str) -> str:
        """A site as a label."""
        return self._sites.admit(site)

    def throughput(self, kind: Kind, body_bytes: int, seconds: float) -> None:
        """Of a body that reached its end."""
        if body_bytes >= MEASURED_FROM and seconds > 0:
            histogram = self._rates.get(kind)
            if histogram is None:
                name = "edge_http_response_throughput_bytes_per_second"
                histogram = self._rates[kind] = Histogram(self.slots, name, kind.value)
            histogram.observe(body_bytes / seconds)

    def count(self, metric: str, *labels: str, by: int = 1) -> None:
        """A counter that is not on the hit path."""
        self._counts[self.slots.cell(metric, *labels)] += by

    def observe(self, metric: str, *labels: str, value: float) -> None:
        """A histogram that is not on the hit path."""
        Histogram(self.slots, metric, *labels).observe(value)

    def gauge(self, metric: str, *labels: str, to: float) -> None:
        self.slots.values[self.slots.cell(metric, *labels)] = to

    def only(self, metric: str, kept: Collection[tuple[str, ...]]) -> None:
        """Of a gauge whose owners come and go with the configuration: no other series than these."""
        self.slots.forget_others(metric, kept)


def code_label(code: int) -> str:
    """A status code as a label: what HTTP has no class for is `other` (RFC 9110 section 15)."""
    return str(code) if 100 <= code <= 599 else OTHER


class UpstreamMeters:
    """What the origin room tells of one member of an upstream."""

    def __init__(self, meters: Meters, slots: SlotWriter, upstream: str, member: str) -> None:
        self._meters = meters
        self._labels = upstream, member
        self._connects = Histogram(slots, "edge_upstream_connect_seconds", upstream)
        self._ttfb = Histogram(slots, "edge_upstream_ttfb_seconds", upstream)
        self._bytes = slots.cell("edge_upstream_bytes_total", upstream, member, "received")
        self._counts = slots.counts

    def __repr__(self) -> str:
        return f"<UpstreamMeters {'/'.join(self._labels)}>"

    def connected(self, seconds: float) -> None:
        self._connects.observe(seconds)

    def request(self, code: int) -> None:
        self._meters.count("edge_upstream_requests_total", *self._labels, code_label(code))

    def ttfb(self, seconds: float) -> None:
        self._ttfb.observe(seconds)

    def bytes(self, count: int) -> None:
        self._counts[self._bytes] += count

    def error(self, reason: str) -> None:
        self._meters.count("edge_upstream_errors_total", *self._labels, reason)

    def retry(self) -> None:
        self._meters.count("edge_upstream_retries_total", *self._labels)

    def hedge(self) -> None:
        self._meters.count("edge_upstream_hedges_total", *self._labels)

    def resume(self) -> None:
        self._meters.count("edge_upstream_resumes_total", *self._labels)

    def repeat(self) -> None:
        self._meters.count("edge_upstream_repeats_total", *self._labels)

    def pause(self) -> None:
        self._meters.count("edge_upstream_pauses_total", *self._labels)

    def probe(self, *, well: bool) -> None:
        self._meters.count("edge_upstream_probes_total", *self._labels, "ok" if well else "failed")


class FillMeters:
    """What the fill room tells."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._sites = Bounded(MAX_SITES)

    def collapsed(self, site: str, result: str) -> None:
        self._meters.count("edge_cache_collapsed_requests_total", self._sites.admit(site), result)

    def prefetch(self, result: str) -> None:
        self._meters.count("edge_prefetch_total", result)

    def corrupt(self, reason: str) -> None:
        self._meters.count("edge_cache_corrupt_total", reason)


async def measure_lag(slots: SlotWriter, process: str, clock: Clock) -> None:
    """How late a timer comes, ten times a second: what a blocked loop costs everybody. Once a second, the process."""
    histogram = Histogram(slots, "edge_event_loop_lag_seconds", process)
    meters = ProcessMeters(slots, process)
    tick = 0
    while True:
        if tick % TICKS_A_SECOND == 0:
            meters.sample()
        tick += 1
        before = clock.monotonic()
        await asyncio.sleep(LAG_SECONDS)
        histogram.observe(clock.monotonic() - before - LAG_SECONDS)
