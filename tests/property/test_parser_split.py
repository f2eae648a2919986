"""However the network cuts a stream of requests, the same requests are read, and the same fault found."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.server.reader import Hosts, RequestReader
from edge.server.settings import ServerSettings

SETTINGS = ServerSettings(max_line=200, max_head=600, max_fields=10, pipeline_limit=4)

TOKEN = st.text("abcXYZ019-_", min_size=1, max_size=12).map(str.encode)
VALUE = st.text("abc XYZ,;=/\t", max_size=40).map(lambda text: text.strip().encode())
FIELD = st.tuples(TOKEN, VALUE).map(lambda field: b"%s: %s\r\n" % field)
SPECIAL = st.sampled_from(
    [
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Host: b\r\n",
        b" folded\r\n",
        b"no colon\r\n",
        b"X: bare\n",
        b"Long: " + b"x" * 300 + b"\r\n",
    ]
)
LINE = st.one_of(
    st.builds(lambda target: b"GET /%s HTTP/1.1\r\nHost: a\r\n" % target, TOKEN),
    st.sampled_from(
        [
            b"HEAD / HTTP/1.1\r\nHost: a.example:80\r\n",
            b"GET / HTTP/1.0\r\n",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: a\r\n",
            b"\r\nGET /after-an-empty-line HTTP/1.1\r\nHost: a\r\n",
            b"GET /" + b"x" * 250 + b" HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/1.1\r\n",
            b"GET  / HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n",
            b"rubbish\r\n",
            b"FROB /x HTTP/1.1\r\nHost: a\r\n",
            b"GETX /x HTTP/1.1\r\nHost: a\r\n",
        ]
    ),
)
REQUEST = st.builds(
    lambda line, fields: line + b"".join(fields) + b"\r\n",
    LINE,
    st.lists(st.one_of(FIELD, SPECIAL), max_size=6),
)
STREAM = st.lists(st.one_of(REQUEST, REQUEST, st.binary(max_size=20)), max_size=8).map(b"".join)

Seen = tuple[bytes, bytes, int, list[tuple[bytes, bytes]], bool]


def read(parts: list[bytes]) -> tuple[list[Seen], bool]:
    """Every request that is read, the queue emptied as a connection does it, and whether one was bad."""
    reader = RequestReader(SETTINGS, Hosts())
    seen: list[Seen] = []

    def take() -> None:
        while reader.waiting:
            request = reader.waiting.popleft()
            seen.append((request.method, request.target, request.minor, request.fields, request.keep_alive))
            if not reader.waiting and reader.raw:
                reader.read_on(0.0)

    for part in parts:
        reader.feed(part, 0.0)
        assert len(reader.waiting) <= 4
        take()
    return seen, reader.refusal is not None


def cut(stream: bytes, positions: list[int]) -> list[bytes]:
    marks = sorted({position % (len(stream) + 1) for position in positions} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(marks)]


@settings(max_examples=300, deadline=None)
@given(STREAM, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cuts_give_the_same_requests(stream: bytes, positions: list[int]) -> None:
    assert read(cut(stream, positions)) == read([stream])


@settings(max_examples=60, deadline=None)
@given(STREAM)
def test_single_bytes_give_the_same_requests(stream: bytes) -> None:
    assert read([stream[at : at + 1] for at in range(len(stream))]) == read([stream])


@settings(max_examples=60, deadline=None)
@given(STREAM)
def test_a_cut_at_every_position_gives_the_same_requests(stream: bytes) -> None:
    whole = read([stream])
    for at in range(1, len(stream)):
        assert read([stream[:at], stream[at:]]) == whole


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_no_bytes_at_all_raise(data: bytes, positions: list[int]) -> None:
    requests, _ = read(cut(data, positions))
    assert all(request[0].isupper() for request in requests)
