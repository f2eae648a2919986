"""Every metric as data: `/metrics`, the reference page and the dashboard's test go by this list.

A label with `values` is closed: it never has others. A label without them is open: sites, upstreams and volumes have
names that operators choose. What outsiders choose (paths, addresses, agents) is never a label.
"""

from enum import StrEnum
from typing import Final

from edge.observe.metric import Label, Metric, Type
from edge.words import CacheStatus, Damage, Eviction, Kind, Reason, Refusal

OTHER: Final = "other"  # the value that stands for all beyond a bound
ZERO_LIMIT: Final = 100  # series; a larger family appears series by series, at first use


class Tier(StrEnum):
    """Where an answer's bytes came from."""

    VOLUME = "volume"
    SIBLING = "sibling"
    SHIELD = "shield"
    ORIGIN = "origin"


# The statuses whose answer needed nothing from upstream before its first byte.
FROM_CACHE: Final = frozenset({CacheStatus.HIT, CacheStatus.STALE, CacheStatus.UPDATING})


# 25 ms for a hit and 250 ms for a miss are on edges, so that ratios by `le` are exact for these objectives.
TTFB: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The rungs of a bit-rate ladder: 1, 2, 5, 10, 20, 50, 100, 250, 500, 1000 Mbit/s.
RATES: Final = (125e3, 250e3, 625e3, 1.25e6, 2.5e6, 6.25e6, 12.5e6, 31e6, 62.5e6, 125e6)
LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
DISK: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
BUFFERS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
AGES: Final = (600.0, 3600.0, 21600.0, 86400.0, 259200.0, 604800.0, 1209600.0, 2592000.0)  # 10 min to 30 days

METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", OTHER)
SITE: Final = Label("site")
CODE: Final = Label("code")
VOLUME: Final = Label("volume")
UPSTREAM: Final = Label("upstream")
MEMBER: Final = Label("member")
KIND: Final = Label("kind", tuple(kind.value for kind in Kind))
STATUS: Final = Label("status", tuple(status.value for status in CacheStatus))
TIER: Final = Label("tier", tuple(tier.value for tier in Tier))
PROCESS: Final = Label("process", ("worker", "keeper"))
EVICTION: Final = Label("reason", tuple(reason.value for reason in Eviction))
DAMAGE: Final = Label("reason", tuple(damage.value for damage in Damage))
FAILURE: Final = Label("reason", tuple(reason.value for reason in Reason))
STREAM: Final = Label("stream", ("vod", "live", "unknown"))
EVENTS: Final = ("accepted", "closed", "accept_paused", "no_descriptors", "handshake_failed", "bad_request") + (
    "no_proxy_header",
    "idle_timeout",
    "body_broken",
    "handler_failed",
    "drain_cut",
)

_C, _G, _H = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM

PLAYERS: Final = (
    Metric("edge_http_requests_total", _C, "Answers to players.", (SITE, CODE, KIND)),
    Metric("edge_http_methods_total", _C, "Answers to players by method.", (Label("method", METHODS),)),
    Metric("edge_http_response_bytes_total", _C, "Body bytes sent to players, by kind of object.", (SITE, KIND)),
    Metric(
        "edge_http_ttfb_seconds",
        _H,
        "From a request's last byte to its answer's head; a miss from the volume: what was revalidated.",
        (Label("status_group", ("hit", "miss")), TIER),
        TTFB,
    ),
    Metric(
        "edge_http_response_throughput_bytes_per_second",
        _H,
        "Of bodies of 256 KiB and more that reached their end.",
        (KIND,),
        RATES,
    ),
    Metric(
        "edge_admission_refused_total",
        _C,
        "Requests refused because they did not show that they come from an edge of ours.",
        (Label("reason", tuple(refusal.value for refusal in Refusal)),),
    ),
    Metric("edge_http_inflight_requests", _G, "Requests being answered now."),
    Metric(
        "edge_http_connections",
        _G,
        "Players' connections now, by whether a request is under way.",
        (Label("state", ("active", "idle")),),
    ),
    Metric(
        "edge_http_connection_events_total",
        _C,
        "What happened to players' connections.",
        (Label("event", EVENTS),),
    ),
    Metric(
        "edge_client_aborts_total",
        _C,
        "Answers that did not reach their end; client_left is a player's own doing.",
        (Label("reason", ("client_left", "broken", "slow", "cut")),),
    ),
    Metric(
        "edge_slow_client_disconnects_total",
        _C,
        "Connections ended because the player was too slow.",
        (Label("reason", ("slow_reader", "head_timeout")),),
    ),
    Metric(
        "edge_tls_send_path",
        _G,
        "1 for the way by which TLS bodies leave: encrypted by the kernel (ktls) or here (mmap).",
        (Label("path", ("ktls", "mmap")),),
        shared=True,
    ),
    Metric(
        "edge_link_capacity_bytes_per_second",
        _G,
        "What the machine's port carries, as its configuration says; absent where that says nothing.",
        lasting=True,
    ),
)

