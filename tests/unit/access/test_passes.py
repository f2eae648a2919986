"""What an edge tells of the request behind its own: written, signed, read back."""

import pytest

from edge.access.passes import LENGTH_MOST, Context, Key, asks_as_sibling, read_pass, signature_of, write_pass

KEY = Key("msk1", b"0123456789abcdef0123456789abcdef")
CONTEXT = Context("2001:db8::7", b"films.example:8080", 2)


@pytest.mark.parametrize("sibling", [False, True])
@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("context", [CONTEXT, Context(), Context("a;s=%\n", b"x;h=9,\xff", 99)])
def test_a_pass_is_read_as_it_was_written(context: Context, key: Key | None, sibling: bool) -> None:
    value = write_pass(context, b"GET", b"/a?b", key=key, now=1234.9, sibling=sibling)
    assert value.isascii()
    assert not set(value) & set(b"\r\n\0 ,")
    said = read_pass(value)
    assert said is not None
    assert said.context == context
    assert said.sibling is sibling is asks_as_sibling(value)
    if key is None:
        assert (said.key_id, said.time, said.signature) == (None, 0, "")
    else:
        assert (said.key_id, said.time) == ("msk1", 1234)
        assert said.signature == signature_of(key, b"GET", b"/a?b", said.signed)


def test_each_pass_has_a_nonce_of_its_own() -> None:
    passes = [read_pass(write_pass(CONTEXT, b"GET", b"/", key=KEY)) for _ in range(100)]
    assert len({said.nonce for said in passes if said is not None}) == 100


def test_a_signature_is_of_this_method_this_target_and_every_word() -> None:
    right = signature_of(KEY, b"GET", b"/a", b"k=msk1")
    others = [
        signature_of(KEY, b"HEAD", b"/a", b"k=msk1"),
        signature_of(KEY, b"GET", b"/b", b"k=msk1"),
        signature_of(KEY, b"GET", b"/a", b"k=msk2"),
        signature_of(Key("msk1", KEY.secret + b"0"), b"GET", b"/a", b"k=msk1"),
    ]
    assert right not in others
    assert len(set(others)) == 4


@pytest.mark.parametrize(
    "value",
    [
        b"h=1;h=2",
        b"h=-1",
        b"h=1e3",
        b"h=1000",
        b"h=1;t=12x",
        b"h=1;t=" + b"9" * 16,
        b"h",
        b"",
        b"h=1;a=\xff",
        b"h=1;o=" + b"x" * LENGTH_MOST,
    ],
)
def test_what_is_no_pass_is_none(value: bytes) -> None:
    assert read_pass(value) is None


def test_nothing_that_a_player_says_makes_it_a_sibling() -> None:
    value = write_pass(Context("1.2.3.4", b"x;r=sibling"), b"GET", b"/")
    assert not asks_as_sibling(value)
    assert not asks_as_sibling(None)


def test_a_key_does_not_show_its_secret() -> None:
    assert "0123456789abcdef" not in repr(KEY)
