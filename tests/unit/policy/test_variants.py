"""Which requests get the same one of several answers."""

import pytest

from edge.policy.rules import PROFILES, SiteRules
from edge.policy.variants import selection, varies_by

PLAIN = PROFILES["rfc9111"]
Lines = list[tuple[bytes, bytes]]


def test_an_answer_varies_by_what_the_origin_was_told() -> None:
    vary = [(b"Vary", b"Foo, ACCEPT-encoding"), (b"vary", b"Bar, Range, Host")]
    assert varies_by(vary, PLAIN) == (b"accept-encoding", b"bar", b"foo")
    assert varies_by(vary, SiteRules(forward_fields=("foo", "Host", "Accept-Encoding"))) == (b"foo",)
    assert varies_by(vary, SiteRules()) == ()
    assert varies_by([], PLAIN) == ()


def chosen(name: bytes, *values: bytes) -> bytes:
    return selection([name], [(name.title(), value) for value in values])


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"foo", [b"1, 2"], [b"1", b"2"]),
        (b"foo", [b"1 ,\t2"], [b"1,2"]),
        (b"accept-encoding", [b"gzip, br"], [b"BR;q=0.5", b"gzip, zstd;q=0"]),
        (b"accept-encoding", [b""], [b"identity;q=0"]),
        (b"accept-language", [b"en;q=0.5, DE"], [b"de, en; q=0.500"]),
        (b"accept-language", [b"de;q=0.3;x=1"], [b"de;x=1;q=0.3"]),
    ],
)
def test_spellings_of_one_wish_choose_the_same(name: bytes, one: list[bytes], other: list[bytes]) -> None:
    assert chosen(name, *one) == chosen(name, *other)


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        (b"foo", [b""], []),
        (b"foo", [b"1"], [b"2"]),
        (b"foo", [b"a"], [b"A"]),
        (b"foo", [b"1, 2"], [b"2, 1"]),
        (b"foo", [b'"1,2"'], [b'"1, 2"']),
        (b"accept-encoding", [b"gzip"], [b"br"]),
        (b"accept-language", [b"de, en"], [b"en, de"]),
        (b"accept-language", [b"de;q=junk"], [b"de"]),
    ],
)
def test_other_wishes_choose_another(name: bytes, one: list[bytes], other: list[bytes]) -> None:
    assert chosen(name, *one) != chosen(name, *other)


def test_two_fields_do_not_run_into_each_other() -> None:
    names = [b"a", b"b"]
    assert selection(names, [(b"a", b"1b=2"), (b"b", b"")]) != selection(names, [(b"a", b"1"), (b"b", b"2")])
