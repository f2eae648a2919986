"""The cache key."""

import pytest

from edge.policy.key import cache_key, kept_query, origin_target
from edge.policy.rules import RFC9111, SiteRules


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (None, b"s/p"),
        (b"", b"s/p"),
        (b"b=2&a=1", b"s/p?b=2&a=1"),
        (b"a&a=&a=1", b"s/p?a&a=&a=1"),
        (b"a=%2f&%61=b", b"s/p?a=%2f&%61=b"),
        (b"a=1?b&c=d=e", b"s/p?a=1?b&c=d=e"),
        (b"a&&b", b"s/p?a&&b"),
        (b"CMCD=x&a=1&utm_source=y&token=z", b"s/p?a=1"),
        (b"cmcd=x", b"s/p"),
        (b"cmcd", b"s/p"),
        (b"Expires=1&MD5=2&HDNTS=3&hdnea=4&UTM_x", b"s/p"),
        (b"xtoken=1&token2=2&utm=3", b"s/p?xtoken=1&token2=2&utm=3"),
        (b"_HLS_msn=5&_HLS_part=1", b"s/p?_HLS_msn=5&_HLS_part=1"),
    ],
)
def test_all_parameters_count_in_their_order_less_tracking_and_tokens(query: bytes | None, expected: bytes) -> None:
    assert cache_key(b"s", b"/p", query, SiteRules()) == expected


def test_a_site_names_what_it_drops() -> None:
    rules = SiteRules(drop_params=("Sid",), token_params=())
    assert kept_query(b"sid=1&CMCX=2&token=3", rules) == b"CMCX=2&token=3"


def test_a_path_is_kept_byte_for_byte() -> None:
    assert cache_key(b"s", b"//a%2F/../\xff", None, SiteRules()) == b"s//a%2F/../\xff"


def test_sites_do_not_share_keys() -> None:
    rules = SiteRules()
    assert cache_key(b"a", b"/p", None, rules) != cache_key(b"b", b"/p", None, rules)


def test_beginnings_of_names_are_written_with_a_star() -> None:
    rules = SiteRules(drop_params=("x_*",), token_params=())
    assert kept_query(b"X_a=1&x_=2&xa=3&utm_b=4", rules) == b"xa=3&utm_b=4"


def test_a_site_may_name_what_it_keeps_and_that_order_does_not_matter() -> None:
    rules = SiteRules(keep_params=("b", "A"), sort_params=True)
    assert kept_query(b"b=2&c=3&a=1&B=0", rules) == b"a=1&b=2&B=0"
    assert kept_query(b"c=3", rules) is None


def test_the_origin_is_asked_by_the_key_and_told_what_is_passed_on_by_name() -> None:
    rules = SiteRules(forward_params=("Token", "a"))
    assert origin_target(b"/p", b"a=1&token=x&CMCD=y", rules) == b"/p?a=1&token=x"
    assert origin_target(b"/p", b"token=x", rules) == b"/p?token=x"
    assert origin_target(b"/p", b"CMCD=y", rules) == b"/p"
    assert origin_target(b"/p", None, rules) == b"/p"
    assert origin_target(b"/p", b"token=x&b", SiteRules()) == b"/p?b"


def test_what_players_tell_of_themselves_is_in_no_sites_key_and_reaches_no_origin() -> None:
    every = (
        SiteRules(),
        SiteRules(drop_params=()),
        SiteRules(drop_params=(), forward_params=("CMCD", "x")),
        SiteRules(keep_params=("CMCD", "x")),
        RFC9111,
    )
    for rules in every:
        assert kept_query(b"CMCD=bl%3D100&x=1&cmcd=2", rules) == b"x=1", rules
        assert origin_target(b"/a", b"CMCD=bl%3D100&x=1&cmcd=2", rules) == b"/a?x=1", rules


def test_a_question_mark_alone_is_another_uri_to_who_drops_nothing() -> None:
    assert cache_key(b"s", b"/p", b"", RFC9111) == b"s/p?"
    assert origin_target(b"/p", b"", RFC9111) == b"/p?"
    assert cache_key(b"s", b"/p", None, RFC9111) == b"s/p"
    assert origin_target(b"/p", b"CMCD=x", RFC9111) == b"/p"
