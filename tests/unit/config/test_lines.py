"""Where each key of a TOML text stands."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.lines import line_of, lines_of

TEXT = '''\
# a comment with [brackets] and key = value
title = "a # b"  # and = more
"quoted key" = 1
a.b.c = 2
[server]
listen = [
  ":80", # one
  "[::1]:81",
]
multi = """
[not a table]
key = "no key"
\\"\\"\\" ""still""
"""""
literal = \'\'\'
x = 1
\'\'\'
[tls.more]   # deeper
inline = { one = 1, two = { three = [1, 2] } }

[[site]]
name = "a"
[site.kinds.segment]
ttl = 1
[[site]]
name = 'b'
  [ site . kinds . "mp4" ]
  ttl = 2
[[site.rules]]
r = 1
[[site.rules]]
r = 2
when = 1979-05-27 07:32:00
esc\u00e9 = 1
'''.replace("esc\u00e9", '"esc\\u00e9"')


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """The paths of all values that hold no others."""
    if isinstance(value, dict) and value:
        return set().union(*(leaves(inner, (*path, key)) for key, inner in value.items()))
    if isinstance(value, list) and value:
        return set().union(*(leaves(inner, (*path, number)) for number, inner in enumerate(value)))
    return {path}


def test_every_value_of_a_text_with_all_of_toml_has_a_line() -> None:
    lines = lines_of(TEXT)
    assert leaves(tomllib.loads(TEXT)) <= set(lines)


@pytest.mark.parametrize(
    ("path", "written"),
    [
        (("title",), "title ="),
        (("quoted key",), '"quoted key"'),
        (("a", "b", "c"), "a.b.c"),
        (("server",), "[server]"),
        (("server", "listen"), "listen ="),
        (("server", "listen", 0), '":80"'),
        (("server", "listen", 1), '"[::1]:81"'),
        (("server", "multi"), "multi ="),
        (("server", "literal"), "literal ="),
        (("tls", "more", "inline", "two", "three", 1), "inline ="),
        (("site",), "[[site]]"),
        (("site", 0, "name"), 'name = "a"'),
        (("site", 0, "kinds", "segment", "ttl"), "ttl = 1"),
        (("site", 1, "name"), "name = 'b'"),
        (("site", 1, "kinds", "mp4"), '[ site . kinds . "mp4" ]'),
        (("site", 1, "kinds", "mp4", "ttl"), "ttl = 2"),
        (("site", 1, "rules", 0, "r"), "r = 1"),
        (("site", 1, "rules", 1, "r"), "r = 2"),
        (("site", 1, "rules", 1, "esc\u00e9"), '"esc\\u00e9"'),
    ],
)
def test_a_path_leads_to_the_line_on_which_it_is_written(path: tuple[str | int, ...], written: str) -> None:
    number = lines_of(TEXT)[path]
    assert TEXT.splitlines()[number - 1].strip().startswith(written)


def test_what_is_missing_is_told_by_the_table_in_which_it_is_missing() -> None:
    lines = lines_of('\n[[tls]]\ncert = "a"\n\n[[tls]]\nkey = "b"\n')
    assert line_of(lines, ("tls", 0, "key")) == 2
    assert line_of(lines, ("tls", 1, "cert")) == 5
    assert line_of(lines, ("cache", "size")) is None
    assert line_of(lines, ()) is None


def test_where_it_is_lost_it_keeps_what_it_has() -> None:
    assert lines_of("a = 1\n[b\nc = 2\n") == {("a",): 1}


@given(st.text(max_size=300))
def test_any_text_at_all_is_read_without_an_error(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())


KEYS = st.text('ab-_é."# ', min_size=1, max_size=4)
VALUES = st.recursive(
    st.integers(0, 9) | st.booleans() | st.text('ab"\\#=[]{},\n', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def inline(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return quoted(value)
        case list():
            return "[\n" + ",\n".join(inline(item) for item in value) + "]"
    return "{" + ", ".join(f"{quoted(key)} = {_one_line(item)}" for key, item in value.items()) + "}"


def _one_line(value: Any) -> str:
    return inline(value).replace("\n", " ")


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=4))
def test_whatever_tomllib_reads_has_its_lines(data: dict[str, dict[str, Any]]) -> None:
    text = ""
    starts = {}
    for table, values in data.items():
        text += f"[{quoted(table)}] # {table!r}\n"
        for key, value in values.items():
            starts[table, key] = text.count("\n") + 1
            text += f"{quoted(key)} = {inline(value)}\n"
    assert tomllib.loads(text) == data
    lines = lines_of(text)
    assert leaves(data) - {()} <= set(lines)
    assert all(lines[path] == line for path, line in starts.items())
