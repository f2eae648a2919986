"""A node at a glance: two readings of its metrics, some time apart, made into rates and shares.

What `edge top` shows from a scrape and the status page from the cells themselves.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, assert_never, cast

from edge.observe.catalogue import BY_NAME, Tier
from edge.observe.metric import Type
from edge.observe.slots import Labels, Value

Series = Mapping[Labels, Value]
Reading = Mapping[str, Series]  # by metric; labels in the catalogue's order; a histogram's value as in `slots`
ROWS_MOST: Final = 20
FROM_CACHE: Final = frozenset({"hit", "stale", "updating", "revalidated"})
UNCACHED: Final = frozenset({"bypass"})  # not the cache's business: in no ratio


@dataclass(frozen=True, slots=True)
class Row:
    """A site, an upstream's member, a status or a kind; rates are per second."""

    name: str
    requests: float = 0.0
    bytes: float = 0.0
    errors: float = 0.0
    hit_ratio: float | None = None
    seconds: float | None = None  # mean time to the first byte


class Order(StrEnum):
    """What stands at the top of sites, upstreams and kinds."""

    BIGGEST = "biggest"  # bytes
    BUSIEST = "busiest"  # requests
    SLOWEST = "slowest"  # mean time to the first byte, which upstreams have
    FAILING = "failing"  # errors


@dataclass(frozen=True, slots=True)
class VolumeRow:
    name: str
    size_bytes: float
    max_bytes: float
    objects: float
    written: float  # bytes a second
    evicted: float