CACHE: Final = (
    Metric(
        "edge_cache_requests_total",
        _C,
        "Answers by how the cache had them, and who their first bytes came from.",
        (SITE, STATUS, TIER),
    ),
    Metric(
        "edge_cache_response_bytes_total",
        _C,
        "Body bytes sent to players, by who they came from: a hit may lack some.",
        (SITE, STATUS, TIER),
    ),
    Metric(
        "edge_cache_collapsed_requests_total",
        _C,
        "Misses that joined a fill of another request, by how that went.",
        (SITE, Label("result", ("shared", "timeout", "failed"))),
    ),
    Metric(
        "edge_prefetch_total",
        _C,
        "Objects that were to be fetched before anybody asked for them, by what became of that.",
        (Label("result", ("used", "unused", "cancelled", "failed", "refused")),),
    ),
    Metric("edge_cache_size_bytes", _G, "Bytes that packs, journals and index take.", (VOLUME,), lasting=True),
    Metric("edge_cache_max_size_bytes", _G, "Bytes that they may take.", (VOLUME,), lasting=True),
    Metric("edge_cache_objects", _G, "Objects in the index.", (VOLUME,), lasting=True),
    Metric(
        "edge_cache_index_load_progress_ratio",
        _G,
        "1 when the index is complete; less while it is rebuilt from the journals.",
        (VOLUME,),
        lasting=True,
    ),
    Metric(
        "edge_cache_cold",
        _G,
        "1 while the index is rebuilt: what the packs hold may still be missed.",
        (VOLUME,),
        lasting=True,
    ),
    Metric(
        "edge_cache_evictions_total",
        _C,
        "Extents or objects that left the cache.",
        (VOLUME, EVICTION),
    ),
    Metric("edge_cache_evicted_bytes_total", _C, "Bytes that left the cache.", (VOLUME, EVICTION)),
    Metric(
        "edge_disk_operation_seconds",
        _H,
        "By how long each took: reads past the page cache (with their checksums), writes into packs, commits of the "
        "index, and syncs of packs and journals, which show a disk that is slow to write.",
        (VOLUME, Label("operation", ("read", "write", "commit", "sync"))),
        DISK,
    ),
    Metric(
        "edge_cache_eviction_age_seconds",
        _H,
        "How long ago a pack was written last when it was evicted: what the cache holds is younger than that.",
        (VOLUME,),
        AGES,
    ),
    Metric(
        "edge_cache_admissions_total",
        _C,
        "Parts of fills: kept in packs, or refused by the bound on daily writes.",
        (VOLUME, Label("decision", ("admitted", "refused"))),
    ),
    Metric("edge_cache_admitted_bytes_total", _C, "Bytes of the extents committed to packs.", (VOLUME,)),
    Metric(
        "edge_cache_written_bytes_total",
        _C,
        "Bytes written to packs and journals; over the admitted ones: write amplification.",
        (VOLUME,),
    ),
    Metric("edge_cache_day_written_bytes", _G, "Bytes of fills and re-appends since midnight UTC.", (VOLUME,)),
    Metric("edge_cache_day_writes_max_bytes", _G, "The bound on them (`cache.daily_writes`); 0: none.", (VOLUME,)),
    Metric(
        "edge_cache_rewritten_bytes_total",
        _C,
        "Bytes that eviction kept, by appending them anew, because they had been hit.",
        (VOLUME,),
    ),
    Metric(
        "edge_cache_corrupt_total",
        _C,
        "What was stored and proved bad: extents, rows of the index, journals, and an index as a whole. It is dropped "
        "and fetched again, or built anew. Entries of the log of purges: what is stored is revalidated.",
        (DAMAGE,),
    ),
    Metric(
        "edge_cache_cold_reads_total",
        _C,
        "Windows that were not in memory: read from the disk, verified, then sent.",
    ),
    Metric(
        "edge_cache_cold_lookups_total",
        _C,
        "Look-ups that a thread did first, as the index was not wholly in memory.",
    ),
    Metric(
        "edge_volume_state",
        _G,
        "1 for what the volume's disk is: good, read_only (nothing is written) or off (objects live elsewhere).",
        (VOLUME, Label("state", ("good", "read_only", "off"))),
    ),
    Metric("edge_volume_free_bytes", _G, "What the volume's file system has left for us.", (VOLUME,), lasting=True),
    Metric(
        "edge_volume_min_free_bytes",
        _G,
        "What is to stay free of it (`cache.min_free`): below, packs are evicted early.",
        (VOLUME,),
        lasting=True,
    ),
    Metric("edge_scrub_read_bytes_total", _C, "Bytes read and compared where nobody had asked for them.", (VOLUME,)),
    Metric("edge_scrub_findings_total", _C, "Bad extents that the scrubber has found.", (VOLUME,)),
    Metric("edge_scrub_progress_ratio", _G, "How far the scrubber's pass is; 1: done.", (VOLUME,)),
    Metric("edge_scrub_passes", _G, "Passes over all packs since the keeper's start.", (VOLUME,)),
    Metric(
        "edge_store_errors_total",
        _C,
        "Calls of the store that failed, and reads of workers that the disk did not give.",
        (VOLUME,),
    ),
    Metric("edge_flights", _G, "Fills under way now."),
)

