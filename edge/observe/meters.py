"""Counting: what each process calls. A hit costs two dictionary look-ups and a few additions."""

import asyncio
from bisect import bisect_left
from typing import Final

from edge.clock import Clock
from edge.observe.catalogue import BY_NAME, LAG, RATES, TTFB
from edge.observe.slots import SlotWriter
from edge.words import KIB, CacheStatus, Kind

MEASURED_FROM: Final = 256 * KIB  # the throughput of smaller bodies says nothing about the path
LAG_SECONDS: Final = 0.1
MAX_SITES: Final = 200
FROM_CACHE: Final = frozenset({CacheStatus.HIT, CacheStatus.STALE, CacheStatus.UPDATING})


def tier_of(status: CacheStatus) -> str:
    """Where an answer's body came from."""
    return "volume" if status in FROM_CACHE else "origin"


class Histogram:
    """One series: a cell a bucket, the sum and the count."""

    __slots__ = ("_bounds", "_counts", "_values", "cells", "sum")

    def __init__(self, slots: SlotWriter, metric: str, *labels: str) -> None:
        self._bounds = BY_NAME[metric].buckets
        self.cells = [slots.cell(metric + ":b", *labels, repr(bound)) for bound in (*self._bounds, float("inf"))]
        self.sum = slots.cell(metric + ":s", *labels)
        self._counts, self._values = slots.counts, slots.values

    def observe(self, value: float) -> None:
        self._counts[self.cells[bisect_left(self._bounds, value)]] += 1
        self._values[self.sum] += value


class Meters:
    """Of a worker: what players get."""

    def __init__(self, slots: SlotWriter) -> None:
        self._slots = slots
        self._counts = slots.counts
        self._values = slots.values
        # By identity of the enums' members: their hash is a Python function and costs as much as all the rest.
        self._requests: dict[tuple[str, int, int, int], tuple[int, int, int, Histogram]] = {}
        self._methods: dict[bytes, int] = {}
        self._rates: dict[Kind, Histogram] = {}
        self._sites: set[str] = set()

    def request(
        self,
        site: str,
        code: int,
        kind: Kind,
        method: bytes,
        status: CacheStatus,
        body_bytes: int,
        ttfb: float,
    ) -> None:
        """One answer; `ttfb` in seconds."""
        key = site, code, id(kind), id(status)
        cells = self._requests.get(key)
        if cells is None:
            cells = self._requests[key] = self._new(site, code, kind, status)
        counts = self._counts
        counts[cells[0]] += 1
        counts[cells[1]] += 1
        counts[cells[2]] += body_bytes
        histogram = cells[3]
        counts[histogram.cells[bisect_left(TTFB, ttfb)]] += 1
        self._values[histogram.sum] += ttfb
        cell = self._methods.get(method)
        if cell is None:
            cell = self._methods[method] = self._slots.cell("edge_http_methods_total", method.decode("latin-1"))
        counts[cell] += 1

    def _new(self, site: str, code: int, kind: Kind, status: CacheStatus) -> tuple[int, int, int, Histogram]:
        site = self.bounded(site)
        tier = tier_of(status)
        cell = self._slots.cell
        return (
            cell("edge_http_requests_total", site, str(code), kind.value),
            cell("edge_cache_requests_total", site, status.value, tier),
            cell("edge_cache_response_bytes_total", site, status.value, tier),
            Histogram(self._slots, "edge_http_ttfb_seconds", "hit" if status in FROM_CACHE else "miss", tier),
        )

    def bounded(self, site: str) -> str:
        """The site as a label: beyond the first 200 they are one."""
        if site not in self._sites:
            if len(self._sites) >= MAX_SITES:
                return "other"
            self._sites.add(site)
        return site

    def throughput(self, kind: Kind, body_bytes: int, seconds: float) -> None:
        """Of a body that reached its end."""
        if body_bytes >= MEASURED_FROM and seconds > 0:
            histogram = self._rates.get(kind)
            if histogram is None:
                name = "edge_http_response_throughput_bytes_per_second"
                histogram = self._rates[kind] = Histogram(self._slots, name, kind.value)
            histogram.observe(body_bytes / seconds)

    def count(self, metric: str, *labels: str, by: int = 1) -> None:
        """A counter that is not on the hit path."""
        self._counts[self._slots.cell(metric, *labels)] += by

    def set_count(self, metric: str, *labels: str, to: int) -> None:
        """A counter whose owner keeps it in a variable; it never goes back."""
        cell = self._slots.cell(metric, *labels)
        self._counts[cell] = max(self._counts[cell], to)

    def gauge(self, metric: str, *labels: str, to: float) -> None:
        self._slots.values[self._slots.cell(metric, *labels)] = to


class UpstreamMeters:
    """What the origin room tells of one upstream."""

    def __init__(self, meters: Meters, slots: SlotWriter, upstream: str, member: str) -> None:
        self._meters = meters
        self._labels = upstream, member
        self._connects = Histogram(slots, "edge_upstream_connect_seconds", upstream)
        self._ttfb = Histogram(slots, "edge_upstream_ttfb_seconds", upstream)
        self._bytes = slots.cell("edge_upstream_bytes_total", upstream, member, "received")
        self._counts = slots.counts

    def connected(self, seconds: float) -> None:
        self._connects.observe(seconds)

    def request(self, code: int) -> None:
        self._meters.count("edge_upstream_requests_total", *self._labels, str(code))

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


class FillMeters:
    """What the fill room tells."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def collapsed(self, site: str, result: str) -> None:
        self._meters.count("edge_cache_collapsed_requests_total", site, result)

    def corrupt(self, reason: str) -> None:
        self._meters.count("edge_cache_corrupt_total", reason)


async def measure_lag(slots: SlotWriter, process: str, clock: Clock) -> None:
    """How late a timer comes, ten times a second: what a blocked loop costs everybody."""
    histogram = Histogram(slots, "edge_event_loop_lag_seconds", process)
    while True:
        before = clock.monotonic()
        await asyncio.sleep(LAG_SECONDS)
        histogram.observe(max(0.0, clock.monotonic() - before - LAG_SECONDS))


__all__ = ["LAG", "RATES", "TTFB", "FillMeters", "Histogram", "Meters", "UpstreamMeters", "measure_lag"]
