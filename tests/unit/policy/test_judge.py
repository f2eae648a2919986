"""The verdict on answers: kept or not, for whom, for how long."""

import pytest

from edge.http.dates import format_date
from edge.policy.facts import Facts
from edge.policy.judge import Head, Verdict, judge
from edge.policy.rules import PROFILES, KindDefaults, LiveDefaults, SiteRules
from edge.policy.storability import Refusal
from edge.words import DAYS, HOURS, Kind

NOW = 1_700_000_000.0
CC = b"Cache-Control"
DATE, EXPIRES = b"Date", b"Expires"
Lines = list[tuple[bytes, bytes]]


def verdict(
    *lines: tuple[bytes, bytes],
    status: int = 200,
    kind: Kind = Kind.SEGMENT,
    method: bytes = b"GET",
    facts: Facts | None = None,
    rules: SiteRules | None = None,
    has_authorization: bool = False,
    live: bool = False,
) -> Verdict:
    return judge(
        Head(status, lines),
        method=method,
        kind=kind,
        rules=rules or SiteRules(),
        request_time=NOW,
        response_time=NOW,
        facts=facts,
        has_authorization=has_authorization,
        live=live,
    )


@pytest.mark.parametrize(
    ("kind", "ttl", "on_error"),
    [
        (Kind.SEGMENT, 14 * DAYS, 1 * DAYS),
        (Kind.INIT, 14 * DAYS, 1 * DAYS),
        (Kind.PART, 14 * DAYS, 1 * DAYS),
        (Kind.SUBTITLE, 14 * DAYS, 1 * DAYS),
        (Kind.MP4, 1 * HOURS, 1 * DAYS),
        (Kind.KEY, 300, 1 * HOURS),
        (Kind.OTHER, 1 * HOURS, 1 * HOURS),
    ],
)
@pytest.mark.parametrize("status", [200, 206])
def test_of_a_silent_origin_content_is_kept_by_its_kind(status: int, kind: Kind, ttl: float, on_error: float) -> None:
    assert verdict(status=status, kind=kind) == Verdict(
        store=True, shareable=True, base_time=NOW, fresh_until=NOW + ttl, stale_if_error=on_error
    )


def test_a_site_may_have_defaults_of_its_own() -> None:
    rules = SiteRules(defaults={Kind.OTHER: KindDefaults(7, 8, 9)})
    found = verdict(kind=Kind.OTHER, rules=rules)
    assert (found.fresh_until - NOW, found.stale_while_revalidate, found.stale_if_error) == (7, 8, 9)


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("kind", "line", "seconds"),
    [
        (Kind.SEGMENT, b"", 10),
        (Kind.PLAYLIST, b"", 1),
        (Kind.MANIFEST, b"", 1),
        (Kind.PART, b"", 1),
        (Kind.SEGMENT, b"max-age=3", 3),
        (Kind.SEGMENT, b"max-age=0", 0),
        (Kind.SEGMENT, b"max-age=86400", 10),
        (Kind.PART, b"max-age=86400", 1),
    ],
)
def test_what_is_missing_is_remembered_for_seconds_never_longer(
    status: int, kind: Kind, line: bytes, seconds: float
) -> None:
    found = verdict((CC, line), status=status, kind=kind)
    assert found.store
    assert found.fresh_until == NOW + seconds
    assert (found.stale_while_revalidate, found.stale_if_error) == (0, 0)


def test_what_is_missing_beside_a_live_playlist_will_come() -> None:
    assert verdict(status=404, live=True).fresh_until == NOW + 1
    assert verdict((CC, b"max-age=60"), status=410, live=True).fresh_until == NOW + 1
    assert verdict(live=True).fresh_until == verdict().fresh_until  # what is there is what it is


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 503])
def test_redirects_and_503_are_kept_only_when_they_ask_for_it(status: int) -> None:
    silent = verdict(status=status)
    assert (silent.store, silent.shareable, silent.reason) == (False, True, Refusal.STATUS)
    asking = verdict((CC, b"max-age=4"), status=status)
    assert asking.store
    assert asking.fresh_until == NOW + 4
    assert asking.stale_if_error == 0
    dated = verdict((DATE, format_date(NOW)), (EXPIRES, format_date(NOW + 3)), status=status)
    assert dated.fresh_until == NOW + 3


