"""The verdict on answers: kept or not, for whom, for how long."""

import pytest

from edge.errors import OriginError
from edge.http.dates import format_date
from edge.media.kinds import kind_of
from edge.media.mime import content_type_for
from edge.media.playlists import Facts, read_manifest, read_playlist
from edge.policy.cors import cors_lines, preflight_lines
from edge.policy.decide import Decision, decide, may_serve_on_error
from edge.policy.judge import Head, Refusal, Verdict, judge
from edge.policy.key import cache_key
from edge.policy.rules import SiteRules
from edge.policy.upstream_fields import request_fields, stored_fields
from edge.words import DAYS, Kind

NOW = 1_700_000_000.0


def verdict(
    *lines: tuple[bytes, bytes],
    status: int = 200,
    kind: Kind = Kind.SEGMENT,
    method: bytes = b"GET",
    facts: Facts | None = None,
    rules: SiteRules | None = None,
    delay: float = 0.0,
) -> Verdict:
    return judge(
        Head(status, lines),
        method=method,
        kind=kind,
        rules=rules or SiteRules(),
        request_time=NOW - delay,
        response_time=NOW,
        facts=facts,
    )


CC = b"Cache-Control"


@pytest.mark.parametrize(
    ("lines", "seconds"),
    [
        ([(CC, b"max-age=60")], 60),
        ([(CC, b"max-age=60, s-maxage=10")], 10),
        ([(b"CDN-Cache-Control", b"max-age=5"), (CC, b"max-age=60")], 5),
        ([(b"Date", format_date(NOW)), (b"Expires", format_date(NOW + 30))], 30),
        ([(b"Expires", format_date(NOW - 30))], 0),
        ([(b"Expires", b"0")], 0),
        ([(CC, b"max-age=60"), (b"Expires", b"0")], 60),
        ([(CC, b"max-age=60"), (b"Age", b"20")], 40),
        ([(CC, b"max-age=60"), (b"Age", b"junk")], 60),
        ([(CC, b"max-age=60"), (b"Date", format_date(NOW - 15))], 45),
        ([], 14 * DAYS),
    ],
)
def test_freshness_comes_from_the_answer_or_the_kind(
    lines: list[tuple[bytes, bytes]], seconds: float
) -> None:
    found = verdict(*lines)
    assert found.store
    assert found.fresh_until - NOW == seconds


def test_the_response_delay_counts_as_age() -> None:
    assert verdict((CC, b"max-age=60"), (b"Age", b"1"), delay=2.0).fresh_until == NOW + 57


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([(CC, b"no-store")], Refusal.NO_STORE),
        ([(CC, b"private, max-age=60")], Refusal.PRIVATE),
        ([(CC, b'private="x"')], Refusal.PRIVATE),
        ([(b"Set-Cookie", b"a=b")], Refusal.SET_COOKIE),
        ([(b"Vary", b"*")], Refusal.VARIES),
        ([(b"Vary", b"Accept-Encoding, Cookie")], Refusal.VARIES),
    ],
)
def test_what_is_one_clients_alone_is_neither_kept_nor_shared(
    lines: list[tuple[bytes, bytes]], reason: Refusal
) -> None:
    found = verdict(*lines)
    assert (found.store, found.shareable, found.reason) == (False, False, reason)


def test_vary_on_what_never_reaches_the_origin_does_not_matter_unless_it_is_forwarded() -> None:
    assert verdict((b"Vary", b"Accept-Encoding, Origin")).store
    assert not verdict(
        (b"Vary", b"Accept-Language"), rules=SiteRules(forward_fields=("accept-language",))
    ).store


@pytest.mark.parametrize("status", [400, 401, 403, 405, 414, 416, 500, 502, 504, 206 + 100])
def test_statuses_that_a_client_can_provoke_are_shared_but_not_kept(status: int) -> None:
    found = verdict((CC, b"max-age=60"), status=status)
    assert not found.store
    assert found.shareable


def test_not_found_is_remembered_for_a_moment_and_a_shorter_one_where_it_is_live() -> None:
    assert verdict(status=404).fresh_until == NOW + 10
    assert verdict(status=404, kind=Kind.PLAYLIST).fresh_until == NOW + 1
    assert verdict((CC, b"max-age=3"), status=404).fresh_until == NOW + 3


def test_redirects_and_503_are_kept_only_when_they_say_so() -> None:
    assert not verdict(status=302).store
    assert verdict((CC, b"max-age=9"), status=302).fresh_until == NOW + 9
    assert not verdict(status=503).store
    assert verdict((CC, b"max-age=60"), status=503).fresh_until == NOW + 5


def test_lists_are_judged_by_their_content() -> None:
    live = verdict(kind=Kind.PLAYLIST, facts=Facts(live=True, period=6.0))
    assert live.fresh_until == NOW + 3
    assert live.stale_while_revalidate == 6
    assert verdict(kind=Kind.PLAYLIST, facts=Facts(live=False)).fresh_until == NOW + 300
    assert verdict(kind=Kind.PLAYLIST, facts=None).fresh_until == NOW + 2
    assert verdict((CC, b"max-age=1"), kind=Kind.PLAYLIST, facts=Facts(live=False)).fresh_until == NOW + 1


