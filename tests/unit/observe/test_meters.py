"""What processes count, cell by cell."""

import asyncio
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.observe import meters as under_test
from edge.observe.catalogue import BY_NAME, TTFB, Tier
from edge.observe.meters import MAX_SITES, FillMeters, Histogram, Meters, UpstreamMeters, code_label, measure_lag
from edge.observe.process import ProcessMeters
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.words import KIB, CacheStatus, Kind


@pytest.fixture(name="fd")
def _fd() -> Iterator[int]:
    fd = create_slot_file("test")
    yield fd
    os.close(fd)


@pytest.fixture(name="meters")
def _meters(fd: int) -> Meters:
    return Meters(SlotWriter(fd))


def read(fd: int) -> dict[tuple[str, ...], object]:
    """All series that are not 0."""
    found = {(metric.name, *labels): value for metric, labels, value in SlotReader(fd)}
    return {key: value for key, value in found.items() if value and value != (0,) * 16}


def test_an_answer_is_counted_once_in_each_family(fd: int, meters: Meters) -> None:
    meters.request("films", 206, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1000, 0.0001)
    meters.request("films", 206, Kind.SEGMENT, b"GET", CacheStatus.HIT, 500, 0.3)
    found = read(fd)
    histogram = found.pop(("edge_http_ttfb_seconds", "hit", "volume"))
    assert isinstance(histogram, tuple)
    assert (histogram[0], histogram[TTFB.index(0.5)], sum(histogram[:-1])) == (1, 1, 2)
    assert histogram[-1] == pytest.approx(0.3001)
    assert found == {
        ("edge_http_requests_total", "films", "206", "segment"): 2,
        ("edge_http_methods_total", "GET"): 2,
        ("edge_cache_requests_total", "films", "hit", "volume"): 2,
        ("edge_cache_response_bytes_total", "films", "hit", "volume"): 1500,
        ("edge_http_response_bytes_total", "films", "segment"): 1500,
    }


def test_the_tier_is_told_or_follows_from_the_status(fd: int, meters: Meters) -> None:
    for status in CacheStatus:
        meters.request("s", 200, Kind.OTHER, b"GET", status, 1, 0.1)
    meters.request("s", 200, Kind.OTHER, b"GET", CacheStatus.MISS, 1, 0.1, Tier.SHIELD)
    found = {key[2:] for key in read(fd) if key[0] == "edge_cache_requests_total"}
    volume, origin = ("hit", "stale", "updating", "revalidated"), ("miss", "expired", "bypass")
    expected = {(status, "volume") for status in volume} | {(status, "origin") for status in origin}
    assert found == expected | {("miss", "shield")}


def test_more_bytes_of_an_answer_count_where_they_came_from_and_make_no_answer_more(fd: int, meters: Meters) -> None:
    meters.request("s", 206, Kind.MP4, b"GET", CacheStatus.HIT, 100, 0.1)
    meters.more_bytes("s", Kind.MP4, CacheStatus.HIT, Tier.SHIELD, 30)
    found = read(fd)
    assert found["edge_cache_response_bytes_total", "s", "hit", "volume"] == 100
    assert found["edge_cache_response_bytes_total", "s", "hit", "shield"] == 30
    assert found["edge_http_response_bytes_total", "s", "mp4"] == 130
    assert found["edge_cache_requests_total", "s", "hit", "volume"] == 1
    assert ("edge_cache_requests_total", "s", "hit", "shield") not in found


def test_methods_and_codes_that_nobody_has_heard_of_are_counted_together(fd: int, meters: Meters) -> None:
    for number in range(50):
        meters.request("s", 900 + number, Kind.OTHER, b"M%d" % number, CacheStatus.MISS, 0, 0.1)
    meters.request("s", 204, Kind.OTHER, b"OPTIONS", CacheStatus.BYPASS, 0, 0.0)
    found = read(fd)
    assert found["edge_http_methods_total", "other"] == 50
    assert found["edge_http_methods_total", "OPTIONS"] == 1
    assert found["edge_http_requests_total", "s", "other", "other"] == 50
    assert [code_label(code) for code in (99, 100, 599, 600, -1)] == ["other", "100", "599", "other", "other"]


def test_sites_beyond_the_bound_are_counted_together_and_early_ones_stay_apart(fd: int, meters: Meters) -> None:
    for _ in range(2):
        for number in range(MAX_SITES + 50):
            meters.request(f"site{number}", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1, 0.001)
    found = {key[1]: value for key, value in read(fd).items() if key[0] == "edge_http_requests_total"}
    assert len(found) == MAX_SITES + 1
    assert found["site0"] == 2
    assert found["other"] == 100


def test_what_is_remembered_is_bounded_and_counting_goes_on_without(
    fd: int, meters: Meters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "MEMORY_LIMIT", 3)
    for code in (200, 206, 304, 404, 404):
        meters.request("s", code, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1, 0.001)
    assert len(meters._requests) == 3
    assert read(fd)["edge_http_requests_total", "s", "404", "segment"] == 2


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (0.0005, 0), (0.00051, 1), (10.0, 13), (10.01, 14), (math.inf, 14)]
)
def test_a_value_falls_into_the_first_bucket_whose_bound_it_does_not_exceed(
    fd: int, meters: Meters, value: float, bucket: int
) -> None:
    Histogram(meters.slots, "edge_upstream_ttfb_seconds", "origin").observe(value)
    found = read(fd)["edge_upstream_ttfb_seconds", "origin"]
    assert isinstance(found, tuple)
    assert found.index(1) == bucket
    assert found[-1] == value


