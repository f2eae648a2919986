"""What a player will ask for after a segment: by its own word (CMCD), by the list that names it, or by its number.

References are turned into targets of the same site (`at_site`) and nothing else: what leads to another server, or is
written so that two readers could take it for two things, names nothing.
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

TARGET_MOST: Final = 2048  # bytes; a longer one is no segment's
SAID_MOST: Final = 8  # that a player may announce at once: as many as are ever fetched ahead of it
_HOST: Final = "http://site.invalid"  # stands for the site while references are resolved
_DOUBTFUL: Final = re.compile(r"[\x00-\x20\x7f\\#]")
_DOTS: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$|\?)|%2f|%5c|%00", re.IGNORECASE)
_SAFE: Final = "!$%&'()*+,/:;=?@[]~"

_RANGE: Final = re.compile(r"([0-9]{1,15})(?:@([0-9]{1,15}))?")
_ATTRIBUTE: Final = re.compile(r'([A-Z-]+)=(?:"([^"]*)"|([^,"]*))')
_NOR: Final = re.compile(r'(?:^|,)\s*nor=(?:"((?:[^"\\]|\\.)*)"|\(((?:"(?:[^"\\]|\\.)*"|[^")])*)\))')
_NRR: Final = re.compile(r'(?:^|,)\s*nrr="([0-9]{1,15})-([0-9]{1,15})?"')
_NOR_ITEM: Final = re.compile(r'"((?:[^"\\]|\\.)*)"((?:;[a-z]+(?:="[^"]*")?)*)')
_NOR_RANGE: Final = re.compile(r';r="([0-9]{1,15})-([0-9]{1,15})?"')
_VERSION_2: Final = re.compile(r"(?:^|,)\s*v=2(?:,|$)")
_NUMBERED: Final = re.compile(rb"(.*/[^/]*?)([0-9]{1,12})(\.[A-Za-z0-9]{1,5})")
_START: Final = re.compile(rb"bytes=([0-9]{1,15})-")

To = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """Bytes [start, end) of a target of the same site, -1 = to its end; it plays for `seconds`, 0 = nobody says.

    `init`: no segment itself, but what those that follow cannot be played without.
    """

    target: bytes
    start: int = 0
    end: int = -1
    seconds: float = 0.0
    init: bool = False

    @property
    def ranged(self) -> bool:
        return self.start > 0 or self.end >= 0


def at_site(reference: str, base: bytes, hosts: Collection[str]) -> bytes | None:
    """The target that a reference leads to from another one of the site, whose `hosts` are in lower case."""
    if len(reference) > TARGET_MOST or _DOUBTFUL.search(reference):
        return None
    try:
        url = urljoin(_HOST + base.decode("ascii"), reference)
        parts = urlsplit(url)
    except (UnicodeDecodeError, ValueError):
        return None
    if parts.scheme not in ("http", "https") or f"//{parts.netloc.lower()}" not in (
        _HOST[5:],
        *(f"//{host}" for host in hosts),
    ):
        return None
    path = quote(parts.path, safe=_SAFE) or "/"
    if _DOTS.search(path):
        return None
    target = path + ("?" + quote(parts.query, safe=_SAFE) if parts.query else "")
    return target.encode() if len(target) <= TARGET_MOST else None


def directory(target: bytes) -> bytes:
    """Of the path, with its last slash."""
    return target.partition(b"?")[0].rpartition(b"/")[0] + b"/"


def said(text: str, to: To, of: bytes) -> list[Upcoming]:
    """What CMCD's `nor` and `nrr` announce (CTA-5004 versions 1 and 2); without `nor` a range is of `of` itself."""
    two = _VERSION_2.search(text) is not None
    given = _NOR.search(text)
    whole = _NRR.search(text)
    span = _span(whole) if whole is not None else (0, -1)
    if given is None:
        return [Upcoming(of, *span)] if whole is not None else []
    listed = islice(_NOR_ITEM.finditer(given[2] or ""), SAID_MOST)
    items = [(each[1], each[2]) for each in listed] if given[1] is None else [(given[1], "")]
    found = []
    for reference, more in items:
        target = to(reference if two else unquote(reference))
        own = _NOR_RANGE.search(more)
        if target is not None:
            found.append(Upcoming(target, *(_span(own) if own is not None else span)))
    return found


