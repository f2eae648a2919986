"""Metric cells in shared memory: found again, bounded, robust."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from edge.observe import slots
from edge.observe.catalogue import BY_NAME, CATALOGUE
from edge.observe.slots import DIRECTORY, SINK, SINK_END, SlotReader, SlotWriter, create_slot_file

METHODS = "edge_http_methods_total"
REQUESTS = "edge_http_requests_total"
REFUSED = "edge_metric_series_refused_total"


@pytest.fixture(name="fd")
def _fd() -> Iterator[int]:
    fd = create_slot_file("test")
    yield fd
    os.close(fd)


def read(fd: int) -> dict[tuple[str, ...], object]:
    return {(metric.name, *labels): value for metric, labels, value in SlotReader(fd)}


def test_a_reader_sees_counters_gauges_and_histograms_of_another_mapping(fd: int) -> None:
    writer = SlotWriter(fd)
    writer.counts[writer.cell(METHODS, "GET")] += 3
    writer.values[writer.cell("edge_flights")] = 2.5
    lag = writer.cell("edge_event_loop_lag_seconds", "worker")
    width = BY_NAME["edge_event_loop_lag_seconds"].width
    writer.counts[lag + 1] += 4
    writer.values[lag + width - 1] += 0.008
    found = read(fd)
    assert found[METHODS, "GET"] == 3
    assert found[("edge_flights",)] == 2.5
    assert found["edge_event_loop_lag_seconds", "worker"] == (0, 4, *[0] * (width - 3), 0.008)


def test_a_series_keeps_its_cell_and_shares_it_with_no_other(fd: int) -> None:
    writer = SlotWriter(fd)
    taken: set[int] = set()
    for metric in CATALOGUE:
        for number in range(3):
            labels = [f"{label.name}{number}" for label in metric.labels]
            cell = writer.cell(metric.name, *labels)
            assert writer.cell(metric.name, *labels) == cell
            if metric.labels or number == 0:
                cells = set(range(cell, cell + metric.width))
                assert not cells & taken
                taken |= cells
    assert min(taken) >= SINK_END


def test_counters_go_on_in_a_successor_and_gauges_of_the_dead_are_cleared_unless_they_last(fd: int) -> None:
    first = SlotWriter(fd)
    first.counts[first.cell(METHODS, "GET")] += 3
    first.values[first.cell("edge_process_cpu_seconds_total", "worker")] += 1.5
    first.values[first.cell("edge_http_connections", "active")] = 7
    first.values[first.cell("edge_cache_size_bytes", "cache")] = 9e9
    second = SlotWriter(fd)
    second.counts[second.cell(METHODS, "GET")] += 1
    second.counts[second.cell(METHODS, "HEAD")] += 1
    found = read(fd)
    assert (found[METHODS, "GET"], found[METHODS, "HEAD"]) == (4, 1)
    assert found["edge_process_cpu_seconds_total", "worker"] == 1.5
    assert found["edge_http_connections", "active"] == 0
    assert found["edge_cache_size_bytes", "cache"] == 9e9


def test_a_reader_finds_series_that_were_added_after_its_last_look(fd: int) -> None:
    writer, reader = SlotWriter(fd), SlotReader(fd)
    assert [metric.name for metric, _, _ in reader] == [REFUSED]
    writer.cell(METHODS, "GET")
    assert [(metric.name, labels) for metric, labels, _ in reader] == [(METHODS, ("GET",)), (REFUSED, ())]
    writer.cell(METHODS, "HEAD")
    assert [labels for _, labels, _ in reader] == [("GET",), ("HEAD",), ()]


def test_an_entry_written_up_to_any_byte_but_its_length_is_not_there(fd: int) -> None:
    writer = SlotWriter(fd)
    writer.counts[writer.cell(METHODS, "GET")] += 1
    start = writer._end
    writer.counts[writer.cell(METHODS, "HEAD")] += 5
    entry = os.pread(fd, writer._end - start, start)
    for written in range(2, len(entry) + 1):
        os.pwrite(fd, (b"\0\0" + entry[2:written]).ljust(len(entry), b"\0"), start)
        assert set(read(fd)) == {(METHODS, "GET"), (REFUSED,)}
        successor = SlotWriter(fd)
        assert successor.counts[successor.cell(METHODS, "HEAD")] == 0  # not what the dead one left in the cell
        assert read(fd)[METHODS, "GET"] == 1


@pytest.mark.parametrize("byte", range(20))
def test_damage_costs_the_series_that_it_hits_and_no_other(fd: int, byte: int) -> None:
    writer = SlotWriter(fd)
    starts = []
    for site in ("one", "two", "three"):
        starts.append(writer._end)
        writer.counts[writer.cell(REQUESTS, site, "200", "segment")] += 1
    old = os.pread(fd, 1, starts[1] + byte)[0]
    os.pwrite(fd, bytes([old ^ 0x41]), starts[1] + byte)
    assert set(read(fd)) == {
        (REQUESTS, "one", "200", "segment"),
        (REQUESTS, "three", "200", "segment"),
        (REFUSED,),
    }
    successor = SlotWriter(fd)
    for site in ("one", "two", "three"):
        successor.counts[successor.cell(REQUESTS, site, "200", "segment")] += 1
    found = read(fd)
    assert [found[REQUESTS, site, "200", "segment"] for site in ("one", "two", "three")] == [2, 1, 2]


def test_a_file_of_garbage_is_begun_anew_and_read_as_empty_until_then(fd: int) -> None:
    os.pwrite(fd, b"\xee" * 4096, 0)
    assert list(SlotReader(fd)) == []
    writer = SlotWriter(fd)
    writer.counts[writer.cell(METHODS, "GET")] += 1
    assert read(fd) == {(METHODS, "GET"): 1, (REFUSED,): 0}


def test_entries_that_another_version_wrote_are_passed_over(fd: int) -> None:
    writer = SlotWriter(fd)
    for text in ("edge_gone_total\x1fGET", f"{METHODS}\x1fGET\x1fextra", "edge_event_loop_lag_seconds\x1fworker"):
        writer._write(text.encode(), writer._next, 1)
        writer._next += 1
    writer.counts[writer.cell(METHODS, "GET")] += 1
    assert read(fd) == {(METHODS, "GET"): 1, (REFUSED,): 0}


def test_what_the_catalogue_does_not_know_is_counted_and_not_kept(fd: int) -> None:
    writer = SlotWriter(fd)
    for name, labels in (("edge_unheard_of_total", ()), (METHODS, ()), (METHODS, ("GET", "more"))):
        cell = writer.cell(name, *labels)
        assert cell == SINK
        writer.counts[cell] += 1
    assert read(fd) == {(REFUSED,): 3}


def test_beyond_the_limit_of_series_increments_go_nowhere_and_are_counted(
    fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SERIES_LIMIT", 10)
    writer = SlotWriter(fd)
    for number in range(15):
        writer.counts[writer.cell(REQUESTS, f"site{number}", "200", "segment")] += 1
    found = read(fd)
    assert len(found) == 11
    assert found[(REFUSED,)] == 5
    refused = writer.cell("edge_event_loop_lag_seconds", "worker")
    width = BY_NAME["edge_event_loop_lag_seconds"].width
    writer.values[refused + width - 1] += 0.5
    writer.values[writer.cell("edge_flights")] = -1.0
    writer.counts[writer.cell(METHODS, "GET")] += 1 << 40  # a negative float's bits would overflow
    assert read(fd).keys() == found.keys()
    assert len(writer._cells) == 10  # what is refused is not remembered either


def test_a_full_directory_and_overlong_labels_are_refused_and_the_rest_goes_on(fd: int) -> None:
    writer = SlotWriter(fd)
    cell = writer.cell(METHODS, "GET")
    assert writer.cell(METHODS, "X" * 1001) == SINK
    writer._end = DIRECTORY - 8
    assert writer.cell(METHODS, "HEAD") == SINK
    writer.counts[cell] += 2
    assert read(fd) == {(METHODS, "GET"): 2, (REFUSED,): 2}


def test_labels_hold_anything_but_the_separator(fd: int) -> None:
    writer = SlotWriter(fd)
    labels = ["", "фильмы", 'a"\\\n', "a\x1fb", "\udc80"]
    for number, label in enumerate(labels, 1):
        writer.counts[writer.cell(REQUESTS, label, "200", "segment")] += number
    found = {key[1]: value for key, value in read(fd).items() if key[0] == REQUESTS}
    assert found == {"": 1, "фильмы": 2, 'a"\\\n': 3, "a b": 4, "?": 5}


def test_threads_that_add_series_at_once_give_no_cell_twice(fd: int) -> None:
    writer = SlotWriter(fd)
    start = threading.Barrier(4)
    given: list[list[int]] = [[] for _ in range(4)]

    def add(number: int) -> None:
        start.wait()
        given[number] = [writer.cell(REQUESTS, f"{number % 2}-{i}", "200", "segment") for i in range(500)]

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given[0] == given[2]
    assert given[1] == given[3]
    assert len({*given[0], *given[1]}) == 1000
    assert len(read(fd)) == 1001


VICTIM = """
import itertools, sys
from edge.observe.slots import SlotWriter
writer = SlotWriter(int(sys.argv[1]))
print("up", flush=True)
for number in itertools.count():
    writer.counts[writer.cell("edge_http_methods_total", "GET")] += 1
    writer.cell("edge_http_requests_total", f"site{number}", "200", "segment")
"""


def test_a_process_killed_while_counting_leaves_its_counters_to_a_successor(fd: int) -> None:
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(fd)], pass_fds=(fd,), stdout=subprocess.PIPE, cwd=os.getcwd()
    )
    assert victim.stdout is not None
    with victim.stdout:
        assert victim.stdout.readline() == b"up\n"
        reader = SlotReader(fd)
        while sum(1 for _ in reader) < 500:
            assert victim.poll() is None
        victim.send_signal(signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    before = read(fd)
    sites = {key[1] for key in before if key[0] == REQUESTS}
    assert sites == {f"site{number}" for number in range(len(sites))}
    assert int(str(before[METHODS, "GET"])) >= 498
    successor = SlotWriter(fd)
    successor.counts[successor.cell(METHODS, "GET")] += 1
    after = read(fd)
    assert int(str(after[METHODS, "GET"])) == int(str(before[METHODS, "GET"])) + 1
    assert after.keys() == before.keys()


def test_the_sink_is_wider_than_any_histogram() -> None:
    assert max(metric.width for metric in CATALOGUE) <= SINK_END - SINK - 1
