"""What is asked of an origin, and which partial answers are believed (DESIGN section 12)."""

from dataclasses import replace

import pytest

from edge.errors import OriginError
from edge.fill.messages import UNKNOWN, Fetch, Mode
from edge.fill.plan import WHOLE, Ask, Partial, first_ask, may_hedge, strong_etag, urgency, verify_partial
from edge.origin.settings import Urgency
from edge.words import MIB, Kind, Reason


def fetch(kind: Kind = Kind.SEGMENT, **more: object) -> Fetch:
    return replace(Fetch(1, Mode.FILL, "default", b"GET", b"/a", b"k", b"/a", kind), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (fetch(), WHOLE),
        (fetch(Kind.MP4), Ask(0, 16 * MIB, whole=False)),
        (fetch(start=10, end=20, ranged=True), Ask(0, MIB, whole=False)),
        (fetch(start=MIB, end=MIB + 1, ranged=True), Ask(MIB, 2 * MIB, whole=False)),
        (fetch(start=5 * MIB + 7, end=UNKNOWN, ranged=True), Ask(5 * MIB, 21 * MIB, whole=False)),
        (fetch(suffix=100, ranged=True), Ask(suffix=100 + MIB - 1, whole=False)),
    ],
)
def test_a_cold_object_is_asked_for_in_whole_slices_and_bounded_runs(asked: Fetch, expected: Ask) -> None:
    assert first_ask(asked, slice_size=MIB, run_max=16 * MIB, rangeless=False) == expected


def test_an_origin_without_ranges_is_asked_for_the_whole() -> None:
    assert first_ask(fetch(start=1, end=2, ranged=True), slice_size=MIB, run_max=MIB, rangeless=True) == WHOLE


def test_the_range_field_is_worded_as_the_rfc_has_it() -> None:
    assert Ask(0, 10, whole=False).field() == ((b"Range", b"bytes=0-9"),)
    assert Ask(7, whole=False).field() == ((b"Range", b"bytes=7-"),)
    assert Ask(suffix=5, whole=False).field() == ((b"Range", b"bytes=-5"),)
    assert WHOLE.field() == ()


ASK = Ask(100, 200, whole=False)


@pytest.mark.parametrize(
    ("ask", "content_range", "length", "expected"),
    [
        (ASK, b"bytes 100-199/1000", 100, Partial(100, 200, 1000)),
        (ASK, b"bytes 100-149/150", 50, Partial(100, 150, 150)),
        (ASK, b"bytes 100-199/1000", None, Partial(100, 200, 1000)),
        (Ask(suffix=10, whole=False), b"bytes 990-999/1000", 10, Partial(990, 1000, 1000)),
        (Ask(suffix=5000, whole=False), b"bytes 0-999/1000", 1000, Partial(0, 1000, 1000)),
    ],
)
def test_a_partial_answer_that_fits_is_believed(
    ask: Ask, content_range: bytes, length: int | None, expected: Partial
) -> None:
    assert verify_partial(ask, [(b"Content-Range", content_range)], length) == expected


@pytest.mark.parametrize(
    ("ask", "fields", "length"),
    [
        (WHOLE, [(b"Content-Range", b"bytes 0-9/10")], 10),
        (ASK, [], 100),
        (ASK, [(b"Content-Range", b"bytes 0-99/1000")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-198/1000")], 99),
        (ASK, [(b"Content-Range", b"bytes 100-249/1000")], 150),
        (ASK, [(b"Content-Range", b"bytes 100-199/*")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-199/1000")], 99),
        (ASK, [(b"Content-Range", b"lines 100-199/1000")], 100),
        (ASK, [(b"Content-Range", b"bytes 199-100/1000")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-199/150")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-199/1000"), (b"Content-Range", b"bytes 100-199/1000")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-199/1000"), (b"Content-Encoding", b"gzip")], 100),
        (ASK, [(b"Content-Range", b"bytes 100-199/1000"), (b"Content-Type", b"Multipart/Byteranges; boundary=x")], 100),
        (Ask(suffix=10, whole=False), [(b"Content-Range", b"bytes 980-989/1000")], 10),
    ],
)
def test_a_partial_answer_that_does_not_fit_is_refused(
    ask: Ask, fields: list[tuple[bytes, bytes]], length: int
) -> None:
    with pytest.raises(OriginError) as refused:
        verify_partial(ask, fields, length)
    assert refused.value.reason is Reason.BAD_RESPONSE


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([b'"a"'], b'"a"'),
        ([b'W/"a"'], b""),
        ([b'"a"', b'"b"'], b""),
        ([b"a"], b""),
        ([b'"a", "b"'], b""),
        ([b'w/"a"'], b""),
        ([], b""),
    ],
)
def test_only_one_well_formed_strong_tag_is_a_validator(given: list[bytes], expected: bytes) -> None:
    assert strong_etag([(b"ETag", value) for value in given]) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (fetch(Kind.PLAYLIST), Urgency.LIST),
        (fetch(Kind.MANIFEST), Urgency.LIST),
        (fetch(Kind.PART), Urgency.LIVE),
        (fetch(Kind.INIT), Urgency.START),
        (fetch(Kind.MP4), Urgency.START),
        (fetch(Kind.MP4, start=MIB, ranged=True), Urgency.SEGMENT),
        (fetch(Kind.SEGMENT), Urgency.SEGMENT),
        (fetch(Kind.PLAYLIST, mode=Mode.REFRESH), Urgency.RENEWAL),
    ],
)
def test_what_a_player_cannot_go_on_without_comes_first(asked: Fetch, expected: Urgency) -> None:
    assert urgency(asked) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (fetch(Kind.SEGMENT), Urgency.LIVE),
        (fetch(Kind.SEGMENT, start=5, ranged=True), Urgency.LIVE),
        (fetch(Kind.SEGMENT, mode=Mode.REFRESH), Urgency.RENEWAL),
        (fetch(Kind.SEGMENT, mode=Mode.AHEAD), Urgency.AHEAD),
        (fetch(Kind.PLAYLIST), Urgency.LIST),
        (fetch(Kind.INIT), Urgency.START),
        (fetch(Kind.MP4), Urgency.START),
    ],
)
def test_a_player_s_segment_beside_a_live_playlist_is_at_the_live_edge(asked: Fetch, expected: Urgency) -> None:
    assert urgency(asked, live=True) is expected


@pytest.mark.parametrize(
    ("asked", "live", "expected"),
    [
        (fetch(Kind.SEGMENT), False, True),
        (fetch(Kind.SEGMENT, start=5, ranged=True), False, True),
        (fetch(Kind.SEGMENT), True, True),  # a playlist lists it when it is there
        (fetch(Kind.SEGMENT, start=5, ranged=True), True, False),  # a part that is only hinted at
        (fetch(Kind.INIT), True, True),
        (fetch(Kind.PART), True, False),
        (fetch(Kind.PLAYLIST), True, False),
        (fetch(Kind.SEGMENT, mode=Mode.REFRESH), True, False),
        (fetch(Kind.SEGMENT, method=b"HEAD"), True, False),
    ],
)
def test_what_is_late_on_purpose_is_not_asked_for_a_second_time(asked: Fetch, live: bool, expected: bool) -> None:
    assert may_hedge(asked, live=live) is expected