def _span(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2]) + 1 if match[2] else -1


def after_number(target: bytes) -> Upcoming | None:
    """The neighbour by name: the number that ends the file's name, and one more. None where there is no such number."""
    found = _NUMBERED.fullmatch(target)
    if found is None:
        return None
    number = b"%d" % (int(found[2]) + 1)
    return Upcoming(found[1] + number.zfill(len(found[2])) + found[3])


@dataclass(frozen=True, slots=True)
class _Listed:
    """A media playlist's segment; `init` = the section that it needs, with its own stretch."""

    uri: str
    start: int
    end: int
    seconds: float
    init: tuple[str, int, int] | None


def after_in_playlist(body: bytes, to: To, target: bytes, start: int, count: int) -> list[Upcoming] | None:
    """The next segments of an HLS media playlist, and before them the init section of the first one.

    `start` = where in the target the current one begins. None: the playlist does not name it.
    """
    name = target.partition(b"?")[0].rpartition(b"/")[2]
    if name not in body:
        return None
    short = name.decode("latin-1")
    entries = _listed(body)
    for entry in entries:
        if entry.uri.partition("?")[0].endswith(short) and _is_at(entry, start) and to(entry.uri) == target:
            return list(_after(islice(entries, count), to))
    return None


def _is_at(entry: _Listed, start: int) -> bool:
    return entry.start == start if entry.end >= 0 else True


def _after(entries: Iterator[_Listed], to: To) -> Iterator[Upcoming]:
    told: set[tuple[str, int, int]] = set()
    for entry in entries:
        if entry.init is not None and entry.init not in told:
            told.add(entry.init)
            init = to(entry.init[0])
            if init is not None:
                yield Upcoming(init, entry.init[1], entry.init[2], entry.seconds, init=True)
        next_ = to(entry.uri)
        if next_ is not None:
            yield Upcoming(next_, entry.start, entry.end, entry.seconds)


def _listed(body: bytes) -> Iterator[_Listed]:
    """RFC 8216 section 4.3.2: a range without an offset begins where the one before it in the same file ended."""
    seconds, span, gap = 0.0, "", False
    init: tuple[str, int, int] | None = None
    ends: dict[str, int] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if line.startswith("#EXTINF:"):
            seconds = _seconds(line[8:].partition(",")[0])
        elif line.startswith("#EXT-X-BYTERANGE:"):
            span = line[17:]
        elif line.startswith("#EXT-X-MAP:"):
            init = _map(line[11:])
        elif line.startswith("#EXT-X-GAP"):
            gap = True
        elif line and not line.startswith("#"):
            start, end = _stretch(span, ends.get(line, 0))
            ends[line] = end
            if not gap:
                yield _Listed(line, start, end, seconds, init)
            seconds, span, gap = 0.0, "", False


def _map(attributes: str) -> tuple[str, int, int] | None:
    told = {name: quoted or bare for name, quoted, bare in _ATTRIBUTE.findall(attributes)}
    return (told["URI"], *_stretch(told.get("BYTERANGE", ""), 0)) if "URI" in told else None


def _stretch(span: str, otherwise: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(span.strip())
    if match is None:
        return 0, -1
    start = int(match[2]) if match[2] else otherwise
    return start, start + int(match[1])


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 60.0)
    except ValueError:
        return 0.0


def start_of(range_field: bytes | None) -> int:
    """Where the first part begins that a Range field asks for; 0 where that is not said by a position."""
    match = _START.match(range_field) if range_field is not None else None
    return int(match[1]) if match is not None else 0
