"""Parsing takes time in proportion to length: each of these would take minutes if it were quadratic."""

from collections.abc import Callable

import pytest

from edge.http.cache_control import parse_cache_control, parse_targeted
from edge.http.etags import parse_etag_list
from edge.http.ranges import parse_range
from edge.http.target import parse_target
from edge.media.playlists import HEAD_MOST, read_manifest, read_playlist

LONG = 400_000  # fifty times what a request's line may have

CASES: list[tuple[str, Callable[[], object]]] = [
    ("quotes never closed", lambda: parse_cache_control([b'"' + b'\\",' * LONG])),
    ("many closed quotes and one open", lambda: parse_cache_control([b'a="b",' * LONG + b'"'])),
    ("quote in quote", lambda: parse_cache_control([b'"a"' * LONG + b'"'])),
    ("dictionary", lambda: parse_targeted([b"a=1, " * LONG + b"!"])),
    ("commas", lambda: parse_etag_list([b"," * LONG + b"x"])),
    ("spaces", lambda: parse_etag_list([b" " * LONG + b"x"])),
    ("tag never closed", lambda: parse_etag_list([b'"' + b",a" * LONG])),
    ("tags that end wrong", lambda: parse_etag_list([b'"a"b,' * LONG])),
    ("tag full of commas", lambda: parse_etag_list([b'"' + b"," * LONG + b'"b'])),
    ("range list", lambda: parse_range(b"bytes=" + b"0-0," * LONG)),
    ("range digits", lambda: parse_range(b"bytes=" + b"9" * LONG + b"-" + b"8" * LONG)),
    ("target", lambda: parse_target(b"http://" + b"a" * LONG + b"/" + b"?" * LONG, None)),
    ("roots", lambda: read_manifest(b"<MPD " * LONG)),
    ("comments never closed", lambda: read_manifest(b"<!--" * LONG)),
    ("names without values", lambda: read_manifest(b"<MPD " + b"a" * (HEAD_MOST - 8) + b">")),
    ("spaces in a root", lambda: read_manifest(b"<MPD " + b"a " * (HEAD_MOST // 2 - 8) + b">")),
    ("tags", lambda: read_playlist(b"#EXT-X-PLAYLIST-TYPE:" + b" \t" * LONG + b"\n#EXT-X-" * LONG)),
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("parse", [parse for _, parse in CASES], ids=[name for name, _ in CASES])
def test_long_junk_is_parsed_in_no_time(parse: Callable[[], object]) -> None:
    parse()
