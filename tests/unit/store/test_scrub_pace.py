"""The scrubber keeps to its rate, whatever its disk and its hours are: players' reads come first.

Its thread's waits move a fake clock instead of taking time.
"""

import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.store.disk import Disk
from edge.store.doubts import Doubts
from edge.store.scrub import CLOSED_SECONDS, RETRY_SECONDS, BadExtent, Inspector, Scrubber, ScrubSettings
from edge.store.tables import Placed
from edge.store.volume import Volume
from edge.words import KIB, Damage
from tests.support.volumes import open_volume, put

RATE = 100_000
LENGTHS = [*(20_000 + 7_000 * n for n in range(12)), 250, *(90_000 - 6_000 * n for n in range(12))]


class TimedInspector(Inspector):
    """A read takes so many fake seconds; `begun` is when each began."""

    def __init__(self, volume: Volume, clock: FakeClock, seconds: float) -> None:
        super().__init__(volume.directory, volume.index, Disk(), Doubts())
        self.begun: list[float] = []
        self._clock, self._seconds = clock, seconds

    def look(self, placed: Placed) -> BadExtent | None:
        self.begun.append(self._clock.monotonic())
        self._clock.advance(self._seconds)
        return super().look(placed)


class TimedStop(threading.Event):
    """Who waits for it has waited so long."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None, "it is never waited for without a bound"
        self._clock.advance(timeout)
        return self.is_set()


def always(_: float) -> float:
    return 0.0


def filled(directory: Path) -> Volume:
    volume = open_volume(directory, pack_size=256 * KIB)
    for number, length in enumerate(LENGTHS):
        put(volume, f"/{number}", 1, length)
    return volume


def timed_scrubber(
    volume: Volume, inspector: Inspector, clock: FakeClock, opens_in: Callable[[float], float]
) -> Scrubber:
    scrubber = Scrubber(
        inspector,
        volume.index,
        lambda: list(volume.packs.all),
        ScrubSettings(RATE, 86400.0, opens_in),
        clock,
        lambda bad: None,
        lambda pack: None,
    )
    scrubber._stop = TimedStop(clock)
    return scrubber


def most_over_the_rate(begun: list[float]) -> float:
    """By how many bytes the worst span of time, from one read's begin to another's, exceeds its rate and one step.

    A read's bytes are counted when it begins, so that the last of a span is the step that may be over.
    """
    read = [0, *accumulate(LENGTHS)]
    return max(
        read[last] - read[first] - RATE * (begun[last] - begun[first])
        for last in range(len(begun))
        for first in range(last + 1)
    )


@pytest.mark.parametrize("took", [0.0, 0.2, 3.0], ids=["at once", "in part of its time", "slower than the rate"])
def test_in_no_span_of_time_is_more_read_than_the_rate_and_one_step(tmp_path: Path, took: float) -> None:
    clock, volume = FakeClock(), filled(tmp_path)
    inspector = TimedInspector(volume, clock, took)
    scrubber = timed_scrubber(volume, inspector, clock, always)
    begun = clock.monotonic()
    scrubber.run_pass()
    lasted = clock.monotonic() - begun
    scrubber.close()
    volume.close()
    assert scrubber.take_read_bytes() == sum(LENGTHS)
    assert len(inspector.begun) == len(LENGTHS)
    assert most_over_the_rate(inspector.begun) < 1
    # Nor less than may be: what a read took is no wait on top.
    assert lasted == pytest.approx(sum(max(took, length / RATE) for length in LENGTHS))


def test_after_its_hours_have_begun_again_it_does_not_catch_up(tmp_path: Path) -> None:
    clock, volume = FakeClock(), filled(tmp_path)
    day, opened = 1000.0, 4.0  # at work in the first four seconds of each thousand
    start, offset = clock.wall(), clock.wall() - clock.monotonic()

    def opens_in(now: float) -> float:
        since = (now - start) % day
        return 0.0 if since < opened else day - since

    inspector = TimedInspector(volume, clock, 0.1)
    scrubber = timed_scrubber(volume, inspector, clock, opens_in)
    scrubber.run_pass()
    scrubber.close()
    volume.close()
    begun = inspector.begun
    assert scrubber.take_read_bytes() == sum(LENGTHS)
    assert most_over_the_rate(begun) < 1
    assert {opens_in(at + offset) for at in begun} == {0.0}, "nothing begins while it is closed"
    days = [int((at + offset - start) // day) for at in begun]
    assert set(days) == set(range(days[-1] + 1)), "each of its hours is used"
    for one in set(days):
        read = sum(length for length, of in zip(LENGTHS, days, strict=True) if of == one)
        assert read <= RATE * opened + max(LENGTHS)


def test_another_rate_counts_from_the_next_read_on_and_none_stops_it(tmp_path: Path) -> None:
    clock, volume = FakeClock(), filled(tmp_path)
    new = {5: RATE // 10, 9: 0}  # before which read the rate becomes what

    class Changing(TimedInspector):
        def look(self, placed: Placed) -> BadExtent | None:
            if (rate := new.get(len(self.begun))) is not None:
                scrubber.adopt(ScrubSettings(rate, 86400.0, always))
            return super().look(placed)

    class Returning(TimedStop):
        """The rate is back after ten looks at it."""

        looks = 0

        def wait(self, timeout: float | None = None) -> bool:
            if not scrubber._settings.rate and timeout == CLOSED_SECONDS:
                self.looks += 1
                if self.looks == 10:
                    scrubber.adopt(ScrubSettings(RATE, 86400.0, always))
            return super().wait(timeout)

    inspector = Changing(volume, clock, 0.0)
    scrubber = timed_scrubber(volume, inspector, clock, always)
    scrubber.start = lambda: None  # type: ignore[method-assign]  # `run_pass` is in this thread
    scrubber._stop = stop = Returning(clock)
    scrubber.run_pass()
    scrubber.close()
    volume.close()
    assert stop.looks == 10
    for number, (length, begun, then) in enumerate(zip(LENGTHS, inspector.begun, inspector.begun[1:], strict=False)):
        if number == 9:  # the rate was taken away under it
            assert then - begun >= 10 * CLOSED_SECONDS
        else:
            assert then - begun == pytest.approx(length / (RATE // 10 if 5 <= number < 9 else RATE))


def test_journals_are_read_within_the_rate_as_well(tmp_path: Path) -> None:
    length = 50_000

    class WithJournals(TimedInspector):
        def journal(self, pack: int) -> tuple[Damage | None, int]:
            return None, length

    clock, volume = FakeClock(), filled(tmp_path)
    scrubber = timed_scrubber(volume, WithJournals(volume, clock, 0.0), clock, always)
    begun = clock.monotonic()
    scrubber.run_pass()
    scrubber.close()
    packs = len(volume.packs.all)
    volume.close()
    assert packs > 1
    assert scrubber.take_read_bytes() == sum(LENGTHS) + packs * length
    assert clock.monotonic() - begun == pytest.approx((sum(LENGTHS) + packs * length) / RATE)


def test_one_pass_follows_the_other_as_often_as_is_said_and_one_that_failed_is_tried_again_soon(tmp_path: Path) -> None:
    clock, volume = FakeClock(), filled(tmp_path)
    begun: list[float] = []

    def packs() -> list[int]:
        begun.append(clock.monotonic() - start)
        if len(begun) == 2:
            raise OSError("an index that is being closed, perhaps")
        if len(begun) == 4:
            scrubber._stop.set()
        return []

    settings = ScrubSettings(RATE, 1000.0, always, first=30.0)
    scrubber = Scrubber(volume.inspector(), volume.index, packs, settings, clock, lambda bad: None, lambda pack: None)
    scrubber._stop = TimedStop(clock)
    start = clock.monotonic()
    scrubber._run()
    scrubber.close()
    volume.close()
    assert begun == pytest.approx([30, 1030, 1030 + RETRY_SECONDS, 2030 + RETRY_SECONDS])
