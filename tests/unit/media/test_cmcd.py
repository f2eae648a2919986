"""CMCD is read leniently, from wherever a player puts it, and costs nobody a request."""

import json
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.media.cmcd import CUSTOM_MOST, LIST_MOST, Value, experience, of_query, parse, told_by, without_parameter
from edge.observe.experience import Experience

SESSION = "6e2fb550-c457-11e9-bb97-0800200c9a66"


# The examples of CTA-5004, section 3.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'sid="{SESSION}"', {"sid": SESSION}),
        (
            f'br=3200,bs,d=4004,mtp=25400,ot=v,rtp=15000,sid="{SESSION}",tb=6000',
            {"br": 3200, "bs": True, "d": 4004, "mtp": 25400, "ot": "v", "rtp": 15000, "sid": SESSION, "tb": 6000},
        ),
        ("bs,rtp=15000", {"bs": True, "rtp": 15000}),
        ("d=4004,com.example-myNumericKey=500", {"d": 4004, "com.example-myNumericKey": 500}),
        ('com.example-myStringKey="myStringValue",d=4004', {"com.example-myStringKey": "myStringValue", "d": 4004}),
        ('nor="..%2F300kbps%2Fsegment35.m4v"', {"nor": "..%2F300kbps%2Fsegment35.m4v"}),
        ("pr=0", {"pr": 0}),
        ("pr=1.08", {"pr": 1.08}),
        # version 2: a value for each kind of track, and states of a player
        ("br=(5000;v 128;a),v=2", {"br": (5000, 128), "v": 2}),
        ("bl=(21300;v 1200;a),sta=r,ec=(\"404\" \"MEDIA_ERR_2\"),v=2,bg", {
            "bl": (21300, 1200), "sta": "r", "ec": ("404", "MEDIA_ERR_2"), "v": 2, "bg": True}),
        ('nor=("a(1).mp4";r="0-99" "b.mp4")', {"nor": ("a(1).mp4", "b.mp4")}),
        ("su=?0,bs=?1", {"su": False, "bs": True}),
    ],
)  # fmt: skip
def test_what_the_standard_shows_is_read(text: str, found: dict[str, Value]) -> None:
    assert parse(text) == found
    target = b"/a/b.mp4?x=1&CMCD=" + quote(text, safe="").encode() + b"&y=2"
    assert told_by(target, ()) == found
    assert told_by(b"/a/b.mp4", [text.encode()]) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (",,,", {}),
        ("bl=", {}),
        ("bl=abc,br=1", {"br": 1}),
        ("bl=-,br=1", {"br": 1}),
        ("bs=1,br=1", {"br": 1}),  # a key that is there is true, and a number is none
        ("ot=vvvvvvvvvvvvvvvvvvvvvvv,br=1", {"br": 1}),
        ('sid="never ends,br=1', {"br": 1}),
        ("bl=(never ends,br=1", {"br": 1}),
        ('bl="5",br=1', {"br": 1}),
        ("unknown=1,br=1", {"br": 1}),
        (" bl=5 , br=1 ", {"bl": 5, "br": 1}),
        ("bl=5;x=1,br=1;y", {"bl": 5, "br": 1}),
        ("bl=5,bl=6", {"bl": 6}),
        ('cid="a\\"b\\\\c"', {"cid": 'a"b\\c'}),
        ('sid="' + "x" * 100 + '",cid="' + "y" * 200 + '"', {"sid": "x" * 64, "cid": "y" * 128}),
        ("bl=99999999999999999999", {}),
        ("()", {}),
        ("bl=()", {}),
    ],
)
def test_a_mistake_costs_its_member_alone(text: str, found: dict[str, Value]) -> None:
    assert parse(text) == found


def test_a_json_object_is_read_too() -> None:
    told = {"bl": 21300, "br": [5000, 128], "bs": True, "sid": SESSION, "ot": "v", "com.example-x": {"deep": 1}}
    found = {"bl": 21300, "br": (5000, 128), "bs": True, "sid": SESSION, "ot": "v"}
    assert parse(json.dumps(told)) == found
    assert told_by(b"/a?CMCD=" + quote(json.dumps(told)).encode(), ()) == found
    for broken in ("{", "{]", '{"bl":NaN}', '{"bl":' + "9" * 5000 + "}", "{" * 5000):
        assert parse(broken) == {}


