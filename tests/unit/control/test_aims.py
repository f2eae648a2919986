"""What a purge may name: nothing that no record can be called, nor a keeper be told."""

import pytest

from edge.control.aims import NAME_MOST, aims_of
from edge.control.asks import PurgeAsk
from edge.errors import BadRequest
from edge.fill.channel import MAX_MESSAGE
from edge.fill.messages import Forget
from edge.fill.wire import encode
from edge.policy.rules import SiteRules

SITES = (SiteRules(),)
LONG = "http://films.example/" + "a" * (NAME_MOST + 1)


@pytest.mark.parametrize("ask", [PurgeAsk(url=LONG), PurgeAsk(prefix=LONG), PurgeAsk(urls=("http://a/b", LONG))])
def test_a_name_that_nothing_can_have_is_refused_before_it_is_owed_for_ever(ask: PurgeAsk) -> None:
    with pytest.raises(BadRequest, match=r"a\.\.\. has 65\d{3} bytes"):
        aims_of(ask, SITES)


def test_a_list_within_a_title_may_name_such_a_one() -> None:
    aims = aims_of(PurgeAsk(title="http://films.example/a.m3u8"), SITES, [LONG, "http://films.example/a.ts"])
    assert [aim.text.rpartition(b"/")[2] for aim in aims] == [b"a.m3u8", b"a.ts"]


def test_the_longest_name_can_be_told_to_a_keeper() -> None:
    site = len(SITES[0].name)
    aims = aims_of(PurgeAsk(url="http://films.example/" + "a" * (NAME_MOST - 1 - site)), SITES)
    assert len(aims[0].text) == NAME_MOST


@pytest.mark.parametrize("long", [LONG, "http://films.example/" + "\u044f" * 15_000, LONG + LONG])
def test_a_name_too_long_for_anything_to_be_stored_by_is_left_out_of_a_title(long: str) -> None:
    title, other = "http://films.example/a/master.m3u8", "http://films.example/a/1.ts"
    aims = aims_of(PurgeAsk(title=title), SITES, [long, other])
    assert aims == aims_of(PurgeAsk(urls=(other, title)), SITES)[::-1]
    assert len(encode(Forget(1, aims, dry=False, owed=False))) < MAX_MESSAGE