def test_a_503_is_believed_for_five_seconds_at_most() -> None:
    assert verdict((CC, b"max-age=60"), status=503).fresh_until == NOW + 5
    assert verdict((CC, b"max-age=60"), status=302).fresh_until == NOW + 60


@pytest.mark.parametrize(
    "status",
    [100, 201, 203, 204, 300, 304, 400, 401, 402, 403, 405, 408, 413, 414, 416, 421, 429, 451],
)
def test_other_statuses_are_for_all_who_wait_but_not_kept(status: int) -> None:
    found = verdict((CC, b"public, max-age=60"), status=status)
    assert (found.store, found.shareable, found.reason) == (False, True, Refusal.STATUS)
    assert found.fresh_until == found.base_time


@pytest.mark.parametrize("status", [500, 501, 502, 504, 599])
def test_errors_of_the_origin_are_for_all_who_wait_but_not_kept(status: int) -> None:
    found = verdict((CC, b"max-age=60"), status=status)
    assert (found.store, found.shareable) == (False, True)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([(CC, b"no-store")], Refusal.NO_STORE),
        ([(CC, b"max-age=60"), (CC, b"No-Store")], Refusal.NO_STORE),
        ([(CC, b"private, max-age=60")], Refusal.PRIVATE),
        ([(b"Set-Cookie", b"a=b")], Refusal.SET_COOKIE),
        ([(b"Vary", b"*")], Refusal.VARIES),
    ],
)
@pytest.mark.parametrize("status", [200, 404, 503])
def test_what_is_one_clients_alone_is_neither_kept_nor_shared(lines: Lines, reason: Refusal, status: int) -> None:
    found = verdict(*lines, status=status)
    assert (found.store, found.shareable, found.reason) == (False, False, reason)


def test_an_answer_that_must_be_asked_about_is_kept_but_never_fresh_nor_served_stale() -> None:
    found = verdict((CC, b"no-cache, max-age=60, stale-while-revalidate=9, stale-if-error=9"))
    assert found.store
    assert found.no_cache
    assert found.fresh_until == found.base_time
    assert (found.stale_while_revalidate, found.stale_if_error) == (0, 0)


@pytest.mark.parametrize("directive", [b"no-cache", b"private"])
def test_fields_that_are_one_clients_own_are_withheld_and_the_rest_is_kept(directive: bytes) -> None:
    line = (CC, directive + b'="Set-Cookie, X-Mine", max-age=60')
    found = verdict((b"Set-Cookie", b"a=b"), line)
    assert (found.store, found.no_cache, found.fresh_until) == (True, False, NOW + 60)
    assert found.withheld == (b"set-cookie", b"x-mine")
    assert not verdict((b"Set-Cookie", b"a=b"), (CC, directive + b'="x-mine", max-age=60')).store


PLAIN = PROFILES["rfc9111"]
MODIFIED = (b"Last-Modified", format_date(NOW - 1000))


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_a_plain_cache_guesses_from_the_last_change_for_the_statuses_that_allow_it(status: int) -> None:
    assert verdict(MODIFIED, status=status, rules=PLAIN).fresh_until == NOW + 100
    found = verdict((b"ETag", b'"a"'), status=status, rules=PLAIN)
    assert (found.store, found.fresh_until) == (True, NOW)  # of use once it was validated
    assert verdict(status=status, rules=PLAIN).reason is Refusal.LIFELESS


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 403, 418, 451, 500, 503, 599])
def test_a_plain_cache_guesses_for_other_statuses_only_if_they_are_public(status: int) -> None:
    assert verdict(MODIFIED, status=status, rules=PLAIN).reason is Refusal.STATUS
    assert verdict(MODIFIED, (CC, b"public"), status=status, rules=PLAIN).fresh_until == NOW + 100


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 403, 404, 410, 418, 451, 500, 503, 599, 999])
def test_a_plain_cache_keeps_every_status_for_as_long_as_it_says(status: int) -> None:
    assert verdict((CC, b"max-age=3600"), status=status, rules=PLAIN).fresh_until == NOW + 3600
    assert not verdict((CC, b"max-age=0"), status=status, rules=PLAIN).store


