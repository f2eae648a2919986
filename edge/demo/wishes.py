"""What a request may ask of the origin in its query, so that a test needs no configuration. Pure.

    cc=TEXT        Cache-Control; without it none is sent       private        Cache-Control: private
    etag=KIND      strong (default), weak, none                 cookie         a Set-Cookie field
    lastmod        a Last-Modified that moves with the version  vary=NAMES     Vary
    status=N       this status with a short text                redirect=URL   302 there (status= may say 301, 307, ...)
    delay=MS       before the head                              rate=N         body bytes a second
    chunked        chunked, no Content-Length                   norange        ranges are ignored, the whole comes
    gzip           the body in gzip for those who accept it     type=TEXT      Content-Type
    age=N          Age                                          h=NAME:VALUE   any other field, also several
    fault=KIND at=N times=N    see `edge.demo.faults`; only the faulty origin does these

Unknown names are ignored: players add tokens and cache-busters of their own. `weak` and `noetag` are short for etag=.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, TypeVar
from urllib.parse import parse_qs

from edge.demo.faults import Fault

E = TypeVar("E", bound=StrEnum)
DELAY_MOST: Final = 600_000.0  # ms: a test that waits longer hangs
_FIELD: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[^\r\n\0]*")


class Tag(StrEnum):
    """Which ETag an object has."""

    STRONG = "strong"
    WEAK = "weak"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Wishes:
    """The options of one request; delay in seconds, rate in bytes a second (0 = as fast as it goes)."""

    cache_control: str | None = None
    tag: Tag = Tag.STRONG
    last_modified: bool = False
    status: int | None = None
    redirect: str | None = None
    delay: float = 0.0
    rate: float = 0.0
    chunked: bool = False
    ranges: bool = True
    gzip: bool = False
    content_type: str = "video/mp2t"
    more: tuple[tuple[str, str], ...] = ()
    fault: Fault | None = None
    at: int | None = None
    times: int = 0


class WrongWish(ValueError):
    """An option's value cannot be used; the text names it."""


@lru_cache(maxsize=1024)
def wishes_of(query: str) -> Wishes:
    """Wishes from a query as it stands in a target; WrongWish says what is wrong."""
    return read_wishes(parse_qs(query, keep_blank_values=True)) if query else Wishes()


def read_wishes(query: Mapping[str, Sequence[str]]) -> Wishes:
    """Wishes from a query (name to all its values); WrongWish says what is wrong."""
    last = {name: values[-1] for name, values in query.items() if values}
    fault = last.get("fault")
    return Wishes(
        cache_control=_text(last, "cc") or ("private" if "private" in last else None),
        tag=_tag(last),
        last_modified="lastmod" in last,
        status=_status(last),
        redirect=_text(last, "redirect"),
        delay=_number(last, "delay", DELAY_MOST) / 1000,
        rate=_number(last, "rate", 1e12),
        chunked="chunked" in last,
        ranges="norange" not in last,
        gzip="gzip" in last,
        content_type=_text(last, "type") or "video/mp2t",
        more=tuple(_more(query, last)),
        fault=_one_of(Fault, "fault", fault) if fault is not None else None,
        at=int(_number(last, "at", 1e15)) if "at" in last else None,
        times=int(_number(last, "times", 1e9)),
    )


def _tag(last: Mapping[str, str]) -> Tag:
    if "noetag" in last:
        return Tag.NONE
    return Tag.WEAK if "weak" in last else _one_of(Tag, "etag", last.get("etag", "strong"))


def _status(last: Mapping[str, str]) -> int | None:
    if "status" not in last:
        return None
    status = _number(last, "status", 599)
    if status < 200:
        raise WrongWish(f"status={last['status']}: 200 to 599")
    return int(status)


def _more(query: Mapping[str, Sequence[str]], last: Mapping[str, str]) -> list[tuple[str, str]]:
    more = []
    if "cookie" in last:
        more.append(("Set-Cookie", "seen=1; Path=/"))
    for name, field in (("vary", "Vary"), ("age", "Age")):
        if text := _text(last, name):
            more.append((field, text))
    for field in query.get("h", ()):
        if not _FIELD.fullmatch(field):
            raise WrongWish(f"h={field!r}: write NAME:VALUE")
        name, _, value = field.partition(":")
        more.append((name, value.strip()))
    return more


def _text(last: Mapping[str, str], name: str) -> str | None:
    text = last.get(name)
    if text is not None and re.search(r"[\r\n\0]", text):
        raise WrongWish(f"{name}={text!r}: no line ends")
    return text


def _number(last: Mapping[str, str], name: str, most: float) -> float:
    """0 when it is not given."""
    text = last.get(name, "0")
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", text, re.ASCII) or float(text) > most:
        raise WrongWish(f"{name}={text}: a number up to {most:.0f}")
    return float(text)


def _one_of(kinds: type[E], name: str, text: str) -> E:
    try:
        return kinds(text)
    except ValueError:
        raise WrongWish(f"{name}={text}: one of {', '.join(kinds)}") from None
