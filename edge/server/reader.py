"""Bytes to requests. No sockets, no clock: fed with what arrives, it says what was asked or what is wrong.

A head is cut out of the stream at its blank line and given to llhttp whole, unless it repeats the fields of the last
one and has a plain request line: then only that line is read (a player says the same each time; 5 us less). A body is
framed by `incoming`, and only where it is allowed at all: else a request with one is refused. So no state of the
parser spans two reads: how the network cuts the stream cannot change what is read from it. Heads are counted here in
raw bytes, since the parser would collect a field of any length before it says a word.
"""

import re
from collections import deque
from typing import Final

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from edge.errors import BadRequest
from edge.server.incoming import IncomingBody
from edge.server.request import SPECIAL, Request, RequestWithBody
from edge.server.settings import ServerSettings

_CR: Final = 13
_HTTP11: Final = b" HTTP/1.1"
_HTTP10: Final = b" HTTP/1.0"
_OTHER_HTTP: Final = re.compile(rb" HTTP/[0-9]\.[0-9]")
_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?"
)
# A method that the parser does not know is one all the same (RFC 9110 section 9.1); none of those that are registered
# begins otherwise than with a capital.
_EXTENSION_METHOD: Final = re.compile(rb"[A-Z][!#$%&'*+.^_`|~0-9A-Za-z-]{0,31}(?= )").match
_STAND_IN: Final = b"POST"  # what the parser reads in its place: with a body or without
_HOSTS_REMEMBERED: Final = 1024
_HOST_BYTES: Final = 255  # a domain name is never longer
_EMPTY_LINES: Final = 8
_LINES_REMEMBERED: Final = 8192
_LINE_BYTES: Final = 256
# The commonest request lines, in characters of which there is no doubt (RFC 3986); the parser reads all others.
_PLAIN_LINE: Final = re.compile(rb"(GET|HEAD) (/[A-Za-z0-9/._~!$&'()*+,;=:@%?-]*) HTTP/1\.1").fullmatch


_Known = tuple[list[tuple[bytes, bytes]], dict[bytes, bytes], bool, bool]  # what a block of fields says


class Hosts:
    """Which Host values are well-formed (RFC 9110 section 7.2); remembers good ones: 1,024 of 255 bytes at most.

    And what plain request lines say: 8,192 of 256 bytes at most.
    """

    def __init__(self) -> None:
        self._good: set[bytes] = set()
        self._lines: dict[bytes, tuple[bytes, bytes]] = {}

    def split(self, line: bytes) -> tuple[bytes, bytes] | None:
        """Method and target of a request line of HTTP/1.1 that leaves no doubt."""
        known = self._lines.get(line)
        if known is not None:
            return known
        found = _PLAIN_LINE(line)
        if found is None:
            return None
        known = found[1], found[2]
        if len(line) <= _LINE_BYTES:
            if len(self._lines) >= _LINES_REMEMBERED:
                self._lines.clear()
            self._lines[line] = known
        return known

    def valid(self, host: bytes) -> bool:
        """uri-host [":" port], and not empty."""
        if host in self._good:
            return True
        if _HOST.fullmatch(host) is None:
            return False
        if len(host) <= _HOST_BYTES:
            if len(self._good) >= _HOSTS_REMEMBERED:
                self._good.clear()
            self._good.add(host)
        return True


class _Recorder:
    """What the parser calls. It only records: an exception in a callback would blur the parser's own."""

    __slots__ = ("fields", "on_url", "pieces")

    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.on_url = self.pieces.append

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


