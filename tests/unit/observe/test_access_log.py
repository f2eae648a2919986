"""The access log: every line is written or counted as dropped, and nobody waits for it."""

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.observe import access_log as under_test
from edge.observe.access_log import AccessLog
from edge.observe.lines import Line, LineWriter
from edge.observe.meters import Meters
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file

LINE = Line(
    1_700_000_000.123, "films", "203.0.113.77", b"GET", b"/a.ts", 1, 200, 100, 0.5, 0.01, "hit",
    "segment", False, False, None, None, None, None,
)  # fmt: skip
LENGTH = 240  # bytes of such a line, about


class Dropped:
    """Counts as a metric does, and remembers which threads told it."""

    def __init__(self) -> None:
        self.lines = 0

    def __call__(self, lines: int) -> None:
        self.lines += lines


class Pipe:
    """A small pipe in the place of standard output."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, blocking: bool) -> None:
        self.out, self._in = os.pipe()
        fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self._in, blocking)
        monkeypatch.setattr("sys.stdout", self)

    def fileno(self) -> int:
        return self._in

    def close(self) -> None:
        for fd in (self.out, self._in):
            os.close(fd)


def numbered(number: int) -> Line:
    return LINE._replace(status=number)


def statuses(text: str) -> list[int]:
    return [json.loads(line)["status"] for line in text.splitlines()]


def test_all_lines_are_in_the_file_in_their_order_after_close(tmp_path: Path) -> None:
    dropped = Dropped()
    log = AccessLog(str(tmp_path / "access.log"), LineWriter(), dropped)
    for number in range(1000):
        log.record(numbered(number))
    log.close()
    assert statuses((tmp_path / "access.log").read_text()) == list(range(1000))
    assert dropped.lines == 0
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o640


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    for number in (1, 2):
        log = AccessLog(str(tmp_path / "access.log"), LineWriter(), Dropped())
        log.record(numbered(number))
        log.close()
    assert statuses((tmp_path / "access.log").read_text()) == [1, 2]


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        AccessLog(str(tmp_path / "absent" / "access.log"), LineWriter(), Dropped())


def test_beyond_the_limit_lines_are_dropped_and_counted_and_the_early_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "WRITE_SECONDS", 60.0)
    dropped = Dropped()
    log = AccessLog(str(tmp_path / "access.log"), LineWriter(), dropped, queue_limit=10)
    for number in range(25):
        log.record(numbered(number))
    assert dropped.lines == 15
    log.close()
    assert statuses((tmp_path / "access.log").read_text()) == list(range(10))


def test_lines_are_written_while_requests_come(tmp_path: Path) -> None:
    fifo = tmp_path / "access.log"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(fifo), LineWriter(), Dropped())
    os.set_blocking(reading, True)
    log.record(numbered(7))
    assert statuses(os.read(reading, 65536).decode()) == [7]
    log.close()
    os.close(reading)


def test_after_a_rotation_the_log_goes_on_in_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(path), LineWriter(), Dropped())
    os.set_blocking(reading, True)
    log.record(numbered(1))
    assert statuses(os.read(reading, 65536).decode()) == [1]
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    log.record(numbered(2))
    log.close()
    assert statuses(path.read_text()) == [2]
    assert os.read(reading, 65536) == b""
    os.close(reading)


def test_a_rotation_that_fails_keeps_the_old_file_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "access.log"
    log = AccessLog(str(path), LineWriter(), Dropped())
    (tmp_path / "d").rename(tmp_path / "moved")
    log.reopen()
    log.record(numbered(1))
    with caplog.at_level(logging.ERROR):
        log.close()
    assert statuses((tmp_path / "moved" / "access.log").read_text()) == [1]
    assert len(caplog.records) == 1
    assert "No such file" in caplog.text


def test_a_full_disk_costs_the_lines_and_they_are_counted() -> None:
    dropped = Dropped()
    log = AccessLog("/dev/full", LineWriter(), dropped)
    for number in range(100):
        log.record(numbered(number))
    log.close()
    assert dropped.lines == 100


def test_a_line_that_cannot_be_written_down_costs_only_itself(tmp_path: Path) -> None:
    dropped = Dropped()
    log = AccessLog(str(tmp_path / "access.log"), LineWriter(), dropped)
    log.record(numbered(1))
    log.record(LINE._replace(time="yesterday"))  # type: ignore[arg-type]
    log.record(("too", "short"))  # type: ignore[arg-type]
    log.record(numbered(2))
    log.close()
    assert statuses((tmp_path / "access.log").read_text()) == [1, 2]
    assert dropped.lines == 2


@pytest.fixture(name="pipe")
def _pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pipe]]:
    made: list[Pipe] = []

    def make(*, blocking: bool) -> Pipe:
        made.append(Pipe(monkeypatch, blocking=blocking))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_reader_of_our_output_who_stops_reading_stops_nobody(
    pipe: Callable[..., Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "CLOSE_SECONDS", 0.05)
    stuck, dropped = pipe(blocking=True), Dropped()
    log = AccessLog("stdout", LineWriter(), dropped, queue_limit=100)
    for number in range(1000):
        log.record(numbered(number))
    log.close()
    assert dropped.lines >= 900
    assert log._thread.is_alive()
    got = bytearray()
    while len(got) < 2 * LENGTH:  # now somebody reads: the thread comes to its end
        got += os.read(stuck.out, 65536)
    while log._thread.is_alive():
        os.set_blocking(stuck.out, False)
        try:
            got += os.read(stuck.out, 65536)
        except BlockingIOError:
            log._thread.join(0.01)
    assert statuses(got[: got.rindex(b"\n")].decode())[:5] == [0, 1, 2, 3, 4]


def test_a_line_torn_by_a_stuck_reader_is_ended_before_the_next_one(
    pipe: Callable[..., Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "STUCK_SECONDS", 0.01)
    monkeypatch.setattr(under_test, "WRITE_SECONDS", 60.0)
    torn, dropped = pipe(blocking=False), Dropped()
    log = AccessLog("stdout", LineWriter(), dropped)
    long = LINE._replace(target=b"/" + b"x" * 1500)
    lines = [long._replace(status=number) for number in range(1, 11)]
    log._write("".join(map(log._writer.write, lines)).encode())
    first = os.read(torn.out, 65536)
    assert not first.endswith(b"\n")
    log.record(numbered(99))
    log.close()
    text = (first + os.read(torn.out, 65536)).decode()
    good, bad = [], 0
    for line in text.splitlines():
        try:
            good.append(json.loads(line)["status"])
        except ValueError:
            bad += 1
    assert good == [1, 2, 99]
    assert bad == 1
    assert dropped.lines == 8


def test_a_stuck_reader_that_comes_back_in_time_costs_nothing(pipe: Callable[..., Pipe]) -> None:
    slow, dropped = pipe(blocking=False), Dropped()
    log = AccessLog("stdout", LineWriter(), dropped)
    for number in range(200):
        log.record(numbered(number))
    got = bytearray()

    def read() -> None:
        while got.count(b"\n") < 200:
            got.extend(os.read(slow.out, 1000))

    reader = threading.Thread(target=read)
    reader.start()
    log.close()
    reader.join()
    assert statuses(got.decode()) == list(range(200))
    assert dropped.lines == 0


def test_what_both_threads_drop_is_counted_in_one_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = create_slot_file("test")
    meters = Meters(SlotWriter(fd))
    log = AccessLog(
        "/dev/full", LineWriter(), lambda lines: meters.count("edge_log_dropped_total", by=lines), queue_limit=50
    )
    monkeypatch.setattr(under_test, "PAUSE_SECONDS", 0.0)
    for number in range(20_000):
        log.record(numbered(number))
    log.close()
    counted: dict[str, Any] = {metric.name: value for metric, _, value in SlotReader(fd)}
    assert counted["edge_log_dropped_total"] == 20_000
    os.close(fd)


def test_a_log_says_where_it_is_and_how_far_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "WRITE_SECONDS", 60.0)
    log = AccessLog(str(tmp_path / "access.log"), LineWriter(), Dropped())
    log.record(LINE)
    assert repr(log) == f"<AccessLog {tmp_path}/access.log waiting=1>"
    log.close()


def test_what_was_recorded_before_a_rotation_is_in_the_old_file_and_what_came_after_in_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "WRITE_SECONDS", 60.0)
    path = tmp_path / "access.log"
    log = AccessLog(str(path), LineWriter(), Dropped())
    for _ in range(30):
        log.record(numbered(1))
    path.rename(tmp_path / "access.log.1")
    log.reopen()
    for _ in range(20):
        log.record(numbered(2))
    log.close()
    assert statuses((tmp_path / "access.log.1").read_text()) == [1] * 30
    assert statuses(path.read_text()) == [2] * 20
