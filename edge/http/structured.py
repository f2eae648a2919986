"""Structured fields (RFC 9651): as much as a dictionary of cache directives needs."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

Item = bool | int | float | bytes | tuple["Item", ...]

_KEY: Final = re.compile(rb"[a-z*][a-z0-9_.*-]*")
_OWS: Final = re.compile(rb"[ \t]*")
_SPACES: Final = re.compile(rb" *")
_BARE: Final = re.compile(
    rb"(?P<decimal>-?[0-9]{1,12}\.[0-9]{1,3})|(?P<integer>@?-?[0-9]{1,15})"
    rb'|"(?P<string>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    rb"|(?P<token>[A-Za-z*][A-Za-z0-9:/!#$%&'*+.^_`|~-]*)|:(?P<base64>[A-Za-z0-9+/=]*):|\?(?P<boolean>[01])"
    rb'|%"(?P<display>(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"'
)


class _MalformedError(Exception):
    """The whole field is to be ignored (section 4.2)."""


def parse_dictionary(values: Iterable[bytes]) -> dict[bytes, Item] | None:
    """Members by key, the last of each key (section 4.2.2); None when anything of the field is malformed.

    Strings and tokens come as bytes alike (a display string in UTF-8), a date as its seconds, a byte sequence in
    base64; parameters are checked and left out.
    """
    text = b", ".join(values).strip(b" ")
    try:
        return _Scan(text).dictionary()
    except _MalformedError:
        return None


def _utf8(text: bytes) -> bytes:
    """A display string has to be one (section 4.2.10)."""
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _MalformedError from None
    return text


class _Scan:
    """A position in one field's text that only moves on."""

    __slots__ = ("_at", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def dictionary(self) -> dict[bytes, Item]:
        found: dict[bytes, Item] = {}
        while self._at < len(self._text):
            key = self._take(_KEY)
            found[key] = self._member() if self._skip(b"=") else True
            self._parameters()
            self._take(_OWS)
            if self._at == len(self._text):
                break
            self._expect(b",")
            self._take(_OWS)
            if self._at == len(self._text):
                raise _MalformedError  # a comma at the end
        return found

    def _member(self) -> Item:
        if not self._skip(b"("):
            return self._bare()
        inner: list[Item] = []
        while True:
            self._take(_SPACES)
            if self._skip(b")"):
                return tuple(inner)
            inner.append(self._bare())
            self._parameters()
            if self._text[self._at : self._at + 1] not in (b" ", b")"):
                raise _MalformedError

    def _parameters(self) -> None:
        while self._skip(b";"):
            self._take(_SPACES)
            self._take(_KEY)
            if self._skip(b"="):
                self._bare()

    def _bare(self) -> Item:
        match = _BARE.match(self._text, self._at)
        if match is None:
            raise _MalformedError
        self._at = match.end()
        given = match[match.lastgroup or 0]
        match match.lastgroup:
            case "integer":
                return int(given.lstrip(b"@"))
            case "decimal":
                return float(given)
            case "boolean":
                return given == b"1"
            case "string":
                return re.sub(rb"\\(.)", rb"\1", given)
            case "display":
                return _utf8(unquote_to_bytes(given))
            case _:
                return given

    def _take(self, pattern: re.Pattern[bytes]) -> bytes:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _MalformedError
        self._at = match.end()
        return match[0]

    def _skip(self, mark: bytes) -> bool:
        if self._text[self._at : self._at + 1] != mark:
            return False
        self._at += 1
        return True

    def _expect(self, mark: bytes) -> None:
        if not self._skip(mark):
            raise _MalformedError
