"""Every metric as data: `/metrics`, the reference page and the dashboard's test go by this list.

A label with `values` is closed: it never has others. A label without them is open: sites, upstreams and volumes have
names that operators choose. What outsiders choose (paths, addresses, agents) is never a label.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

from edge.words import CacheStatus, Eviction, Kind, Reason

OTHER: Final = "other"  # the value that stands for all beyond a bound
ZERO_LIMIT: Final = 100  # series; a larger family appears series by series, at first use
INFINITY: Final = math.inf


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(StrEnum):
    """What the values of several processes amount to."""

    SUM = "sum"
    HIGHEST = "highest"  # every process says the same, or the worst one counts


class Tier(StrEnum):
    """Where an answer's bytes came from."""

    VOLUME = "volume"
    SIBLING = "sibling"
    SHIELD = "shield"
    ORIGIN = "origin"


# The statuses whose answer needed nothing from upstream before its first byte.
FROM_CACHE: Final = frozenset({CacheStatus.HIT, CacheStatus.STALE, CacheStatus.UPDATING})


@dataclass(frozen=True, slots=True)
class Label:
    """`values` = all that it ever has; empty for one whose values are operators' names or HTTP codes."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """`unit` is what one stands for. `lasting` marks a gauge that stays true while its process is being replaced."""

    name: str
    type: Type
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    across: Across = Across.SUM
    lasting: bool = False

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def open_labels(self) -> tuple[str, ...]:
        """The labels whose values only a running edge knows."""
        return tuple(label.name for label in self.labels if not label.values)

    @property
    def real(self) -> bool:
        """Its cells hold f64; u64 otherwise, which counts exactly however large it grows."""
        return self.type is Type.GAUGE or self.unit == "seconds"

    @property
    def width(self) -> int:
        """Cells of one series: a histogram has one a bucket, one for +Inf, and one (f64) for the sum."""
        return len(self.buckets) + 2 if self.type is Type.HISTOGRAM else 1

    def combinations(self, known: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
        """All label values, with `known` for the open labels, in their order."""
        given = iter(known)
        return tuple(product(*(label.values or (next(given),) for label in self.labels)))


# 25 ms for a hit and 250 ms for a miss are on edges, so that ratios by `le` are exact for these objectives.
TTFB: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The rungs of a bit-rate ladder: 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000 Mbit/s.
RATES: Final = (125e3, 250e3, 625e3, 1.25e6, 2.5e6, 6.25e6, 12.5e6, 31e6, 62.5e6, 125e6)
LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", OTHER)
SITE: Final = Label("site")
CODE: Final = Label("code")
VOLUME: Final = Label("volume")
UPSTREAM: Final = Label("upstream")
MEMBER: Final = Label("member")
KIND: Final = Label("kind", tuple(kind.value for kind in Kind))
STATUS: Final = Label("status", tuple(status.value for status in CacheStatus))
TIER: Final = Label("tier", tuple(tier.value for tier in Tier))
PROCESS: Final = Label("process", ("worker", "keeper", "supervisor"))
FAILURE: Final = Label("reason", tuple(reason.value for reason in Reason))

_C, _G, _H = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM

PLAYERS: Final = (
    Metric("edge_http_requests_total", _C, "requests", "Answers to players.", (SITE, CODE, KIND)),
    Metric(
        "edge_http_methods_total", _C, "requests", "Answers to players by method.", (Label("method", METHODS),)
    ),
    Metric(
        "edge_http_ttfb_seconds",
        _H,
        "seconds",
        "From a request's last byte to its answer's head.",
        (Label("status_group", ("hit", "miss")), TIER),
        TTFB,
    ),
    Metric(
        "edge_http_response_throughput_bytes_per_second",
        _H,
        "bytes per second",
        "Of bodies of 256 KiB and more that reached their end.",
        (KIND,),
        RATES,
    ),
    Metric("edge_http_inflight_requests", _G, "requests", "Requests being answered now."),
    Metric(
        "edge_http_connections",
        _G,
        "connections",
        "Players' connections now, by whether a request is under way.",
        (Label("state", ("active", "idle")),),
    ),
    Metric(
        "edge_http_connection_events_total",
        _C,
        "events",
        "What happened to players' connections.",
        (
            Label(
                "event",
                (
                    "accepted",
                    "closed",
                    "accept_paused",
                    "no_descriptors",
                    "handshake_failed",
                    "bad_request",
                    "idle_timeout",
                    "body_broken",
                    "handler_failed",
                    "drain_cut",
                ),
            ),
        ),
    ),
    Metric(
        "edge_client_aborts_total",
        _C,
        "answers",
        "Answers that did not reach their end; client_left is a player's own doing.",
        (Label("reason", ("client_left", "broken", "slow", "cut")),),
    ),
    Metric(
        "edge_slow_client_disconnects_total",
        _C,
        "connections",
        "Connections ended because the player was too slow.",
        (Label("reason", ("slow_reader", "head_timeout")),),
    ),
    Metric(
        "edge_tls_send_path",
        _G,
        "state",
        "1 for the way by which TLS bodies leave: encrypted by the kernel (ktls) or here (mmap).",
        (Label("path", ("ktls", "mmap")),),
        across=Across.HIGHEST,
    ),
)

CACHE: Final = (
    Metric(
        "edge_cache_requests_total", _C, "requests", "Answers by how the cache had them.", (SITE, STATUS, TIER)
    ),
    Metric(
        "edge_cache_response_bytes_total", _C, "bytes", "Body bytes sent to players.", (SITE, STATUS, TIER)
    ),
    Metric(
        "edge_cache_collapsed_requests_total",
        _C,
        "requests",
        "Misses that joined a fill of another request, by how that went.",
        (SITE, Label("result", ("shared", "timeout", "failed"))),
    ),
    Metric("edge_cache_size_bytes", _G, "bytes", "Bytes that packs take.", (VOLUME,), lasting=True),
    Metric("edge_cache_max_size_bytes", _G, "bytes", "Bytes that packs may take.", (VOLUME,), lasting=True),
    Metric("edge_cache_objects", _G, "objects", "Objects in the index.", (VOLUME,), lasting=True),
    Metric(
        "edge_cache_index_load_progress_ratio",
        _G,
        "ratio",
        "1 when the index is complete; less while it is rebuilt from the journals.",
        (VOLUME,),
        lasting=True,
    ),
    Metric(
        "edge_cache_evictions_total",
        _C,
        "extents",
        "Extents that left the cache.",
        (VOLUME, Label("reason", tuple(reason.value for reason in Eviction))),
    ),
    Metric("edge_cache_evicted_bytes_total", _C, "bytes", "Bytes that left the cache.", (VOLUME,)),
    Metric("edge_cache_admissions_total", _C, "extents", "Extents committed to packs.", (VOLUME,)),
    Metric(
        "edge_cache_rewritten_bytes_total",
        _C,
        "bytes",
        "Bytes that eviction kept, by appending them anew, because they had been hit.",
        (VOLUME,),
    ),
    Metric(
        "edge_cache_corrupt_total", _C, "extents", "Stored extents that proved bad and were dropped.", (FAILURE,)
    ),
    Metric(
        "edge_cache_cold_reads_total",
        _C,
        "windows",
        "Windows that were not in memory: read from the disk, verified, then sent.",
    ),
    Metric("edge_store_errors_total", _C, "calls", "Calls of the store that failed.", (VOLUME,)),
    Metric("edge_flights", _G, "fills", "Fills under way now."),
)

UPSTREAMS: Final = (
    Metric(
        "edge_upstream_requests_total", _C, "requests", "Answers of upstreams.", (UPSTREAM, MEMBER, CODE)
    ),
    Metric(
        "edge_upstream_bytes_total",
        _C,
        "bytes",
        "Body bytes from upstreams.",
        (UPSTREAM, MEMBER, Label("direction", ("received", "sent"))),
    ),
    Metric(
        "edge_upstream_ttfb_seconds", _H, "seconds", "From a request to the head of its answer.", (UPSTREAM,), TTFB
    ),
    Metric(
        "edge_upstream_connect_seconds",
        _H,
        "seconds",
        "To open a connection, TLS included.",
        (UPSTREAM,),
        TTFB,
    ),
    Metric("edge_upstream_retries_total", _C, "tries", "Tries after the first one.", (UPSTREAM, MEMBER)),
    Metric(
        "edge_upstream_errors_total", _C, "tries", "Tries that failed.", (UPSTREAM, MEMBER, FAILURE)
    ),
    Metric(
        "edge_upstream_connections",
        _G,
        "connections",
        "Connections to upstreams now; waiting = requests in line for one.",
        (UPSTREAM, Label("state", ("active", "idle", "waiting"))),
    ),
)

PROCESSES: Final = (
    Metric("edge_event_loop_lag_seconds", _H, "seconds", "How late a timer of 100 ms comes.", (PROCESS,), LAG),
    Metric("edge_process_cpu_seconds_total", _C, "seconds", "User and system time.", (PROCESS,)),
    Metric(
        "edge_process_resident_memory_bytes", _G, "bytes", "Resident memory, cached pages that are mapped included.", (PROCESS,)
    ),
    Metric("edge_process_open_fds", _G, "descriptors", "Open descriptors (Linux 6.2 and later).", (PROCESS,)),
    Metric("edge_worker_restarts_total", _C, "processes", "Workers that ended and were replaced."),
    Metric("edge_keeper_restarts_total", _C, "processes", "Keepers that ended and were replaced.", (VOLUME,)),
    Metric("edge_log_dropped_total", _C, "lines", "Lines of the access log dropped under pressure."),
    Metric(
        "edge_metric_series_refused_total",
        _C,
        "series",
        "Times that a series found no room, or was none of the catalogue's.",
    ),
    Metric(
        "edge_build_info",
        _G,
        "state",
        "Always 1; the labels tell the versions.",
        (Label("version"), Label("python")),
        across=Across.HIGHEST,
        lasting=True,
    ),
)

CATALOGUE: Final = PLAYERS + CACHE + UPSTREAMS + PROCESSES
BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