@pytest.mark.parametrize("status", [103, 304, 412, 416])
def test_what_is_about_one_request_is_kept_by_nobody(status: int) -> None:
    for rules in PROFILES.values():
        assert verdict((CC, b"public, max-age=3600"), status=status, rules=rules).reason is Refusal.STATUS


@pytest.mark.parametrize(
    "lines",
    [
        [(b"Last-Modified", b"junk")],
        [MODIFIED, MODIFIED],
        [(b"Last-Modified", format_date(NOW + 1000))],
        [MODIFIED, (DATE, format_date(NOW - 2000))],
    ],
)
def test_a_last_change_that_cannot_be_is_no_ground_for_a_guess(lines: Lines) -> None:
    found = verdict(*lines, rules=PLAIN)
    assert found.fresh_until <= NOW


def test_a_guess_has_its_bound() -> None:
    old = (b"Last-Modified", format_date(NOW - 1000 * DAYS))
    assert verdict(old, rules=PLAIN).fresh_until == NOW + PLAIN.heuristic_most


def test_must_understand_asks_for_a_status_that_is_known() -> None:
    both = (CC, b"no-store, must-understand, max-age=60")
    assert verdict(both, status=200, rules=PLAIN).store
    assert verdict(both, status=599, rules=PLAIN).reason is Refusal.NO_STORE
    assert verdict((CC, b"must-understand, max-age=60"), status=599, rules=PLAIN).reason is Refusal.STATUS


@pytest.mark.parametrize("directive", [b"must-revalidate", b"proxy-revalidate", b"s-maxage=60"])
def test_who_forbids_stale_answers_is_obeyed_though_they_are_offered_in_the_same_breath(directive: bytes) -> None:
    found = verdict((CC, directive + b", max-age=60, stale-while-revalidate=9, stale-if-error=9"))
    assert found.must_revalidate
    assert (found.stale_while_revalidate, found.stale_if_error) == (0, 0)


def test_strict_directives_are_taken_over_also_without_explicit_freshness() -> None:
    assert verdict((CC, b"must-revalidate")).must_revalidate
    assert verdict((CC, b"proxy-revalidate, max-age=1")).must_revalidate
    assert not verdict((CC, b"max-age=1")).must_revalidate


def test_immutable_is_taken_over() -> None:
    assert verdict((CC, b"max-age=1, immutable")).immutable
    assert not verdict((CC, b"max-age=1")).immutable


def test_the_age_an_answer_came_with_is_taken_off_its_freshness() -> None:
    found = verdict((CC, b"max-age=60"), (b"Age", b"20"))
    assert (found.base_time, found.fresh_until) == (NOW - 20, NOW + 40)
    refused = verdict((CC, b"no-store"), (b"Age", b"20"))
    assert (refused.base_time, refused.fresh_until) == (NOW - 20, NOW - 20)


def test_an_answer_that_is_stale_when_it_comes_is_kept_for_validation_and_for_errors() -> None:
    found = verdict((CC, b"max-age=10, stale-if-error=60"), (b"Age", b"20"))
    assert found.store
    assert found.fresh_until == NOW - 10
    assert found.stale_if_error == 60


def test_a_targeted_field_silences_cache_control_and_expires() -> None:
    targeted = (b"CDN-Cache-Control", b"max-age=5")
    assert verdict(targeted, (CC, b"no-store, max-age=60")).fresh_until == NOW + 5
    assert verdict((CC, b"max-age=60"), (b"CDN-Cache-Control", b"no-store")).reason is Refusal.NO_STORE
    silent = verdict((b"CDN-Cache-Control", b"public"), (EXPIRES, b"0"))
    assert silent.fresh_until == NOW + 14 * DAYS