def test_fields_and_query_add_up() -> None:
    assert told_by(b"/a?CMCD=bl%3D100%2Cot%3Dv", [b"br=5", b"bl=200"]) == {"bl": 200, "ot": "v", "br": 5}


def test_a_players_own_keys_are_few_and_lists_short() -> None:
    found = parse(",".join(f"x-{number}=1" for number in range(100)))
    assert list(found) == [f"x-{number}" for number in range(CUSTOM_MOST)]
    assert parse(f"bl=({' '.join('1' * 1 for _ in range(100))})") == {"bl": (1,) * LIST_MOST}


@pytest.mark.parametrize(
    ("target", "rest"),
    [
        (b"/a", b"/a"),
        (b"/a?CMCD=x", b"/a"),
        (b"/a?b=1&CMCD=x", b"/a?b=1"),
        (b"/a?CMCD=x&b=1&CMCD=y", b"/a?b=1"),
        (b"/CMCD=x/a?b=1", b"/CMCD=x/a?b=1"),
        (b"/a?NOTCMCD=x", b"/a?NOTCMCD=x"),
        (b"/a?", b"/a"),
    ],
)
def test_a_target_without_what_its_player_tells(target: bytes, rest: bytes) -> None:
    assert without_parameter(target) == rest


def test_only_the_parameter_of_that_name_tells() -> None:
    assert of_query(b"/CMCD=bl%3D1") == ""
    assert of_query(b"/a?XCMCD=bl%3D1&cmcd=bl%3D2") == ""
    assert of_query(b"/a?CMCD=bl%3D3%FF") == "bl=3\ufffd"


def test_what_is_counted_of_it_is_in_base_units() -> None:
    told = parse("bl=(21300;v 1200;a),br=(5000;v 128;a),mtp=25400,rtp=15000,bs,su,st=l,sta=r,v=2")
    assert experience(told) == Experience(
        version=2,
        stream="live",
        starved=True,
        rebuffering=True,
        starting=True,
        buffer_seconds=1.2,
        measured=3_175_000.0,
        requested=1_875_000.0,
        encoded=641_000.0,
    )
    assert experience({}) == Experience()
    assert experience(parse("bl=-5,mtp=1e300,st=x,v=7")) == Experience()


members = st.sampled_from(
    [
        "bl=100",
        "br=0012",
        'sid="a"',
        'sid="a"b"',
        'cid=""',
        "bs",
        "bs=1",
        "ot=v",
        "ot=",
        "d",
        "su=?1",
        "x-a=1",
        "",
        " bl=3",
        '"',
    ]
)


@given(st.lists(members, max_size=6).map(",".join))
def test_the_short_way_of_reading_reads_the_same(text: str) -> None:
    assert parse(text) == parse(text + ", ,")  # what is odd at its end has it read the long way


@given(st.text(max_size=300) | st.text(alphabet='abls=,;()"\\?01 -.{}', max_size=300))
def test_whatever_is_written_is_read_without_a_word(text: str) -> None:
    found = parse(text)
    assert json.loads(json.dumps(found)) is not None
    told_by(b"/?CMCD=" + quote(text, safe="").encode(), [text.encode("latin-1", errors="replace")])
    experience(found)


@pytest.mark.parametrize("unit", ["a=(,", 'a="x,', 'a=("",', '"', "a;", "((", "\\,", "{[", 'a="\\'])
def test_junk_of_any_length_is_read_in_a_bounded_number_of_steps(unit: str) -> None:
    def steps(times: int) -> int:
        count = 0

        def step(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(step)
        try:
            parse(unit * times)
        finally:
            sys.setprofile(None)
        return count

    assert steps(4000) <= 40 + 20 * steps(10)


@given(st.dictionaries(st.sampled_from(["bl", "br", "mtp", "d", "tb"]), st.integers(0, 10**9), max_size=5))
def test_what_was_written_well_is_read_whole(told: dict[str, int]) -> None:
    assert parse(",".join(f"{key}={value}" for key, value in told.items())) == told
