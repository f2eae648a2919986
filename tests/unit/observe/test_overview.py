"""A node at a glance, from its cells and from a scrape alike."""

import io
import os
from collections.abc import Iterator
from typing import cast

import pytest
from rich.console import Console

from edge.cli.top import frame, rate, share, wait
from edge.observe.catalogue import TTFB, Tier
from edge.observe.meters import Meters, UpstreamMeters
from edge.observe.overview import ROWS_MOST, Order, Overview, Reading, overview
from edge.observe.render import Scrape
from edge.observe.scraped import read
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.words import CacheStatus, Kind


class Node:
    """One process's meters, and what is read of them."""

    def __init__(self, fd: int) -> None:
        self.meters = Meters(SlotWriter(fd))
        self.scrape = Scrape([SlotReader(fd)])

    def reading(self) -> Reading:
        return {name: dict(series) for name, series in self.scrape.reading().items()}


@pytest.fixture(name="node")
def _node() -> Iterator[Node]:
    fd = create_slot_file("test")
    yield Node(fd)
    os.close(fd)


def busy(node: Node) -> None:
    meters = node.meters
    for _ in range(8):
        meters.request("films", 200, Kind.SEGMENT, b"GET", CacheStatus.HIT, 1000, 0.0004)
    meters.request("films", 206, Kind.SEGMENT, b"GET", CacheStatus.MISS, 2000, 0.2)
    meters.request("series", 502, Kind.PLAYLIST, b"GET", CacheStatus.MISS, 0, 3.0)
    meters.request("series", 204, Kind.OTHER, b"OPTIONS", CacheStatus.BYPASS, 0, 0.0)
    upstream = UpstreamMeters(meters, meters.slots, "origin", "a:80")
    upstream.request(206)
    upstream.ttfb(0.18)
    upstream.bytes(2000)
    upstream.error("stalled")
    meters.gauge("edge_cache_size_bytes", "cache", to=5e9)
    meters.gauge("edge_cache_max_size_bytes", "cache", to=10e9)
    meters.gauge("edge_cache_objects", "cache", to=7)
    meters.count("edge_cache_written_bytes_total", "cache", by=4096)
    meters.gauge("edge_http_connections", "active", to=2)
    meters.gauge("edge_http_connections", "idle", to=3)


def test_rates_and_shares_are_those_of_the_time_between(node: Node) -> None:
    busy(node)
    before = node.reading()
    busy(node)
    seen = overview(before, node.reading(), 2.0)
    assert (seen.requests, seen.egress, seen.ingress, seen.errors) == (5.5, 5000.0, 1000.0, 0.5)
    assert seen.hit_ratio == pytest.approx(0.8), "what bypasses the cache is in no ratio"
    assert seen.byte_hit_ratio == pytest.approx(0.8)
    node.meters.more_bytes("films", Kind.SEGMENT, CacheStatus.HIT, Tier.SHIELD, 6000)
    assert overview(before, node.reading(), 2.0).byte_hit_ratio == pytest.approx(0.5), "those were not from here"
    assert (seen.connections, seen.inflight) == (5, 0)
    assert [(row.name, row.requests, row.bytes, row.errors) for row in seen.sites] == [
        ("films", 4.5, 5000.0, 0.0),
        ("series", 1.0, 0.0, 0.5),
    ]
    assert [row.hit_ratio for row in seen.sites] == [pytest.approx(8 / 9), 0.0]
    (upstream,) = seen.upstreams
    assert (upstream.name, upstream.requests, upstream.bytes, upstream.errors) == ("origin a:80", 0.5, 1000.0, 0.5)
    assert upstream.seconds == pytest.approx(0.18)
    (volume,) = seen.volumes
    assert (volume.size_bytes, volume.max_bytes, volume.objects, volume.written) == (5e9, 10e9, 7, 2048.0)
    assert {row.name for row in seen.kinds} == {"segment", "playlist", "other"}


def test_a_node_that_did_nothing_has_no_shares(node: Node) -> None:
    busy(node)
    reading = node.reading()
    seen = overview(reading, reading, 1.0)
    assert (seen.requests, seen.hit_ratio, seen.ttfb_hit_p50, seen.upstreams[0].seconds) == (0, None, None, None)
    empty = overview({}, {}, 0.0)
    assert (empty.requests, empty.sites, empty.volumes) == (0, (), ())


def test_a_server_that_began_anew_counts_from_its_start(node: Node) -> None:
    busy(node)
    after = node.reading()
    before = {name: dict.fromkeys(after[name], 10**6) for name in ("edge_http_requests_total",)}
    assert overview(before, after, 1.0).requests == 11


