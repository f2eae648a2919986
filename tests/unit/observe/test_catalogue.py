"""The catalogue: sound, bounded, and what the program counts is in it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.observe import reference
from edge.observe.catalogue import BY_NAME, CATALOGUE, METHODS, ZERO_LIMIT, Tier
from edge.observe.metric import Type
from edge.server.exchange import Outcome
from edge.server.observer import Event
from edge.words import CacheStatus

ROOT = Path(__file__).parents[3]


def values_of(metric: str, label: str) -> set[str]:
    return next(set(found.values) for found in BY_NAME[metric].labels if found.name == label)


def test_names_types_units_and_buckets_agree() -> None:
    assert len(BY_NAME) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.startswith("edge_")
        assert metric.name.endswith("_total") == (metric.type is Type.COUNTER), metric.name
        assert bool(metric.buckets) == (metric.type is Type.HISTOGRAM), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert len(set(metric.label_names)) == len(metric.labels), metric.name
        assert metric.help.endswith("."), metric.name
        assert not metric.lasting or metric.type is Type.GAUGE
        assert not metric.shared or metric.type is Type.GAUGE, "counts of processes are summed"


def test_no_label_is_what_outsiders_choose_and_closed_ones_stay_small() -> None:
    allowed = {"site", "code", "volume", "upstream", "member", "worker", "version", "python"}
    allowed |= {"certificate"}  # its place in the configuration
    for metric in CATALOGUE:
        assert set(metric.open_labels) <= allowed, metric.name
        size = 1
        for label in metric.labels:
            size *= len(label.values) or 1
            assert len(set(label.values)) == len(label.values)
        assert size <= ZERO_LIMIT, metric.name


# What dashboards and rules of this field expect of a cache's metrics: names and labels.
FIELD = {
    "edge_http_requests_total": "site code kind",
    "edge_http_methods_total": "method",
    "edge_cache_requests_total": "site status tier",
    "edge_cache_response_bytes_total": "site status tier",
    "edge_cache_collapsed_requests_total": "site result",
    "edge_http_ttfb_seconds": "status_group tier",
    "edge_http_response_throughput_bytes_per_second": "kind",
    "edge_http_inflight_requests": "",
    "edge_http_connections": "state",
    "edge_upstream_requests_total": "upstream member code",
    "edge_upstream_bytes_total": "upstream member direction",
    "edge_upstream_ttfb_seconds": "upstream",
    "edge_upstream_connect_seconds": "upstream",
    "edge_upstream_retries_total": "upstream member",
    "edge_upstream_errors_total": "upstream member reason",
    "edge_upstream_up": "upstream member",
    "edge_circuit_breaker_state": "upstream member state",
    "edge_cache_size_bytes": "volume",
    "edge_cache_max_size_bytes": "volume",
    "edge_cache_objects": "volume",
    "edge_cache_evictions_total": "volume reason",
    "edge_cache_evicted_bytes_total": "volume reason",
    "edge_cache_admissions_total": "volume decision",
    "edge_cache_index_load_progress_ratio": "volume",
    "edge_cache_cold": "volume",
    "edge_client_aborts_total": "reason",
    "edge_slow_client_disconnects_total": "reason",
    "edge_purge_lag_seconds": "",
    "edge_cmcd_rebuffer_events_total": "site stream",
    "edge_cmcd_buffer_starvation_total": "site stream",
    "edge_keeper_restarts_total": "volume",
    "edge_tls_send_path": "path",
    "edge_log_dropped_total": "",
    "edge_link_capacity_bytes_per_second": "",
    "edge_event_loop_lag_seconds": "process",
    "edge_executor_queue_depth": "executor",
    "edge_worker_restarts_total": "worker",
    "edge_config_last_reload_success": "",
    "edge_config_last_reload_success_timestamp_seconds": "",
    "edge_build_info": "version python",
}


def test_what_the_field_expects_is_there_under_its_name_with_its_labels() -> None:
    found = {name: " ".join(BY_NAME[name].label_names) if name in BY_NAME else None for name in FIELD}
    assert found == FIELD


def test_objectives_lie_on_bucket_edges() -> None:
    assert {0.025, 0.25} <= set(BY_NAME["edge_http_ttfb_seconds"].buckets)


def test_combinations_put_known_values_in_the_places_of_open_labels() -> None:
    assert BY_NAME["edge_http_connections"].combinations() == (("active",), ("idle",))
    found = BY_NAME["edge_upstream_bytes_total"].combinations(("origin", "a:80"))
    assert found == (("origin", "a:80", "received"), ("origin", "a:80", "sent"))
    assert BY_NAME["edge_flights"].combinations() == ((),)


def test_what_the_server_reports_is_what_the_labels_say() -> None:
    slow = {Event.SLOW_READER.value, Event.HEAD_TIMEOUT.value}
    assert values_of("edge_slow_client_disconnects_total", "reason") == slow
    rest = {event.value for event in Event} - slow - {Event.CLIENT_LEFT.value}
    assert values_of("edge_http_connection_events_total", "event") == rest
    assert values_of("edge_client_aborts_total", "reason") == {out.value for out in Outcome} - {Outcome.DONE.value}
    assert values_of("edge_cache_requests_total", "status") == {status.value for status in CacheStatus}
    assert values_of("edge_cache_requests_total", "tier") == {tier.value for tier in Tier}
    assert values_of("edge_http_methods_total", "method") == set(METHODS)


COUNTING = {"count", "gauge", "observe", "cell", "Histogram"}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "edge").rglob("*.py")):
        yield path.name, ast.parse(path.read_text())


def calls_that_count() -> Iterator[tuple[str, str, list[ast.expr]]]:
    """(where, metric, label arguments) of each call of the program that counts in a metric it names itself."""
    for name, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in COUNTING:
                for at, argument in enumerate(node.args):
                    if isinstance(argument, ast.Constant) and str(argument.value).startswith("edge_"):
                        yield f"{name}:{node.lineno}", str(argument.value), node.args[at + 1 :]


def test_every_metric_that_the_program_counts_has_the_catalogues_labels() -> None:
    counted = set()
    for where, name, labels in calls_that_count():
        metric = BY_NAME[name]
        counted.add(name)
        if not any(isinstance(label, ast.Starred) for label in labels):
            assert len(labels) == len(metric.labels), f"{where}: {name}"
        for label, argument in zip(metric.labels, labels, strict=False):
            if isinstance(argument, ast.Starred):
                break
            if isinstance(argument, ast.Constant) and label.values:
                assert argument.value in label.values, f"{where}: {name}"
    assert len(counted) >= 25


def test_every_metric_that_the_program_names_is_in_the_catalogue() -> None:
    for where, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and re.fullmatch(r"edge_[a-z_]+_(total|bytes|seconds)", str(node.value)):
                assert node.value in BY_NAME, f"{where}:{node.lineno}"


def test_every_metric_of_the_catalogue_is_counted_somewhere() -> None:
    named = {
        str(node.value)
        for where, tree in trees()
        if where not in ("catalogue.py", "main.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
    }
    assert set(BY_NAME) <= named


def test_the_reference_page_is_rendered_from_the_catalogue() -> None:
    text = reference.render()
    assert (ROOT / "deploy/METRICS.md").read_text() == text
    for metric in CATALOGUE:
        assert f"| `{metric.name}` | {metric.type} |" in text
    for _, metrics in reference.CHAPTERS:
        assert set(metrics) <= set(CATALOGUE)
    assert sum(len(metrics) for _, metrics in reference.CHAPTERS) == len(CATALOGUE)


def test_a_metric_says_how_wide_its_series_are_and_what_its_cells_hold() -> None:
    shapes: dict[str, Any] = {metric.name: (metric.width, metric.real) for metric in CATALOGUE}
    assert shapes["edge_http_requests_total"] == (1, False)
    assert shapes["edge_http_connections"] == (1, True)
    assert shapes["edge_process_cpu_seconds_total"] == (1, True)
    assert shapes["edge_http_ttfb_seconds"][0] == len(BY_NAME["edge_http_ttfb_seconds"].buckets) + 2