@dataclass(frozen=True, slots=True)
class Overview:
    """Rates are per second, over the time between the two readings; None where nothing was to be seen."""

    requests: float
    egress: float
    ingress: float
    hit_ratio: float | None
    byte_hit_ratio: float | None
    errors: float
    connections: float
    inflight: float
    flights: float
    ttfb_hit_p50: float | None
    ttfb_hit_p99: float | None
    ttfb_miss_p50: float | None
    ttfb_miss_p99: float | None
    loop_lag_p99: float | None
    restarts: float
    dropped_lines: float
    starved: float
    sites: tuple[Row, ...]
    upstreams: tuple[Row, ...]
    kinds: tuple[Row, ...]
    volumes: tuple[VolumeRow, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Change:
    """What has happened between two readings of one node."""

    def __init__(self, before: Reading, after: Reading, seconds: float) -> None:
        self._before, self._after = before, after
        self._seconds = max(seconds, 1e-9)

    def now(self, metric: str) -> Series:
        return self._after.get(metric, {})

    def total_now(self, metric: str) -> float:
        return sum(cast(float, value) for value in self.now(metric).values())

    def rates(self, metric: str) -> dict[Labels, float]:
        """Per second; a counter that fell has begun anew (another server)."""
        before = self._before.get(metric, {})
        rates = {}
        for labels, value in self.now(metric).items():
            was = cast(float, before.get(labels, 0))
            grown = cast(float, value) - was
            rates[labels] = (grown if grown >= 0 else cast(float, value)) / self._seconds
        return rates

    def rate(self, metric: str, keep: Callable[[Labels], bool] = lambda _: True) -> float:
        return sum(rate for labels, rate in self.rates(metric).items() if keep(labels))

    def buckets(self, metric: str, keep: Callable[[Labels], bool] = lambda _: True) -> list[float]:
        """How many values fell into each bucket meanwhile, and last their sum."""
        assert BY_NAME[metric].type is Type.HISTOGRAM
        found = [0.0] * BY_NAME[metric].width
        before = self._before.get(metric, {})
        for labels, value in self.now(metric).items():
            if keep(labels):
                was = cast("tuple[float, ...]", before.get(labels, (0,) * len(found)))
                for at, (new, old) in enumerate(zip(cast("tuple[float, ...]", value), was, strict=True)):
                    found[at] += max(0.0, new - old)
        return found

    def quantile(self, metric: str, share: float, keep: Callable[[Labels], bool] = lambda _: True) -> float | None:
        """As Prometheus' `histogram_quantile`: straight lines within a bucket."""
        *counts, _ = self.buckets(metric, keep)
        wanted = share * sum(counts)
        if not wanted:
            return None
        bounds = BY_NAME[metric].buckets
        low = upto = 0.0
        for bound, count in zip(bounds, counts, strict=False):
            if upto + count >= wanted:
                return low + (bound - low) * (wanted - upto) / count
            upto, low = upto + count, bound
        return bounds[-1]


def overview(before: Reading, after: Reading, seconds: float, order: Order = Order.BIGGEST) -> Overview:
    """What `before`, and so many seconds later `after`, say together."""
    change = Change(before, after, seconds)
    ttfb = "edge_http_ttfb_seconds"

    def of(group: str) -> Callable[[Labels], bool]:
        return lambda labels: labels[0] == group

    return Overview(
        requests=change.rate("edge_http_requests_total"),
        egress=change.rate("edge_cache_response_bytes_total"),
        ingress=change.rate("edge_upstream_bytes_total", lambda labels: labels[2] == "received"),
        hit_ratio=_ratio(change.rates("edge_cache_requests_total")),
        byte_hit_ratio=_byte_ratio(change.rates("edge_cache_response_bytes_total")),
        errors=change.rate("edge_http_requests_total", lambda labels: labels[1].startswith("5")),
        connections=change.total_now("edge_http_connections"),
        inflight=change.total_now("edge_http_inflight_requests"),
        flights=change.total_now("edge_flights"),
        ttfb_hit_p50=change.quantile(ttfb, 0.5, of("hit")),
        ttfb_hit_p99=change.quantile(ttfb, 0.99, of("hit")),
        ttfb_miss_p50=change.quantile(ttfb, 0.5, of("miss")),
        ttfb_miss_p99=change.quantile(ttfb, 0.99, of("miss")),
        loop_lag_p99=change.quantile("edge_event_loop_lag_seconds", 0.99),
        restarts=change.total_now("edge_worker_restarts_total") + change.total_now("edge_keeper_restarts_total"),
        dropped_lines=change.total_now("edge_log_dropped_total"),
        starved=change.rate("edge_cmcd_buffer_starvation_total"),
        sites=_first(_sites(change), order),
        upstreams=_first(_upstreams(change), order),
        kinds=_first(_kinds(change), order),
        volumes=_volumes(change),
    )


def _ratio(rates: Mapping[Labels, float], site: str | None = None) -> float | None:
    """The share of what the cache had, of all that is its business; (site, status, tier) are the labels."""
    ours = {key: rate for key, rate in rates.items() if key[1] not in UNCACHED and site in (None, key[0])}
    total = sum(ours.values())
    return sum(rate for key, rate in ours.items() if key[1] in FROM_CACHE) / total if total else None


def _byte_ratio(rates: Mapping[Labels, float]) -> float | None:
    """The same of bytes, by where they came from: a hit may lack some of its own."""
    ours = {key: rate for key, rate in rates.items() if key[1] not in UNCACHED}
    total = sum(ours.values())
    return sum(rate for key, rate in ours.items() if key[2] == Tier.VOLUME) / total if total else None


def _first(rows: list[Row], order: Order) -> tuple[Row, ...]:
    """The first of them in this order; what it does not tell apart is told by bytes, then requests, then the name."""

    def rank(row: Row) -> float:
        match order:
            case Order.BIGGEST:
                return row.bytes
            case Order.BUSIEST:
                return row.requests
            case Order.SLOWEST:
                return row.seconds or 0.0
            case Order.FAILING:
                return row.errors
        assert_never(order)

    return tuple(sorted(rows, key=lambda row: (-rank(row), -row.bytes, -row.requests, row.name))[:ROWS_MOST])


def _by(rates: Mapping[Labels, float], *places: int) -> dict[Labels, float]:
    """Summed over all labels but those."""
    sums: dict[Labels, float] = {}
    for labels, rate in rates.items():
        key = tuple(labels[place] for place in places)
        sums[key] = sums.get(key, 0.0) + rate
    return sums


def _sites(change: Change) -> list[Row]:
    answers = change.rates("edge_http_requests_total")
    sent = _by(change.rates("edge_cache_response_bytes_total"), 0)
    cached = change.rates("edge_cache_requests_total")
    failed = _by({key: rate for key, rate in answers.items() if key[1].startswith("5")}, 0)
    return [
        Row(key[0], rate, sent.get(key, 0.0), failed.get(key, 0.0), _ratio(cached, key[0]))
        for key, rate in _by(answers, 0).items()
    ]


def _upstreams(change: Change) -> list[Row]:
    received = _by(change.rates("edge_upstream_bytes_total"), 0, 1)
    failed = _by(change.rates("edge_upstream_errors_total"), 0, 1)
    asked = _by(change.rates("edge_upstream_requests_total"), 0, 1)
    rows = []
    for key in received.keys() | asked.keys() | failed.keys():
        *counts, total = change.buckets("edge_upstream_ttfb_seconds", lambda labels, name=key[0]: labels[0] == name)  # type: ignore[misc]
        mean = total / sum(counts) if sum(counts) else None
        name = f"{key[0]} {key[1]}"
        rows.append(Row(name, asked.get(key, 0.0), received.get(key, 0.0), failed.get(key, 0.0), None, mean))
    return rows


def _kinds(change: Change) -> list[Row]:
    sent = _by(change.rates("edge_http_response_bytes_total"), 1)
    return [
        Row(key[0], rate, sent.get(key, 0.0)) for key, rate in _by(change.rates("edge_http_requests_total"), 2).items()
    ]


def _volumes(change: Change) -> tuple[VolumeRow, ...]:
    written = change.rates("edge_cache_written_bytes_total")
    evicted = _by(change.rates("edge_cache_evicted_bytes_total"), 0)
    most, objects = change.now("edge_cache_max_size_bytes"), change.now("edge_cache_objects")
    return tuple(
        VolumeRow(
            labels[0],
            cast(float, size),
            cast(float, most.get(labels, 0)),
            cast(float, objects.get(labels, 0)),
            written.get(labels, 0.0),
            evicted.get(labels, 0.0),
        )
        for labels, size in sorted(change.now("edge_cache_size_bytes").items())
    )