def test_quantiles_are_straight_lines_within_a_bucket(node: Node) -> None:
    before = node.reading()
    for value in (0.0002, 0.0002, 0.0008, 0.0008):
        node.meters.request("s", 200, Kind.OTHER, b"GET", CacheStatus.HIT, 1, value)
    seen = overview(before, node.reading(), 1.0)
    assert seen.ttfb_hit_p50 == pytest.approx(0.0005)
    assert seen.ttfb_hit_p99 == pytest.approx(0.0005 + 0.0005 * 0.98)
    node.meters.request("s", 200, Kind.OTHER, b"GET", CacheStatus.MISS, 1, 99.0)
    assert overview(before, node.reading(), 1.0).ttfb_miss_p50 == TTFB[-1], "beyond the last bound nobody knows"


def test_a_scrape_tells_the_same_as_the_cells(node: Node) -> None:
    busy(node)
    before, before_text = node.reading(), node.scrape.render().decode()
    busy(node)
    after, after_text = node.reading(), node.scrape.render().decode()
    scraped = overview(read(before_text), read(after_text), 2.0)
    assert scraped == overview(before, after, 2.0)
    histogram = cast("tuple[float, ...]", read(after_text)["edge_http_ttfb_seconds"]["hit", "volume"])
    assert histogram[:-1] == cast("tuple[float, ...]", after["edge_http_ttfb_seconds"]["hit", "volume"])[:-1]


def test_what_another_version_counts_is_left_out() -> None:
    assert read("# TYPE edge_new_total counter\nedge_new_total 5\n") == {}


def test_only_the_largest_sites_have_a_row(node: Node) -> None:
    before = node.reading()
    for number in range(50):
        node.meters.request(f"s{number}", 200, Kind.OTHER, b"GET", CacheStatus.HIT, number, 0.1)
    rows = overview(before, node.reading(), 1.0).sites
    assert [row.name for row in rows] == [f"s{number}" for number in range(49, 49 - ROWS_MOST, -1)]


@pytest.mark.parametrize(
    ("order", "sites", "upstreams"),
    [
        (Order.BIGGEST, ["big", "asked", "failing"], ["origin near:80", "origin2 far:80"]),
        (Order.BUSIEST, ["asked", "big", "failing"], ["origin near:80", "origin2 far:80"]),
        (Order.FAILING, ["failing", "big", "asked"], ["origin2 far:80", "origin near:80"]),
        (Order.SLOWEST, ["big", "asked", "failing"], ["origin2 far:80", "origin near:80"]),
    ],
)
def test_what_comes_first_can_be_chosen(node: Node, order: Order, sites: list[str], upstreams: list[str]) -> None:
    before = node.reading()
    for site, count, code, size in (("big", 2, 200, 5000), ("asked", 9, 200, 10), ("failing", 1, 502, 0)):
        for _ in range(count):
            node.meters.request(site, code, Kind.SEGMENT, b"GET", CacheStatus.HIT, size, 0.001)
    for name, member, count, seconds in (("origin", "near:80", 5, 0.01), ("origin2", "far:80", 2, 0.2)):
        upstream = UpstreamMeters(node.meters, node.meters.slots, name, member)
        for _ in range(count):
            upstream.request(200)
            upstream.ttfb(seconds)
            upstream.bytes(1000)
    upstream.error("stalled")
    seen = overview(before, node.reading(), 1.0, order)
    assert [row.name for row in seen.sites] == sites
    assert [row.name for row in seen.upstreams] == upstreams


def drawn(seen: Overview) -> str:
    paper = io.StringIO()
    Console(width=140, file=paper).print(frame(seen, "msk[1]:9180"))
    return paper.getvalue()


def test_a_frame_of_top_has_all_that_was_seen(node: Node) -> None:
    busy(node)
    node.meters.request("si[red]te", 200, Kind.OTHER, b"GET", CacheStatus.HIT, 10, 0.1)
    text = drawn(overview({}, node.reading(), 2.0))
    for word in (
        "msk[1]:9180",
        "requests/s",
        "81.8%",
        "films",
        "si[red]te",
        "origin a:80",
        "180.0 ms",
        "segment",
        "5.0 GB",
        "50.0%",
    ):
        assert word in text, text


def test_an_empty_frame_is_drawn_too() -> None:
    assert "hit ratio" in drawn(overview({}, {}, 1.0))


@pytest.mark.parametrize(
    ("bytes_a_second", "text"),
    [(0, "0 bit/s"), (124, "992 bit/s"), (125, "1.0 kbit/s"), (12.5e6, "100.0 Mbit/s"), (1.25e9, "10.0 Gbit/s")],
)
def test_rates_are_told_in_bits(bytes_a_second: float, text: str) -> None:
    assert rate(bytes_a_second) == text


def test_what_was_not_seen_is_a_dash() -> None:
    assert (share(None), wait(None), share(0.5), wait(0.0015), wait(2.5)) == ("-", "-", "50.0%", "1.5 ms", "2.50 s")
