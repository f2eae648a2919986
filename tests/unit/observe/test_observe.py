"""Metric cells, rendering, the access log."""

import os

from prometheus_client.parser import text_string_to_metric_families

from edge.observe.catalogue import CATALOGUE, reference
from edge.observe.meters import Meters, UpstreamMeters
from edge.observe.render import Scrape
from edge.observe.slots import DIRECTORY, SlotReader, SlotWriter, create_slot_file
from edge.words import CacheStatus, Kind


def samples(scrape: Scrape) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = scrape.render().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_of_all_processes_are_summed_and_go_on_in_a_successor() -> None:
    files = [create_slot_file("a"), create_slot_file("b")]
    for fd in files:
        Meters(SlotWriter(fd)).request("films", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1000, 0.0001)
    Meters(SlotWriter(files[0])).request("films", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 500, 0.3)
    found = samples(Scrape([SlotReader(fd) for fd in files]))
    labels = (("code", "200"), ("kind", "segment"), ("site", "films"))
    assert found["edge_http_requests_total", labels] == 3
    status = (("site", "films"), ("status", "hit"), ("tier", "volume"))
    assert found["edge_cache_response_bytes_total", status] == 2500
    group = (("status_group", "hit"), ("tier", "volume"))
    assert found["edge_http_ttfb_seconds_count", group] == 3
    assert abs(found["edge_http_ttfb_seconds_sum", group] - 0.3002) < 1e-6
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.0005"), *group)] == 2
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.25"), *group)] == 2
    assert found["edge_http_ttfb_seconds_bucket", (("le", "0.5"), *group)] == 3
    for fd in files:
        os.close(fd)


def test_a_half_written_entry_and_a_full_directory_lose_nothing_else() -> None:
    fd = create_slot_file("a")
    writer = SlotWriter(fd)
    writer.counts[writer.cell("edge_http_methods_total", "GET")] += 1
    end = writer._end
    os.pwrite(fd, b"\x00\x00\x05\x00\x00\x00half", end)  # the length, written last, is not there
    again = SlotWriter(fd)
    assert again.cell("edge_http_methods_total", "GET") == writer.cell("edge_http_methods_total", "GET")
    for number in range(DIRECTORY // 1000 + 10):
        again.cell("edge_http_methods_total", "X" * 1000 + str(number))
    assert again.cell("edge_http_methods_total", "no room" * 400) == 0
    again.counts[0] += 1
    assert next(cell[1] for cell in SlotReader(fd).cells()) == ("GET",)
    os.close(fd)


def test_sites_beyond_the_bound_are_counted_together() -> None:
    fd = create_slot_file("a")
    meters = Meters(SlotWriter(fd))
    for number in range(250):
        meters.request(f"site{number}", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1, 0.001)
    found = samples(Scrape([SlotReader(fd)]))
    sites = {dict(labels)["site"] for name, labels in found if name == "edge_http_requests_total"}
    assert len(sites) == 201
    assert "other" in sites
    os.close(fd)


def test_small_families_are_zero_from_the_start_and_what_is_shared_is_not_summed() -> None:
    files = [create_slot_file("a"), create_slot_file("b")]
    for fd in files:
        Meters(SlotWriter(fd)).gauge("edge_build_info", "1", "3.11", to=1)
    found = samples(Scrape([SlotReader(fd) for fd in files]))
    assert found["edge_worker_restarts_total", ()] == 0
    assert found["edge_build_info", (("python", "3.11"), ("version", "1"))] == 1
    for fd in files:
        os.close(fd)


def test_upstreams_are_counted_by_member() -> None:
    fd = create_slot_file("a")
    slots = SlotWriter(fd)
    upstream = UpstreamMeters(Meters(slots), slots, "origin", "a:80")
    upstream.request(200)
    upstream.bytes(100)
    upstream.error("stalled")
    upstream.retry()
    upstream.ttfb(0.2)
    upstream.connected(0.1)
    found = samples(Scrape([SlotReader(fd)]))
    member = (("member", "a:80"), ("upstream", "origin"))
    assert found["edge_upstream_retries_total", member] == 1
    assert found["edge_upstream_errors_total", (("member", "a:80"), ("reason", "stalled"), ("upstream", "origin"))] == 1
    os.close(fd)


def test_the_catalogue_is_sound_and_its_reference_complete() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.name.startswith("edge_")
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric.name
        assert bool(metric.buckets) == (metric.type == "histogram")
        assert f"`{metric.name}`" in reference()
