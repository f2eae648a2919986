"""Site rules: profiles, methods, paths."""

import pytest

from edge.policy.rules import PROFILES, PathRules, SiteRules, path_pattern
from edge.words import Kind


@pytest.mark.parametrize(
    ("written", "path", "matches"),
    [
        ("/live/**", b"/live/a/b", True),
        ("/live/**", b"/live/", True),
        ("/live/**", b"/live", False),
        ("/a/*.ts", b"/a/1.ts", True),
        ("/a/*.ts", b"/a/b/1.ts", False),
        ("**.m3u8", b"/x/y.m3u8", True),
        ("/a.b", b"/aXb", False),
        ("/a/**/z", b"/a/b/c/z", True),
        ("/**", b"/a\nb", True),
    ],
)
def test_a_star_stays_within_its_segment_and_two_do_not(written: str, path: bytes, matches: bool) -> None:
    assert bool(path_pattern(written).fullmatch(path)) is matches


def test_the_first_pattern_that_matches_wins() -> None:
    one, other = SiteRules(negative_ttl=1), SiteRules(negative_ttl=2)
    paths = (PathRules("/a/*", path_pattern("/a/*"), one), PathRules("/**", path_pattern("/**"), other))
    rules = SiteRules(paths=paths)
    assert rules.at(b"/a/b") is one
    assert rules.at(b"/b") is other
    assert rules.at(b"*") is rules


def test_methods_are_allowed_by_name_or_all_at_once_but_for_those_of_proxies() -> None:
    video, plain = PROFILES["video"], PROFILES["rfc9111"]
    assert video.allows(b"HEAD")
    assert not video.allows(b"POST")
    assert plain.allows(b"POST")
    assert plain.allows(b"M-SEARCH")
    for rules in (video, plain):
        assert not rules.allows(b"TRACE")
        assert not rules.allows(b"CONNECT")


def test_a_plain_cache_has_no_freshness_of_its_own() -> None:
    plain = PROFILES["rfc9111"]
    assert all(plain.defaults[kind].ttl == 0 for kind in Kind)
    assert plain.forwards_all
    assert not PROFILES["video"].forwards_all
