"""What a query may ask of the origin."""

import pytest

from edge.demo.answers import NoSuchObject, decide, size_of
from edge.demo.faults import Fault
from edge.demo.ledger import Asked
from edge.demo.wishes import Tag, Wishes, WrongWish, read_wishes, wishes_of


def fields_of(query: dict[str, list[str]], method: str = "GET", **fields: str) -> dict[str, str]:
    asked = Asked(method, "/s/1000/a.ts", "", {name.replace("_", "-"): value for name, value in fields.items()})
    return dict(decide(asked, read_wishes(query), 2).fields)


def test_without_wishes_an_object_has_a_strong_tag_ranges_and_no_freshness() -> None:
    assert read_wishes({}) == Wishes()
    assert fields_of({}) == {"Content-Type": "video/mp2t", "ETag": '"2"', "Accept-Ranges": "bytes"}


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ({"cc": ["max-age=5"]}, "Cache-Control", "max-age=5"),
        ({"private": [""]}, "Cache-Control", "private"),
        ({"private": [""], "cc": ["no-store"]}, "Cache-Control", "no-store"),
        ({"weak": [""]}, "ETag", 'W/"2"'),
        ({"etag": ["weak"]}, "ETag", 'W/"2"'),
        ({"noetag": [""]}, "ETag", None),
        ({"etag": ["none"]}, "ETag", None),
        ({"lastmod": [""]}, "Last-Modified", "Thu, 01 Jan 2026 00:00:01 GMT"),
        ({"norange": [""]}, "Accept-Ranges", None),
        ({"cookie": [""]}, "Set-Cookie", "seen=1; Path=/"),
        ({"vary": ["Cookie"]}, "Vary", "Cookie"),
        ({"age": ["7"]}, "Age", "7"),
        ({"type": ["text/vtt"]}, "Content-Type", "text/vtt"),
        ({"h": ["X-A: 1", "X-B:2"]}, "X-B", "2"),
        ({"redirect": ["/elsewhere"]}, "Location", "/elsewhere"),
    ],
)
def test_a_wish_is_seen_in_the_fields(query: dict[str, list[str]], name: str, value: str | None) -> None:
    assert fields_of(query).get(name) == value


def test_times_rates_and_faults_are_read_with_their_units() -> None:
    wishes = read_wishes({"delay": ["250"], "rate": ["1000.5"], "fault": ["short"], "at": ["5"], "times": ["2"]})
    assert (wishes.delay, wishes.rate) == (0.25, 1000.5)
    assert (wishes.fault, wishes.at, wishes.times) == (Fault.SHORT, 5, 2)


def test_a_query_is_read_as_it_stands_in_the_target() -> None:
    assert wishes_of("") == Wishes()
    assert wishes_of("cc=max-age%3D5%2C+public&weak&delay=20").cache_control == "max-age=5, public"
    assert wishes_of("h=A:1&h=B:2").more == (("A", "1"), ("B", "2"))
    with pytest.raises(WrongWish):
        wishes_of("rate=much")


def test_names_that_nobody_knows_are_left_to_the_players() -> None:
    assert read_wishes({"token": ["secret"], "miss": ["1"]}) == Wishes()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"delay": ["soon"]}, "delay=soon"),
        ({"delay": ["-1"]}, "delay=-1"),
        ({"delay": ["999999999"]}, "delay="),
        ({"status": ["99"]}, "status=99"),
        ({"status": ["600"]}, "status=600"),
        ({"fault": ["odd"]}, "fault=odd: one of refuse"),
        ({"etag": ["odd"]}, "etag=odd: one of strong"),
        ({"h": ["no colon"]}, "h="),
        ({"h": ["A: b\r\nC: d"]}, "h="),
        ({"cc": ["a\r\nb: c"]}, "cc="),
        ({"redirect": ["/\r\nx: y"]}, "redirect="),
    ],
)
def test_a_wish_that_cannot_be_granted_is_named(query: dict[str, list[str]], text: str) -> None:
    with pytest.raises(WrongWish, match=text):
        read_wishes(query)


@pytest.mark.parametrize(
    "path", ["/s/10", "/s/10/", "/s/x/a", "/s/-1/a", "/t/10/a", "/s/" + "9" * 16 + "/a", "/s/\u0663/a"]
)
def test_only_a_size_and_a_name_make_an_object(path: str) -> None:
    with pytest.raises(NoSuchObject):
        size_of(path)


def test_a_zipped_answer_is_whole_has_a_tag_of_its_own_and_varies() -> None:
    asked = Asked("GET", "/s/1000/a.ts", "", {"accept-encoding": "br, gzip", "range": "bytes=0-1"})
    answer = decide(asked, read_wishes({"gzip": [""]}), 1)
    fields = dict(answer.fields)
    assert answer.status == 200
    assert fields["Content-Encoding"] == "gzip"
    assert fields["Vary"] == "Accept-Encoding"
    assert fields["ETag"] == '"gz1"'
    assert answer.length < 1000
    plain = decide(Asked("GET", "/s/1000/a.ts", "", {}), Wishes(gzip=True, tag=Tag.STRONG), 1)
    assert plain.length == 1000
