"""Every metric: name, type, labels, help. `/metrics`, the reference and the dashboard's test go by this list."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.words import CacheStatus


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """`zero` = label values whose series exist from the start (small families only)."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    zero: tuple[tuple[str, ...], ...] = ()
    shared: bool = False  # every process says the same: the highest counts, not the sum


TTFB: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
RATES: Final = (125e3, 250e3, 625e3, 1.25e6, 2.5e6, 6.25e6, 12.5e6, 31e6, 62.5e6, 125e6)
LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BUFFERS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

_C, _G, _H = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM
_BY_STREAM: Final = ("site", "stream")
_STATUSES: Final = tuple((status.value,) for status in CacheStatus)

CATALOGUE: Final = (
    Metric("edge_http_requests_total", _C, "Answers to players.", ("site", "code", "kind")),
    Metric("edge_http_methods_total", _C, "Requests by method.", ("method",)),
    Metric("edge_cache_requests_total", _C, "Answers by how the cache had them.", ("site", "status", "tier")),
    Metric("edge_cache_response_bytes_total", _C, "Body bytes to players.", ("site", "status", "tier")),
    Metric("edge_cache_collapsed_requests_total", _C, "Misses that joined a fill.", ("site", "result")),
    Metric(
        "edge_http_ttfb_seconds",
        _H,
        "From a request's last byte to its head.",
        ("status_group", "tier"),
        TTFB,
    ),
    Metric(
        "edge_http_response_throughput_bytes_per_second",
        _H,
        "Of bodies of 256 KiB and more.",
        ("kind",),
        RATES,
    ),
    Metric("edge_http_connections", _G, "Connections of players.", ("state",), zero=(("active",), ("idle",))),
    Metric("edge_http_connection_events_total", _C, "What happened to connections.", ("event",)),
    Metric("edge_http_inflight_requests", _G, "Requests under way.", zero=((),)),
    Metric(
        "edge_client_aborts_total",
        _C,
        "Answers that did not reach their end.",
        ("reason",),
        zero=(("client_left",), ("broken",)),
    ),
    Metric(
        "edge_slow_client_disconnects_total",
        _C,
        "Connections ended for slowness.",
        ("reason",),
        zero=(("slow_reader",), ("head_timeout",)),
    ),
    Metric("edge_upstream_requests_total", _C, "Answers of upstreams.", ("upstream", "member", "code")),
    Metric("edge_upstream_bytes_total", _C, "Body bytes of upstreams.", ("upstream", "member", "direction")),
    Metric("edge_upstream_ttfb_seconds", _H, "From a request to its answer's head.", ("upstream",), TTFB),
    Metric("edge_upstream_connect_seconds", _H, "Of new connections, with TLS.", ("upstream",), TTFB),
    Metric("edge_upstream_retries_total", _C, "Further tries.", ("upstream", "member")),
    Metric("edge_upstream_hedges_total", _C, "Requests sent twice for a late first byte.", ("upstream", "member")),
    Metric("edge_upstream_errors_total", _C, "Tries that failed.", ("upstream", "member", "reason")),
    Metric("edge_upstream_connections", _G, "Connections to upstreams.", ("upstream", "state")),
    Metric("edge_cache_size_bytes", _G, "Bytes that packs take.", ("volume",)),
    Metric("edge_cache_max_size_bytes", _G, "Bytes that packs may take.", ("volume",)),
    Metric("edge_cache_objects", _G, "Objects in the index.", ("volume",)),
    Metric("edge_cache_evictions_total", _C, "Extents that left.", ("volume", "reason")),
    Metric("edge_cache_evicted_bytes_total", _C, "Bytes that left.", ("volume",)),
    Metric("edge_cache_admissions_total", _C, "Commits into packs.", ("volume",)),
    Metric("edge_cache_rewritten_bytes_total", _C, "Bytes appended anew because they were hit.", ("volume",)),
    Metric(
        "edge_cache_corrupt_total",
        _C,
        "Stored extents that proved bad.",
        ("reason",),
        zero=(("corrupt",), ("store_failed",)),
    ),
    Metric("edge_cache_cold_reads_total", _C, "Windows read from the disk and verified.", zero=((),)),
    Metric("edge_cache_index_load_progress_ratio", _G, "1 when the index is complete.", ("volume",)),
    Metric("edge_store_errors_total", _C, "Calls of the store that failed.", ("volume",)),
    Metric("edge_flights", _G, "Fills under way.", zero=((),)),
    Metric("edge_cmcd_requests_total", _C, "Requests that told of their player (CMCD).", ("site", "version")),
    Metric("edge_cmcd_buffer_starvation_total", _C, "Requests of players whose buffer had run dry.", _BY_STREAM),
    Metric("edge_cmcd_rebuffer_events_total", _C, "Requests of players that stood still (version 2).", _BY_STREAM),
    Metric("edge_cmcd_startup_requests_total", _C, "Requests of players about to start or resume.", _BY_STREAM),
    Metric("edge_cmcd_buffer_length_seconds", _H, "Of players' buffers.", ("stream",), BUFFERS),
    Metric("edge_cmcd_measured_throughput_bytes_per_second", _H, "As players measured it.", ("stream",), RATES),
    Metric("edge_cmcd_requested_throughput_bytes_per_second", _H, "The most that players ask for.", ("stream",), RATES),
    Metric("edge_cmcd_encoded_bitrate_bytes_per_second", _H, "Of what was asked for.", ("stream",), RATES),
    Metric("edge_event_loop_lag_seconds", _H, "Lateness of a timer.", ("process",), LAG),
    Metric("edge_worker_restarts_total", _C, "Workers replaced.", zero=((),)),
    Metric("edge_config_reloads_total", _C, "Reloads of the configuration.", ("result",), zero=(("ok",), ("refused",))),
    Metric("edge_config_last_reload_successful", _G, "1 if the last reload was taken up.", ()),
    Metric("edge_keeper_restarts_total", _C, "Keepers replaced.", ("volume",)),
    Metric("edge_tls_send_path", _G, "How TLS bodies leave: 1 for the path in use.", ("path",), shared=True),
    Metric("edge_log_dropped_total", _C, "Access log lines dropped under pressure.", zero=((),)),
    Metric("edge_build_info", _G, "Always 1; the labels tell the versions.", ("version", "python"), shared=True),
)
BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}


def reference() -> str:
    """The catalogue as a Markdown table."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        rows.append(f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"