UPSTREAMS: Final = (
    Metric("edge_upstream_requests_total", _C, "Answers of upstreams.", (UPSTREAM, MEMBER, CODE)),
    Metric(
        "edge_upstream_bytes_total",
        _C,
        "Body bytes from and to upstreams.",
        (UPSTREAM, MEMBER, Label("direction", ("received", "sent"))),
    ),
    Metric("edge_upstream_ttfb_seconds", _H, "From a request to the head of its answer.", (UPSTREAM,), TTFB),
    Metric("edge_upstream_connect_seconds", _H, "To open a connection, TLS included.", (UPSTREAM,), TTFB),
    Metric("edge_upstream_retries_total", _C, "Tries after the first one.", (UPSTREAM, MEMBER)),
    Metric("edge_upstream_hedges_total", _C, "Requests sent twice for a late first byte.", (UPSTREAM, MEMBER)),
    Metric(
        "edge_upstream_resumes_total",
        _C,
        "Bodies, or pieces of far ones, that broke and went on from that byte.",
        (UPSTREAM, MEMBER),
    ),
    Metric(
        "edge_upstream_repeats_total",
        _C,
        "Pieces of far bodies that lagged and were asked for once more.",
        (UPSTREAM, MEMBER),
    ),
    Metric(
        "edge_upstream_pauses_total",
        _C,
        "Pauses before the next piece of several far bodies, which would stand in a crowded path's queue.",
        (UPSTREAM, MEMBER),
    ),
    Metric("edge_upstream_errors_total", _C, "Tries that failed.", (UPSTREAM, MEMBER, FAILURE)),
    Metric(
        "edge_upstream_probes_total",
        _C,
        "Active probes, by how they ended.",
        (UPSTREAM, MEMBER, Label("result", ("ok", "failed"))),
    ),
    Metric(
        "edge_upstream_share_ratio",
        _G,
        "How much of its objects a member has, the most of all keepers: less than 1 for a while after it was away.",
        (UPSTREAM, MEMBER),
        shared=True,
    ),
    Metric(
        "edge_upstream_up",
        _G,
        "1 while a keeper's breaker of a member is closed: it is asked.",
        (UPSTREAM, MEMBER),
        shared=True,
    ),
    Metric(
        "edge_circuit_breaker_state",
        _G,
        "Keepers whose breaker of a member is closed, open or half-open.",
        (UPSTREAM, MEMBER, Label("state", ("closed", "open", "half_open"))),
    ),
    Metric(
        "edge_upstream_connections",
        _G,
        "Connections to upstreams now; waiting = requests in line for one.",
        (UPSTREAM, Label("state", ("active", "idle", "waiting"))),
    ),
)

