"""Every message survives its encoding; what is none of ours is refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.fill.channel import MAX_MESSAGE
from edge.fill.messages import (
    Again,
    Bad,
    Body,
    Cancel,
    End,
    Fail,
    Fetch,
    Forget,
    Freed,
    Head,
    HeadFlag,
    Hello,
    Inline,
    Invalidate,
    Message,
    Mode,
    Pin,
    Place,
    Read,
    Scratch,
    Taken,
    fitting,
)
from edge.fill.wire import decode, encode
from edge.policy.purges import Purge, Scope
from edge.words import CacheStatus, Kind, Reason

u64 = st.integers(0, 2**63 - 1)
text = st.text(max_size=40)
blob = st.binary(max_size=200)
fetches = st.builds(
    Fetch,
    id=u64,
    mode=st.sampled_from(Mode),
    site=text,
    method=st.sampled_from([b"GET", b"HEAD"]),
    target=blob,
    key=blob,
    path=blob,
    kind=st.sampled_from(Kind),
    fields=st.lists(st.tuples(blob, blob), max_size=5).map(tuple),
    start=u64,
    end=st.integers(-1, 2**62),
    suffix=u64,
    ranged=st.booleans(),
    pin=st.none() | st.builds(Pin, u64, u64, blob),
    authority=blob,
    has_body=st.booleans(),
    body_length=st.integers(-1, 2**62),
)
messages = st.one_of(
    fetches,
    st.builds(Body, u64, st.booleans(), blob),
    st.builds(Taken, u64, u64),
    st.builds(Invalidate, blob),
    st.builds(Hello, st.integers(0, 2**31), blob),
    st.builds(
        Head,
        u64,
        st.integers(0, 15).map(HeadFlag),
        st.sampled_from(CacheStatus),
        st.integers(-1, 2**62),
        text,
        st.floats(0, 100),
        blob,
    ),
    st.builds(Place, u64, u64, u64, st.integers(0, 2**31), u64),
    st.builds(Inline, u64, u64, blob),
    st.builds(Scratch, u64, st.integers(0, 2**31), u64, u64, st.booleans()),
    st.builds(End, u64, st.integers(-1, 2**62)),
    st.builds(Fail, u64, st.integers(0, 999), st.sampled_from(Reason), text),
    st.builds(Again, u64),
    st.builds(Read, u64, u64),
    st.builds(Cancel, u64),
    st.builds(Freed, u64, st.integers(0, 2**31)),
    st.builds(Bad, st.binary(min_size=16, max_size=16), u64, u64, u64, st.sampled_from(Reason)),
)


@given(messages)
def test_a_message_is_read_as_it_was_written(message: Message) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("raw", [b"\x00", b"\xff", b"\x04\x01", encode(Place(1, 2, 3, 4, 5))[:-1]])
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        decode(raw)


@given(fetches, st.integers(1, 200))
def test_a_fetch_that_was_cut_short_is_refused(fetch: Fetch, cut: int) -> None:
    raw = encode(fetch)
    with pytest.raises((ValueError, struct.error, IndexError, UnicodeDecodeError)):
        decode(raw[: max(1, len(raw) - cut)][: len(raw) - 1])


@given(st.lists(st.integers(0, 100_000), max_size=2000))
def test_purges_go_into_as_many_messages_as_they_need_none_of_which_is_too_large(lengths: list[int]) -> None:
    whats = [Purge(Scope.KEY, b"x" * length, b"site") for length in lengths]
    told = []
    while len(told) < len(whats):
        some = whats[len(told) :][: fitting(whats[len(told) :])]
        assert some
        assert len(encode(Forget(1, tuple(some)))) < MAX_MESSAGE
        told += some
    assert told == whats
