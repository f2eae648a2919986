"""A segment beside or below a live playlist is at the live edge, as long as such playlists come."""

import pytest

from edge.clock import FakeClock
from edge.fill.live import DIRECTORIES_MOST, LEVELS, LIVE_SECONDS, LiveDirectories


@pytest.mark.parametrize(
    ("site", "path", "there"),
    [
        ("tv", b"/news/1.ts", True),
        ("tv", b"/news/720p/1.m4s", True),
        ("tv", b"/news/" + b"a/" * (LEVELS - 1) + b"1.m4s", True),
        ("tv", b"/news/" + b"a/" * LEVELS + b"1.m4s", False),
        ("tv", b"/1.ts", False),
        ("tv", b"/newsreel/1.ts", False),
        ("tv", b"/sport/1.ts", False),
        ("films", b"/news/1.ts", False),
    ],
)
def test_what_lies_beside_or_below_a_live_playlist_of_its_site_is_live(site: str, path: bytes, there: bool) -> None:
    live = LiveDirectories(FakeClock())
    live.note("tv", b"/news/x.m3u8")
    assert live.has(site, path) is there


def test_a_directory_is_live_for_a_while_after_its_last_playlist() -> None:
    clock = FakeClock()
    live = LiveDirectories(clock)
    live.note("tv", b"/news/x.m3u8")
    clock.advance(LIVE_SECONDS - 1)
    assert live.has("tv", b"/news/1.ts")
    live.note("tv", b"/news/x.m3u8")
    clock.advance(LIVE_SECONDS - 1)
    assert live.has("tv", b"/news/1.ts")
    clock.advance(1)
    assert not live.has("tv", b"/news/1.ts")


def test_the_ones_noted_longest_ago_are_forgotten_first() -> None:
    live = LiveDirectories(FakeClock())
    for number in range(DIRECTORIES_MOST):
        live.note("tv", b"/%d/x.m3u8" % number)
    live.note("tv", b"/0/x.m3u8")  # once more
    live.note("tv", b"/more/x.m3u8")
    assert [live.has("tv", b"/%s/1.ts" % name) for name in (b"0", b"1", b"2", b"more")] == [True, False, True, True]