EXPERIENCE: Final = (
    Metric(
        "edge_cmcd_requests_total",
        _C,
        "Requests that told of their player.",
        (SITE, Label("version", ("1", "2"))),
    ),
    Metric("edge_cmcd_buffer_starvation_total", _C, "Requests of players whose buffer had run dry.", (SITE, STREAM)),
    Metric("edge_cmcd_rebuffer_events_total", _C, "Requests of players that stood still (version 2).", (SITE, STREAM)),
    Metric("edge_cmcd_startup_requests_total", _C, "Requests of players about to start or resume.", (SITE, STREAM)),
    Metric("edge_cmcd_buffer_length_seconds", _H, "What players had in their buffers.", (STREAM,), BUFFERS),
    Metric("edge_cmcd_measured_throughput_bytes_per_second", _H, "As players measured it.", (STREAM,), RATES),
    Metric("edge_cmcd_requested_throughput_bytes_per_second", _H, "The most that players ask for.", (STREAM,), RATES),
    Metric("edge_cmcd_encoded_bitrate_bytes_per_second", _H, "Of what was asked for.", (STREAM,), RATES),
)

PROCESSES: Final = (
    Metric("edge_event_loop_lag_seconds", _H, "How late a timer of 100 ms comes.", (PROCESS,), LAG),
    Metric("edge_process_cpu_seconds_total", _C, "User and system time.", (PROCESS,)),
    Metric(
        "edge_process_resident_memory_bytes",
        _G,
        "Resident memory; mapped pages of the page cache are in it.",
        (PROCESS,),
    ),
    Metric("edge_process_open_fds", _G, "Open descriptors; 0 before Linux 6.2.", (PROCESS,)),
    Metric(
        "edge_executor_queue_depth",
        _G,
        "Calls that wait for a thread: store = keepers' writes, disk = workers' reads.",
        (Label("executor", ("store", "disk")),),
    ),
    Metric("edge_keeper_link_up", _G, "Workers that are linked to this volume's keeper.", (VOLUME,)),
    Metric("edge_keeper_link_waiting", _G, "Requests of workers that wait for this volume's keeper.", (VOLUME,)),
    Metric("edge_worker_restarts_total", _C, "Workers that ended and were replaced.", ("worker",)),
    Metric("edge_keeper_restarts_total", _C, "Keepers that ended and were replaced.", (VOLUME,)),
    Metric(
        "edge_config_reloads_total",
        _C,
        "Reloads of the configuration.",
        (Label("result", ("ok", "refused")),),
    ),
    Metric("edge_purges_total", _C, "Purges asked of this node.", (Label("result", ("done", "failed")),)),
    Metric(
        "edge_purge_lag_seconds", _G, "For so long the oldest order of the fleet has been waiting here, or may have."
    ),
    Metric("edge_fleet_connected", _G, "1 while this node takes part in its fleet."),
    Metric(
        "edge_fleet_orders_total",
        _C,
        "Orders of the fleet, by what became of them; lost: some may be, so that all that is stored was made stale.",
        (Label("result", ("done", "own", "refused", "forged", "lost")),),
    ),
    Metric("edge_config_last_reload_success", _G, "1 if the last reload was taken up."),
    Metric("edge_config_last_reload_success_timestamp_seconds", _G, "When the configuration was last taken up."),
    Metric(
        "edge_tls_certificate_expiry_timestamp_seconds",
        _G,
        "When a certificate ends, by its place in the configuration (0 = the first one).",
        (Label("certificate"),),
    ),
    Metric("edge_log_dropped_total", _C, "Lines of the access log dropped under pressure."),
    Metric(
        "edge_metric_series_refused_total",
        _C,
        "Times that a series found no room, or was none of the catalogue's.",
    ),
    Metric(
        "edge_build_info",
        _G,
        "Always 1; the labels tell the versions.",
        ("version", "python"),
        shared=True,
        lasting=True,
    ),
)

CATALOGUE: Final = PLAYERS + CACHE + UPSTREAMS + EXPERIENCE + PROCESSES
BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
