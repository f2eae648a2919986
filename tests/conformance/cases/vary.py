"""RFC 9111 section 4.1: several answers of one object."""

from tests.conformance.build import FRESH, NEW, answer, case, step
from tests.conformance.case import Case

LIFE = "Cache-Control: max-age=3600"
S = "9111-4.1"
FIRST, SECOND = answer(LIFE, "Vary: Foo"), answer(LIFE, "Vary: Foo", body=NEW)


def _same(name: str, says: str, vary: str, one: list[str], other: list[str]) -> Case:
    return case(f"vary-{name}", S, says, step(answer(LIFE, f"Vary: {vary}"), ask=one), step(ask=other))


def _unlike(name: str, says: str, vary: str, one: list[str], other: list[str]) -> Case:
    return case(
        f"vary-{name}", S, says,
        step(answer(LIFE, f"Vary: {vary}"), ask=one),
        step(answer(LIFE, f"Vary: {vary}", body=NEW), ask=other),
        step(ask=one),
        step(ask=other, body=NEW),
    )  # fmt: skip


CASES = [
    _same("match", "the same value gets the same answer", "Foo", ["Foo: 1"], ["Foo: 1"]),
    _unlike("differs", "another value gets another answer, and both are kept", "Foo", ["Foo: 1"], ["Foo: 2"]),
    _unlike("missing", "a value and none", "Foo", ["Foo: 1"], []),
    _unlike("missing-first", "none and a value", "Foo", [], ["Foo: 1"]),
    _unlike("empty-missing", "an empty field is not a missing one", "Foo", ["Foo:"], []),
    _same("both-missing", "both without", "Foo", [], []),
    _same("irrelevant", "fields that are not named do not matter", "Foo", ["Foo: 1", "Bar: 1"], ["Foo: 1", "Bar: 2"]),
    _same("case-of-name", "names know no case", "FOO", ["foo: 1"], ["Foo: 1"]),
    _unlike("case-of-value", "values know case", "Foo", ["Foo: a"], ["Foo: A"]),
    _same("two-fields", "two fields, both alike", "Foo, Bar", ["Foo: 1", "Bar: 2"], ["Bar: 2", "Foo: 1"]),
    _unlike(
        "two-fields-one-differs", "two fields, one not alike", "Foo, Bar", ["Foo: 1", "Bar: 2"], ["Foo: 1", "Bar: 3"]
    ),
    _same("lines", "the lists of two lines count", "Foo\r\nVary: Bar", ["Foo: 1", "Bar: 2"], ["Foo: 1", "Bar: 2"]),
    _unlike("lines-differ", "so does the second line", "Foo\r\nVary: Bar", ["Foo: 1", "Bar: 2"], ["Foo: 1", "Bar: 3"]),
    _same("combined", "two lines are one list", "Foo", ["Foo: 1, 2"], ["Foo: 1", "Foo: 2"]),
    _same("blanks", "blanks around commas do not matter", "Foo", ["Foo: 1,2"], ["Foo: 1 ,  2"]),
    _unlike("order", "the order of a list does", "Foo", ["Foo: 1, 2"], ["Foo: 2, 1"]),
    _unlike("quoted-blanks", "blanks in quotes are what they are", "Foo", ['Foo: "1,2"'], ['Foo: "1, 2"']),
    _same(
        "encoding-order",
        "codings are a set",
        "Accept-Encoding",
        ["Accept-Encoding: gzip, br"],
        ["Accept-Encoding: br,gzip"],
    ),
    _same(
        "encoding-q0",
        "what is refused is not there",
        "Accept-Encoding",
        ["Accept-Encoding: gzip"],
        ["Accept-Encoding: gzip, br;q=0"],
    ),
    _same(
        "encoding-case", "codings know no case", "Accept-Encoding", ["Accept-Encoding: GZIP"], ["Accept-Encoding: gzip"]
    ),
    _unlike(
        "encoding-other",
        "other codings, another answer",
        "Accept-Encoding",
        ["Accept-Encoding: gzip"],
        ["Accept-Encoding: br"],
    ),
    _same(
        "language-case", "languages know no case", "Accept-Language", ["Accept-Language: DE"], ["Accept-Language: de"]
    ),
    _same("language-blanks", "nor blanks", "Accept-Language", ["Accept-Language: de,en"], ["Accept-Language: de , en"]),
    _same(
        "language-quality",
        "nor how a quality is written",
        "Accept-Language",
        ["Accept-Language: de;q=1, en;q=0.5"],
        ["Accept-Language: de, en; q=0.500"],
    ),
    _same(
        "language-sorted",
        "nor in which order qualities stand",
        "Accept-Language",
        ["Accept-Language: en;q=0.5, de"],
        ["Accept-Language: de, en;q=0.5"],
    ),
    _unlike(
        "language-other",
        "other preferences, another answer",
        "Accept-Language",
        ["Accept-Language: de, en;q=0.5"],
        ["Accept-Language: en, de;q=0.5"],
    ),
    case("vary-star", S, "* is never matched", step(answer(LIFE, "Vary: *")), step(answer(LIFE, body=NEW)), video=True),
    case(
        "vary-star-in-list",
        S,
        "nor in a list",
        step(answer(LIFE, "Vary: Foo, *"), ask=["Foo: 1"]),
        step(answer(LIFE, body=NEW), ask=["Foo: 1"]),
        video=True,
    ),
    case(
        "vary-star-second-line",
        S,
        "nor in a second line",
        step(answer(LIFE, "Vary: Foo", "Vary: *"), ask=["Foo: 1"]),
        step(answer(LIFE, body=NEW), ask=["Foo: 1"]),
    ),
    case(
        "vary-empty",
        S,
        "an empty Vary names nothing",
        step(answer(LIFE, "Vary:"), ask=["Foo: 1"]),
        step(ask=["Foo: 2"]),
        video=True,
    ),
    case(
        "vary-three",
        S,
        "three variants side by side",
        *(step(answer(LIFE, "Vary: Foo", body=f"body {n}"), ask=[f"Foo: {n}"]) for n in range(3)),
        *(step(ask=[f"Foo: {n}"], body=f"body {n}") for n in range(3)),
    ),
    case(
        "vary-twelve",
        S,
        "a dozen of them",
        *(step(answer(LIFE, "Vary: Foo", body=f"body {n}"), ask=[f"Foo: {n}"]) for n in range(12)),
        *(step(ask=[f"Foo: {n}"], body=f"body {n}") for n in range(12)),
    ),
    case(
        "vary-bound",
        S,
        "32 of them and no more: the oldest go",
        *(step(answer(LIFE, "Vary: Foo", body=f"body {n}"), ask=[f"Foo: {n}"]) for n in range(34)),
        *(step(ask=[f"Foo: {n}"], body=f"body {n}") for n in (2, 33)),
        *(step(answer(LIFE, "Vary: Foo", body=NEW), ask=[f"Foo: {n}"]) for n in (0, 1)),
    ),
    case(
        "vary-changed",
        S,
        "a list that changed: the newest that matches is used",
        step(FIRST, ask=["Foo: 1", "Bar: 1"]),
        step(answer(LIFE, "Vary: Foo, Bar", body=NEW), ask=["Foo: 2", "Bar: 1"]),
        step(ask=["Foo: 1", "Bar: 5"]),
        step(ask=["Foo: 2", "Bar: 1"], body=NEW),
    ),
    case(
        "vary-no-more",
        S,
        "an answer that does not vary is for those whom no variant suits",
        step(FIRST, ask=["Foo: 1"]),
        step(answer(LIFE, body=NEW), ask=["Foo: 2"]),
        step(ask=["Foo: 3"], body=NEW),
        step(ask=["Foo: 1"]),
    ),
    case(
        "vary-begins",
        S,
        "an answer that did not vary is for all until it does",
        step(FRESH, ask=["Foo: 1"]),
        step(ask=["Foo: 2"]),
        step(SECOND, ask=["Foo: 2", "Cache-Control: no-cache"]),
        step(ask=["Foo: 2"], body=NEW),
    ),
    case(
        "vary-validated",
        "9111-4.3.1",
        "the variant that suits is the one that is validated",
        step(answer("Cache-Control: max-age=0", "Vary: Foo", 'ETag: "1"'), ask=["Foo: 1"]),
        step(answer("Cache-Control: max-age=0", "Vary: Foo", 'ETag: "2"', body=NEW), ask=["Foo: 2"]),
        step(
            answer(LIFE, "Vary: Foo", 'ETag: "1"', status=304),
            ask=["Foo: 1"],
            status=200,
            body="the body",
            sees={"If-None-Match": '"1"'},
        ),
        step(ask=["Foo: 1"]),
        step(
            answer(LIFE, "Vary: Foo", 'ETag: "2"', status=304),
            ask=["Foo: 2"],
            status=200,
            body=NEW,
            sees={"If-None-Match": '"2"'},
        ),
    ),
    case(
        "vary-conditional",
        "9111-4.3.2",
        "a client's condition is about the variant that suits it",
        step(answer(LIFE, "Vary: Foo", 'ETag: "1"'), ask=["Foo: 1"]),
        step(ask=["Foo: 1", 'If-None-Match: "1"'], status=304, body=None),
        step(answer(LIFE, "Vary: Foo", 'ETag: "2"', body=NEW), ask=["Foo: 2"]),
    ),
    case(
        "vary-told",
        S,
        "Vary itself is told",
        step(FIRST, ask=["Foo: 1"], gets={"Vary": "Foo"}),
        step(ask=["Foo: 1"], gets={"Vary": "Foo"}),
    ),
    case(
        "vary-status",
        "9211-2.2",
        "Cache-Status tells a variant's miss",
        step(FIRST, ask=["Foo: 1"]),
        step(SECOND, ask=["Foo: 2"], gets={"Cache-Status": "~fwd=vary-miss"}),
    ),
    case(
        "vary-large",
        S,
        "variants of any size",
        step(answer(LIFE, "Vary: Foo", body="a" * 300_000), ask=["Foo: 1"]),
        step(answer(LIFE, "Vary: Foo", body="b" * 300_000), ask=["Foo: 2"]),
        step(ask=["Foo: 1"], body="a" * 300_000),
    ),
    case(
        "vary-in-video",
        S,
        "a field that the origin is not told cannot matter",
        step(answer(LIFE, "Vary: Origin"), ask=["X: 1"]),
        step(ask=["X: 2"]),
        video=True,
    ),
]
