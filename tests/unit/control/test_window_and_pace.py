"""When a warm job may work, and how fast."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from edge.clock import FakeClock
from edge.control.warm import Pacing
from edge.control.window import Window
from edge.errors import BadRequest


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone) if zone != "UTC" else UTC).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "now", "seconds"),
    [
        ("02:00-08:00", "Asia/Yekaterinburg", at("2026-11-23T02:00", "Asia/Yekaterinburg"), 0),
        ("02:00-08:00", "Asia/Yekaterinburg", at("2026-11-22T20:59:00"), 60),
        ("02:00-08:00", "Asia/Yekaterinburg", at("2026-11-23T08:00", "Asia/Yekaterinburg"), 18 * 3600),
        ("23:00-01:00", "UTC", at("2026-11-23T00:59:59"), 0),
        ("23:00-01:00", "UTC", at("2026-11-23T01:00:00"), 22 * 3600),
        ("23:00-01:00", "UTC", at("2026-11-23T23:00:00"), 0),
        # the night in which clocks are set forward: 23 hours from 08:00 to 07:00
        ("07:00-08:00", "Europe/Berlin", at("2026-03-28T08:00", "Europe/Berlin"), 22 * 3600),
    ],
)
def test_a_window_opens_by_the_clocks_of_its_zone(window: str, zone: str, now: float, seconds: float) -> None:
    assert Window.parse(window, zone).opens_in(now) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "2-8", "02:00-02:00", "24:00-08:00", "02:00-08:60", "02:00"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="not a time window"):
        Window.parse(text, "UTC")


async def test_pacing_spreads_what_comes_in_bursts() -> None:
    clock = FakeClock()
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance(seconds)

    pace = Pacing(1000.0, clock, sleep)
    for count in (500, 1500, 1000):
        await pace.take(count)
    assert slept == pytest.approx([0.5, 1.5, 1.0])
    clock.advance(100)
    await pace.take(1000)  # a pause does not allow a burst afterwards
    assert slept[-1] == pytest.approx(1.0)
    await Pacing(0, clock, sleep).take(10**9)
    assert len(slept) == 4
