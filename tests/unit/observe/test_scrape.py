"""`/metrics`: all processes together, in a form that Prometheus takes."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.observe.catalogue import CATALOGUE, ZERO_LIMIT
from edge.observe.meters import FillMeters, Meters, UpstreamMeters
from edge.observe.metric import Type
from edge.observe.render import Scrape
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.words import CacheStatus, Eviction, Kind, Reason

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(name="files")
def _files() -> Iterator[list[int]]:
    files = [create_slot_file(f"test-{number}") for number in range(5)]
    yield files
    for fd in files:
        os.close(fd)


def scrape(files: list[int]) -> bytes:
    return Scrape([SlotReader(fd) for fd in files]).render()


def samples(files: list[int]) -> Found:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(scrape(files).decode())
        for sample in family.samples
    }


def of(found: Found, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    return {labels: value for (metric, labels), value in found.items() if metric == name}


def busy(fd: int, sites: int = 100) -> None:
    """A worker whose sites have had every code and kind, and both statuses."""
    meters = Meters(SlotWriter(fd))
    for site in range(sites):
        for code in (200, 206, 304, 403, 404, 416, 502, 504):
            for kind in Kind:
                meters.request(f"site{site}", code, kind, b"GET", CacheStatus.HIT, 1, 0.1)


def test_counters_and_histograms_of_all_processes_are_summed(files: list[int]) -> None:
    for fd in files[:2]:
        Meters(SlotWriter(fd)).request("films", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1000, 0.0001)
    Meters(SlotWriter(files[0])).request("films", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 500, 0.3)
    found = samples(files)
    assert found["edge_http_requests_total", (("code", "200"), ("kind", "segment"), ("site", "films"))] == 3
    status = (("site", "films"), ("status", "hit"), ("tier", "volume"))
    assert found["edge_cache_response_bytes_total", status] == 2500
    group = (("status_group", "hit"), ("tier", "volume"))
    assert found["edge_http_ttfb_seconds_count", group] == 3
    assert found["edge_http_ttfb_seconds_sum", group] == pytest.approx(0.3002)
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.0005"), *group)] == 2
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.25"), *group)] == 2
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.5"), *group)] == 3
    assert found["edge_http_ttfb_seconds_bucket", (("le", "+Inf"), *group)] == 3


def test_gauges_of_processes_are_summed_except_where_all_say_the_same(files: list[int]) -> None:
    for number, fd in enumerate(files):
        meters = Meters(SlotWriter(fd))
        meters.gauge("edge_http_connections", "active", to=number)
        meters.gauge("edge_build_info", "1", "3.11", to=1)
        meters.gauge("edge_tls_send_path", "ktls", to=1)
    found = samples(files)
    assert found["edge_http_connections", (("state", "active"),)] == 10
    assert found["edge_build_info", (("python", "3.11"), ("version", "1"))] == 1
    assert found["edge_tls_send_path", (("path", "ktls"),)] == 1


def test_small_families_of_known_labels_start_at_zero(files: list[int]) -> None:
    found = samples(files[:1])
    assert of(found, "edge_config_reloads_total") == {(("result", "ok"),): 0, (("result", "refused"),): 0}
    assert of(found, "edge_log_dropped_total") == {(): 0}
    assert len(of(found, "edge_client_aborts_total")) == 4
    assert len(of(found, "edge_http_ttfb_seconds_count")) == 8
    assert set(of(found, "edge_http_ttfb_seconds_bucket").values()) == {0}
    assert of(found, "edge_http_requests_total") == {}
    assert of(found, "edge_cache_evictions_total") == {}


def test_families_of_a_volume_or_an_upstream_start_when_anything_names_it(files: list[int]) -> None:
    Meters(SlotWriter(files[0])).gauge("edge_cache_size_bytes", "cache", to=1)
    meters = Meters(SlotWriter(files[1]))
    UpstreamMeters(meters, meters.slots, "origin", "a:80").ttfb(0.1)
    found = samples(files)
    assert len(of(found, "edge_cache_evictions_total")) == len(Eviction)
    assert of(found, "edge_keeper_restarts_total") == {(("volume", "cache"),): 0}
    assert of(found, "edge_upstream_retries_total") == {(("member", "a:80"), ("upstream", "origin")): 0}
    assert of(found, "edge_upstream_connect_seconds_count") == {(("upstream", "origin"),): 0}
    assert len(of(found, "edge_upstream_errors_total")) == len(Reason)
    assert of(found, "edge_upstream_connections") == {}, "gauges are their owners'"
    assert of(found, "edge_cache_max_size_bytes") == {}


def test_a_family_that_would_be_large_does_not_start_at_zero(files: list[int]) -> None:
    meters = Meters(SlotWriter(files[0]))
    for number in range(ZERO_LIMIT // 15 + 1):
        UpstreamMeters(meters, meters.slots, "origin", f"m{number}:80").request(200)
    found = samples(files)
    assert of(found, "edge_upstream_errors_total") == {}
    assert len(of(found, "edge_upstream_retries_total")) == ZERO_LIMIT // 15 + 1


def test_what_found_no_room_is_reported(files: list[int]) -> None:
    Meters(SlotWriter(files[0])).count("edge_unheard_of_total")
    Meters(SlotWriter(files[1])).count("edge_unheard_of_total")
    assert samples(files)["edge_metric_series_refused_total", ()] == 2


def test_labels_from_configurations_are_escaped(files: list[int]) -> None:
    name = 'si"te\\with\nall — фильмы'
    Meters(SlotWriter(files[0])).request(name, 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1, 0.1)
    assert {dict(labels)["site"] for labels in of(samples(files), "edge_http_requests_total")} == {name}


def test_every_family_is_announced_with_its_type_and_help(files: list[int]) -> None:
    text = scrape(files).decode()
    for metric in CATALOGUE:
        assert f"# TYPE {metric.name} {metric.type}\n" in text
        assert f"# HELP {metric.name} {metric.help}\n" in text


def test_successive_scrapes_never_fall(files: list[int]) -> None:
    readers = [SlotReader(fd) for fd in files]
    rendered = Scrape(readers)
    before: dict[str, float] = {}
    for _ in range(4):
        for fd in files[:2]:  # a process that dies after each scrape
            busy(fd, sites=2)
        after = {
            f"{sample.name}{sorted(sample.labels.items())}": sample.value
            for family in text_string_to_metric_families(rendered.render().decode())
            if family.type != "gauge"
            for sample in family.samples
        }
        assert all(after[key] >= value for key, value in before.items())
        assert after != before
        before = after


def test_promtool_has_nothing_to_say(files: list[int]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: `promtool check metrics` was not run")
    busy(files[0], sites=2)
    meters = Meters(SlotWriter(files[1]))
    upstream = UpstreamMeters(meters, meters.slots, "origin", "a:80")
    upstream.request(200)
    upstream.connected(0.1)
    FillMeters(meters).collapsed("site0", "shared")
    meters.gauge("edge_cache_size_bytes", "cache", to=5e9)
    meters.throughput(Kind.MP4, 1 << 20, 0.1)
    for metric in CATALOGUE:
        if metric.type is Type.GAUGE:
            meters.gauge(metric.name, *(label.values[0] if label.values else "x" for label in metric.labels), to=1)
    checked = subprocess.run([promtool, "check", "metrics"], input=scrape(files), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_a_scrape_of_a_hundred_busy_sites_takes_a_fraction_of_a_second(files: list[int]) -> None:
    """Some 30 ms of processor time with five such processes; the limit leaves room for slower machines."""
    for fd in files:
        busy(fd)
    rendered = Scrape([SlotReader(fd) for fd in files])
    assert rendered.render().count(b"edge_http_requests_total{") == 100 * 8 * 9
    spent = []
    for _ in range(3):
        before = time.thread_time()
        rendered.render()
        spent.append(time.thread_time() - before)
    assert min(spent) < 0.3