@pytest.mark.parametrize("value", [-1e9, -0.0001, math.nan])
def test_a_sum_never_falls_and_never_turns_into_no_number(fd: int, meters: Meters, value: float) -> None:
    histogram = Histogram(meters.slots, "edge_upstream_ttfb_seconds", "origin")
    histogram.observe(0.25)
    histogram.observe(value)
    found = read(fd)["edge_upstream_ttfb_seconds", "origin"]
    assert isinstance(found, tuple)
    assert (found[0], found[-1]) == (1, 0.25)


def test_the_throughput_of_large_bodies_only_is_measured(fd: int, meters: Meters) -> None:
    meters.throughput(Kind.SEGMENT, 256 * KIB - 1, 0.1)
    meters.throughput(Kind.SEGMENT, 256 * KIB, 0.0)
    assert read(fd) == {}
    meters.throughput(Kind.SEGMENT, 2_500_000, 1.0)
    meters.throughput(Kind.SEGMENT, 2_500_000, 2.0)
    found = read(fd)["edge_http_response_throughput_bytes_per_second", "segment"]
    assert isinstance(found, tuple)
    assert (found[3], found[4], found[-1]) == (1, 1, 3_750_000)


def test_gauges_are_set_and_counters_are_added_to(fd: int, meters: Meters) -> None:
    meters.gauge("edge_http_connections", "active", to=5)
    meters.gauge("edge_http_connections", "active", to=3)
    meters.count("edge_cache_admissions_total", "cache", "admitted", by=4)
    meters.count("edge_cache_admissions_total", "cache", "admitted")
    assert read(fd) == {("edge_http_connections", "active"): 3, ("edge_cache_admissions_total", "cache", "admitted"): 5}


def test_an_upstream_is_counted_by_member_and_its_waits_together(fd: int, meters: Meters) -> None:
    members = [UpstreamMeters(meters, meters.slots, "origin", name) for name in ("a:80", "b:80")]
    for member in members:
        member.connected(0.1)
        member.request(200)
        member.request(7)
        member.ttfb(0.2)
        member.bytes(100)
        member.error("stalled")
        member.retry()
    found = read(fd)
    for name in ("a:80", "b:80"):
        assert found["edge_upstream_requests_total", "origin", name, "200"] == 1
        assert found["edge_upstream_requests_total", "origin", name, "other"] == 1
        assert found["edge_upstream_bytes_total", "origin", name, "received"] == 100
        assert found["edge_upstream_errors_total", "origin", name, "stalled"] == 1
        assert found["edge_upstream_retries_total", "origin", name] == 1
    for metric, seconds in (("edge_upstream_ttfb_seconds", 0.4), ("edge_upstream_connect_seconds", 0.2)):
        histogram = found[metric, "origin"]
        assert isinstance(histogram, tuple)
        assert sum(histogram[:-1]) == 2
        assert histogram[-1] == pytest.approx(seconds)


def test_fills_are_counted_with_as_many_sites_as_answers_are(fd: int, meters: Meters) -> None:
    fill = FillMeters(meters)
    for number in range(MAX_SITES + 2):
        fill.collapsed(f"site{number}", "shared")
    fill.corrupt("corrupt")
    found = read(fd)
    assert found["edge_cache_collapsed_requests_total", "other", "shared"] == 2
    assert found["edge_cache_corrupt_total", "corrupt"] == 1


class SlowLoopClock(FakeClock):
    """Each look at it finds 130 ms gone: 30 more than were slept."""

    def monotonic(self) -> float:
        self.advance(0.03 + 0.1)
        return super().monotonic()


async def test_the_lateness_of_timers_and_what_the_process_costs_are_sampled(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = 0

    async def sleep(seconds: float) -> None:
        nonlocal ticks
        ticks += 1
        assert seconds == 0.1
        if ticks > 25:
            raise asyncio.CancelledError

    monkeypatch.setattr(under_test.asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await measure_lag(SlotWriter(fd), "worker", SlowLoopClock())
    found = read(fd)
    lag = found["edge_event_loop_lag_seconds", "worker"]
    assert isinstance(lag, tuple)
    assert lag[BY_NAME["edge_event_loop_lag_seconds"].buckets.index(0.05)] == 25
    assert lag[-1] == pytest.approx(25 * 0.03)
    assert found["edge_process_resident_memory_bytes", "worker"] > 1_000_000  # type: ignore[operator]
    assert found["edge_process_cpu_seconds_total", "worker"] > 0  # type: ignore[operator]


def test_processor_time_goes_on_in_a_successor(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = 2.0
    monkeypatch.setattr("edge.observe.process.time.process_time", lambda: spent)
    first = ProcessMeters(SlotWriter(fd), "worker")
    first.sample()
    spent = 3.0
    first.sample()
    spent = 0.5
    ProcessMeters(SlotWriter(fd), "worker").sample()
    assert read(fd)["edge_process_cpu_seconds_total", "worker"] == 3.5


def test_a_machine_without_proc_keeps_its_other_metrics(fd: int, tmp_path: Path) -> None:
    ProcessMeters(SlotWriter(fd), "worker", tmp_path / "absent").sample()
    (tmp_path / "statm").write_text("odd")
    ProcessMeters(SlotWriter(fd), "worker", tmp_path).sample()
    assert set(read(fd)) == {("edge_process_cpu_seconds_total", "worker")}