def test_directives_about_staleness_are_taken_over() -> None:
    found = verdict(
        (CC, b"max-age=1, stale-while-revalidate=7, stale-if-error=8, must-revalidate, immutable")
    )
    assert (found.stale_while_revalidate, found.stale_if_error) == (7, 8)
    assert found.must_revalidate
    assert found.immutable
    assert verdict((CC, b"no-cache")).no_cache


def test_only_get_is_kept() -> None:
    assert verdict(method=b"HEAD").reason is Refusal.METHOD


@pytest.mark.parametrize(
    ("now", "expected"),
    [(9, Decision.SERVE_FRESH), (10, Decision.SERVE_STALE_AND_REFRESH), (15, Decision.REVALIDATE)],
)
def test_what_is_kept_is_served_fresh_then_stale_then_renewed(now: float, expected: Decision) -> None:
    assert decide(10, 5, False, False, now) is expected


def test_strict_answers_are_never_served_stale() -> None:
    assert decide(10, 5, True, False, 11) is Decision.REVALIDATE
    assert decide(10, 5, False, True, 1) is Decision.REVALIDATE
    assert may_serve_on_error(10, 5, False, 14)
    assert not may_serve_on_error(10, 5, False, 15)
    assert not may_serve_on_error(10, 5, True, 11)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (None, b"s/p"),
        (b"", b"s/p"),
        (b"b=2&a=1", b"s/p?b=2&a=1"),
        (b"CMCD=x&a=1&utm_source=y&token=z", b"s/p?a=1"),
        (b"cmcd=x", b"s/p"),
        (b"a&a=&a=1", b"s/p?a&a=&a=1"),
    ],
)
def test_the_key_keeps_parameters_in_order_less_tracking_and_tokens(
    query: bytes | None, expected: bytes
) -> None:
    assert cache_key(b"s", b"/p", query, SiteRules()) == expected


def test_stored_fields_are_the_origins_without_what_we_write_ourselves() -> None:
    kept = stored_fields(
        [
            (b"Content-Type", b"video/mp4"),
            (b"Content-Length", b"5"),
            (b"Access-Control-Allow-Origin", b"x"),
            (b"Age", b"3"),
            (b"Connection", b"X-Hop"),
            (b"X-Hop", b"1"),
            (b"X-Two", b"1"),
            (b"x-two", b"2"),
        ],
        NOW,
    )
    assert kept == b"Content-Type: video/mp4\r\nX-Two: 1\r\nx-two: 2\r\nDate: " + format_date(NOW) + b"\r\n"
    with pytest.raises(OriginError):
        stored_fields([(b"X", b"a\r\nb")], NOW)


def test_only_named_request_fields_reach_the_origin() -> None:
    given = [(b"Cookie", b"a"), (b"X-Pass", b"b")]
    assert request_fields(given, SiteRules()) == ()
    assert request_fields(given, SiteRules(forward_fields=("x-pass",))) == ((b"X-Pass", b"b"),)


def test_cors_is_ready_for_players() -> None:
    assert b"Access-Control-Allow-Origin: *\r\n" in cors_lines(SiteRules())
    assert b"Access-Control-Max-Age: 86400\r\n" in preflight_lines(SiteRules())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/a/master.m3u8", Kind.PLAYLIST),
        (b"/a/x.mpd", Kind.MANIFEST),
        (b"/a/init-0.mp4", Kind.INIT),
        (b"/a/seg1.m4s", Kind.SEGMENT),
        (b"/a/seg.part3.m4s", Kind.PART),
        (b"/a/film.MP4", Kind.MP4),
        (b"/a/k.key", Kind.KEY),
        (b"/a/s.vtt", Kind.SUBTITLE),
        (b"/a", Kind.OTHER),
    ],
)
def test_kinds_are_known_by_their_paths(path: bytes, kind: Kind) -> None:
    assert kind_of(path) is kind


def test_kinds_and_types_help_each_other() -> None:
    assert kind_of(b"/x", b"application/dash+xml; charset=utf-8") is Kind.MANIFEST
    assert content_type_for(b"/a.m3u8") == b"application/vnd.apple.mpegurl"
    assert content_type_for(b"/a") is None


def test_playlists_and_manifests_tell_whether_they_are_live() -> None:
    assert read_playlist(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n") == Facts(True, 6.0)
    assert read_playlist(b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-ENDLIST\n") == Facts(False, 6.0)
    assert read_playlist(b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx").master
    assert read_manifest(b'<?xml version="1.0"?><MPD type="static">') == Facts(False)
    assert read_manifest(b'<MPD type="dynamic" minimumUpdatePeriod="PT1M2S">') == Facts(True, 62.0)
    assert read_manifest(b"junk") == Facts(True)