def test_a_site_may_go_by_its_own_rules_alone() -> None:
    rules = SiteRules(honour_cache_control=False)
    found = verdict((CC, b"no-store, private, no-cache, max-age=0"), (EXPIRES, b"0"), rules=rules)
    assert found.store
    assert not found.no_cache
    assert found.fresh_until == NOW + 14 * DAYS
    assert not verdict((b"Set-Cookie", b"a=b"), rules=rules).store
    assert not verdict((CC, b"max-age=60"), status=302, rules=rules).store


def test_a_site_may_keep_cookies_that_are_everybodys() -> None:
    rules = SiteRules(keep_set_cookie=True)
    assert verdict((b"Set-Cookie", b"a=b"), rules=rules).store
    assert not verdict((b"Set-Cookie", b"a=b"), (CC, b"private"), rules=rules).store


@pytest.mark.parametrize(
    ("facts", "ttl", "behind", "on_error"),
    [
        (Facts(live=True, period=6.0), 3, 6, 18),
        (Facts(live=True, period=60.0), 6, 60, 180),
        (Facts(live=True, period=1.0), 1, 2, 6),
        (Facts(live=True, period=0.0), 1, 2, 6),
        (Facts(live=True), 2, 4, 12),
        (None, 2, 4, 12),
        (Facts(live=True, period=6.0, low_latency=True), 1, 6, 18),
        (Facts(live=False, period=6.0), 300, 0, 3600),
        (Facts(live=False, master=True), 300, 0, 3600),
    ],
)
@pytest.mark.parametrize("kind", [Kind.PLAYLIST, Kind.MANIFEST])
def test_lists_are_judged_by_their_content(
    kind: Kind, facts: Facts | None, ttl: float, behind: float, on_error: float
) -> None:
    found = verdict(kind=kind, facts=facts)
    assert found.fresh_until - NOW == ttl
    assert found.stale_while_revalidate == behind
    assert found.stale_if_error == on_error


def test_a_site_may_have_live_defaults_of_its_own() -> None:
    live = LiveDefaults(least=3, most=4, unknown=3.5, low_latency=0.5, error_periods=2)
    rules = SiteRules(live=live)
    for facts, ttl, behind in [
        (Facts(live=True), 3.5, 7),
        (Facts(live=True, period=1.0), 3, 6),
        (Facts(live=True, period=20.0), 4, 20),
        (Facts(live=True, period=20.0, low_latency=True), 0.5, 20),
    ]:
        found = verdict(kind=Kind.PLAYLIST, facts=facts, rules=rules)
        assert found.fresh_until - NOW == ttl
        assert (found.stale_while_revalidate, found.stale_if_error) == (behind, 2 * behind)


def test_what_the_origin_says_of_a_list_stands_before_its_content() -> None:
    found = verdict((CC, b"max-age=9"), kind=Kind.PLAYLIST, facts=Facts(live=True, period=6.0))
    assert found.fresh_until == NOW + 9
    assert found.stale_while_revalidate == 6


def test_only_lists_are_judged_by_content() -> None:
    assert verdict(kind=Kind.SEGMENT, facts=Facts(live=True, period=6.0)).fresh_until == NOW + 14 * DAYS


def test_an_answer_to_credentials_is_kept_only_if_it_says_that_it_is_for_all() -> None:
    found = verdict((CC, b"max-age=60"), has_authorization=True)
    assert (found.store, found.shareable, found.reason) == (False, False, Refusal.AUTHORIZATION)
    assert verdict((CC, b"public"), has_authorization=True).store


def test_a_request_has_no_credentials_unless_it_is_said() -> None:
    found = judge(
        Head(200, [(CC, b"max-age=60")]),
        method=b"GET",
        kind=Kind.OTHER,
        rules=SiteRules(),
        request_time=NOW,
        response_time=NOW,
    )
    assert found.store