class RequestReader:
    """The reading side of one connection.

    `waiting` holds parsed requests, at most the pipeline limit; what came beyond stays raw until `read_on()`.
    `refusal` is the first fault in the stream: nothing after it is read, what waits before it is still good.
    `started_at` is when the first byte of an unfinished head came. `body` belongs to the last request that was parsed,
    while it has not all come.
    """

    __slots__ = (
        "_at", "_block", "_data", "_empty_lines", "_hosts", "_known", "_limits", "_over", "_parser", "_peer",
        "_recorder", "_secure", "body", "refusal", "started_at", "waiting",
    )  # fmt: skip

    def __init__(self, limits: ServerSettings, hosts: Hosts, peer: str = "", secure: bool = False) -> None:
        self._limits = limits
        self._hosts = hosts
        self._peer = peer
        self._secure = secure
        self._recorder = _Recorder()
        self._parser = HttpRequestParser(self._recorder)
        self._block = b""  # the fields of the last request, as they came: a player says the same each time
        self._known: _Known | None = None
        self._data = b""
        self._at = 0
        self._empty_lines = 0
        self._over = False  # the client closes after its last request, or nothing more can be understood
        self.waiting: deque[Request] = deque()
        self.body: IncomingBody | None = None
        self.refusal: BadRequest | None = None
        self.started_at: float | None = None

    def __repr__(self) -> str:
        return f"<RequestReader waiting={len(self.waiting)} raw={self.raw} refusal={self.refusal}>"

    @property
    def raw(self) -> int:
        """Bytes that have come and are not parsed yet."""
        return len(self._data) - self._at

    @property
    def full(self) -> bool:
        """Do as many requests wait as may, or as much of a body?"""
        return len(self.waiting) >= self._limits.pipeline_limit or (self.body is not None and self.body.full)

    def feed(self, data: bytes, now: float) -> None:
        """Take what has come at monotonic time `now`."""
        if self._over:
            return
        self._data = self._data[self._at :] + data if self._data else data
        self._at = 0
        self.read_on(now)

    def read_on(self, now: float) -> None:
        """Parse what is there until as many requests wait as may."""
        data, at, size = self._data, self._at, len(self._data)
        waiting, limit = self.waiting, self._limits.pipeline_limit
        try:
            while at < size and len(waiting) < limit:
                if self.body is not None:
                    if self.body.full:
                        break
                    at += self._take_body(self.body, data[at:] if at else data, now)
                    continue
                if data[at] == _CR and data.startswith(b"\r\n", at):
                    at = self._skip_empty_line(at)
                    continue
                end = data.find(b"\r\n\r\n", at)
                if end < 0:
                    self._check_unfinished(data[at:])
                    break
                end += 4
                request = self._parse(data if end - at == size else data[at:end], now)
                waiting.append(request)
                self.started_at = None
                self._empty_lines = 0
                if request.body is not None and not request.body.complete:
                    self.body = request.body
                    at = end
                    continue
                self._over = not request.keep_alive
                at = end if request.keep_alive else size
        except BadRequest as refusal:
            self.refusal = refusal
            if self.body is not None and waiting and waiting[-1].body is self.body:
                waiting.pop()  # a request whose body cannot be read is none
            self._over = True
            at = size
        if at == size:
            self._data, self._at, self.started_at = b"", 0, None
        else:
            self._keep(data, at, now)

    def _take_body(self, body: IncomingBody, data: bytes, now: float) -> int:
        """Give a body what belongs to it; how many bytes that was."""
        used = body.feed(data, now)
        if body.complete:
            self.body = None
        return used

    def _keep(self, data: bytes, at: int, now: float) -> None:
        """Remember what is not parsed yet, and since when."""
        self._data, self._at = data, at
        if self.started_at is None:
            self.started_at = now

    def _skip_empty_line(self, at: int) -> int:
        """RFC 9112 section 2.2: empty lines before a request line are ignored; but not without end."""
        self._empty_lines += 1
        if self._empty_lines > _EMPTY_LINES:
            raise BadRequest("malformed request line")
        return at + 2

    def _check_unfinished(self, head: bytes) -> None:
        """Refuse what no further byte can make good, so that nobody waits for the deadline to hear it."""
        limits = self._limits
        if not 65 <= head[0] <= 90 and head != b"\r":  # methods begin with a capital; TLS begins with 22
            raise BadRequest("malformed request line")
        if len(head) > limits.max_line:
            self._check_size(head)
        if head.count(b"\n") != head.count(b"\r\n"):
            raise BadRequest("a line ends without CR LF")

    def _check_size(self, head: bytes) -> None:
        """Called for heads longer than a line may be."""
        limits = self._limits
        first, *others = head.split(b"\r\n")
        if len(first) > limits.max_line:
            raise BadRequest("request line too long", 414)
        if len(head) > limits.max_head or any(len(line) > limits.max_line for line in others):
            raise BadRequest("request head too large", 431)

    def _parse(self, head: bytes, now: float) -> Request:
        limits, recorder = self._limits, self._recorder
        if len(head) > limits.max_line:
            self._check_size(head)
        line = head.find(b"\r\n")
        if head.endswith(self._block) and len(head) - line == len(self._block) and self._known is not None:
            split = self._hosts.split(head[:line])
            if split is not None:
                same, named, stays, plain = self._known
                return Request(split[0], split[1], 1, same, named, stays, plain, now, self._peer, self._secure)
        version = head[line - 9 : line]
        if version == _HTTP11:
            minor = 1
        elif version == _HTTP10:
            minor = 0
        else:
            other = _OTHER_HTTP.fullmatch(version) is not None
            raise (BadRequest("HTTP version not supported", 505) if other else BadRequest("malformed request line"))
        fields: list[tuple[bytes, bytes]] = []
        recorder.fields = fields
        recorder.pieces.clear()
        try:
            self._parser.feed_data(head)
            method = self._parser.get_method()
        except HttpParserUpgrade:
            method = self._parser.get_method()  # Upgrade is ignored (RFC 9110 section 7.8); the message is complete
        except HttpParserInvalidMethodError as error:
            method = self._read_extension(head, error)
        except HttpParserError as error:
            raise BadRequest(str(error)) from error
        target = b"".join(recorder.pieces)
        if line != len(method) + len(target) + 10:
            raise BadRequest("malformed request line")  # the parser takes more than one space
        if len(fields) > limits.max_fields:
            raise BadRequest("too many header fields", 431)
        first = self._index(fields, minor)
        keep_alive = _keeps_alive(fields, minor) if b"connection" in first else minor == 1
        plain = SPECIAL.isdisjoint(first)
        if b"transfer-encoding" in first or b"content-length" in first:
            made: type[Request] = RequestWithBody
        else:
            made = Request
            if minor == 1:
                self._block, self._known = head[line:], (fields, first, keep_alive, plain)
        request = made(method, target, minor, fields, first, keep_alive, plain, now, self._peer, self._secure)
        if made is RequestWithBody:
            request.body = self._framed(fields, first, minor, now)
        return request

    def _read_extension(self, head: bytes, error: HttpParserError) -> bytes:
        """Read a request whose method the parser does not know; the method. BadRequest: it is none."""
        found = _EXTENSION_METHOD(head)
        if found is None:
            raise BadRequest(str(error)) from error
        self._parser = HttpRequestParser(self._recorder)
        self._recorder.pieces.clear()
        try:
            self._parser.feed_data(_STAND_IN + head[found.end() :])
        except HttpParserUpgrade:
            pass
        except HttpParserError as other:
            raise BadRequest(str(other)) from other
        return found[0]

    def _framed(
        self, fields: list[tuple[bytes, bytes]], first: dict[bytes, bytes], minor: int, now: float
    ) -> IncomingBody | None:
        """The body that a head announces (RFC 9112 section 6.3); what could be read in two ways is refused."""
        lengths = {value.strip(b" \t") for name, value in fields if name.lower() == b"content-length"}
        codings = [value.strip(b" \t").lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        most = self._limits.max_body
        if not codings and not b"".join(lengths).strip(b"0"):
            return None
        if not most:
            raise BadRequest("requests with a body are not accepted")
        if codings and (lengths or codings != [b"chunked"] or minor == 0):
            raise BadRequest("a body has one framing: Content-Length, or chunked in HTTP/1.1")
        length = None
        if lengths:
            value = lengths.pop()
            if lengths or not value.isdigit():
                raise BadRequest("malformed Content-Length")
            length = int(value) if len(value) <= 18 else most + 1
            if length > most:
                raise BadRequest("the request's body is too large", 413)
        self._parser = HttpRequestParser(self._recorder)  # the old one waits for a body that it will not see
        expects = first.get(b"expect", b"").lower() == b"100-continue" and minor == 1
        return IncomingBody(length, most, expects_continue=expects, now=now)

    def _index(self, fields: list[tuple[bytes, bytes]], minor: int) -> dict[bytes, bytes]:
        """The first value of each name, lower-case; refuses what makes the request ambiguous or long.

        The parser leaves OWS at a value's end (RFC 9112 section 5.1); other white space it has refused.
        """
        first = {name.lower(): value.rstrip() for name, value in reversed(fields)}
        if len(first) != len(fields) and sum(name.lower() == b"host" for name, _ in fields) > 1:
            raise BadRequest("more than one Host field")
        host = first.get(b"host")
        if host is None:
            if minor == 1:
                raise BadRequest("no Host field")
        elif not self._hosts.valid(host):
            raise BadRequest("invalid Host field")
        return first


def _keeps_alive(fields: list[tuple[bytes, bytes]], minor: int) -> bool:
    """RFC 9112 section 9.3: `close` wins; HTTP/1.0 stays only if it asked to."""
    options: set[bytes] = set()
    for name, value in fields:
        if name.lower() == b"connection":
            options.update(option.strip(b" \t").lower() for option in value.split(b","))
    if b"close" in options:
        return False
    return minor == 1 or b"keep-alive" in options
