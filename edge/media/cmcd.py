"""CMCD: what players tell of themselves with their requests (CTA-5004, versions 1 and 2).

It comes in the query (`CMCD=`, percent-encoded) or in up to four fields, as a dictionary in the style of structured
fields (RFC 8941), or as a JSON object. It is read leniently, member by member: a player's mistake costs that member,
never the request. What is not in the table below and is no custom key (these have a hyphen) is left out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import unquote_to_bytes

from edge.observe.experience import Experience

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]

PARAMETER: Final = b"CMCD="
FIELDS: Final = (b"cmcd-object", b"cmcd-request", b"cmcd-session", b"cmcd-status")
TEXT_MOST: Final = 8192  # characters that are read; a request's line has no more
CUSTOM_MOST: Final = 8  # keys of a player's own making
FAULTS_MOST: Final = 8  # malformed members after which the rest is not read: each may cost a scan of the whole
LIST_MOST: Final = 16  # values of one key (version 2: one for each kind of track)
KILOBIT: Final = 125.0  # bytes
NUMBERS_MOST: Final = 1e9  # kbit/s or ms: beyond it a number is a mistake


class _Form(StrEnum):
    NUMBER = "number"
    TEXT = "text"
    TOKEN = "token"
    YES = "yes"


def _table(**keys: str) -> dict[str, _Form]:
    return {key: _Form(form) for form, names in keys.items() for key in names.split()}


_NUMBER, _TEXT, _TOKEN, _YES = _Form.NUMBER, _Form.TEXT, _Form.TOKEN, _Form.YES  # naming a member costs more


# Keys of both versions for requests, of version 2 for responses and events.
KEYS: Final[Mapping[str, _Form]] = _table(
    number="br bl d dl mtp pr rtp tb v ab lab lb tab tbl tpb msd ltc pt bsa bsd bsda dfa sn ts rc ttfb ttfbb ttlb",
    text="cid sid nor nrr ec cdn cs smrt url cmsdd cmsds cen h",
    token="ot sf st sta e",
    yes="bs su bg nr",
)
LENGTHS: Final = {"sid": 64, "cid": 128}  # CTA-5004; what is longer is cut
TEXT_LENGTH: Final = 64  # of other text that we keep: next objects, error codes, custom keys

_KEY: Final = re.compile(r"[A-Za-z*][A-Za-z0-9_.*-]*")
_MEMBER: Final = re.compile(
    r"\s*(?P<key>[A-Za-z*][A-Za-z0-9_.*-]{0,63})"
    r'(?:=(?:"(?P<text>(?:[^"\\]|\\.)*)"|\((?P<list>(?:"(?:[^"\\]|\\.)*"|[^")])*)\)|(?P<bare>[^,;"() ]+)))?'
    r"(?:;[^,]*)?\s*(?:,|$)"
)
_ITEM: Final = re.compile(r'\s*(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s;"]+))(?:;[^\s"]*(?:"[^"]*")?)?')
_ESCAPED: Final = re.compile(r"\\(.)")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")
_WORD: Final = re.compile(r"[A-Za-z0-9_.:*-]{1,16}")


def told_by(target: bytes, fields: Iterable[bytes]) -> dict[str, Value]:
    """All that a request tells, by key: out of its target's query and the values of its CMCD fields, which win."""
    found = parse(of_query(target))
    for value in fields:
        found.update(parse(value.decode("latin-1")))
    return found


def of_query(target: bytes) -> str:
    """The value of the query's CMCD parameter, decoded; empty if there is none."""
    query = target.partition(b"?")[2]
    for part in query.split(b"&"):
        if part.startswith(PARAMETER):
            return unquote_to_bytes(part[len(PARAMETER) :]).decode(errors="replace")
    return ""


def without_parameter(target: bytes) -> bytes:
    """The target as it would be from a player that tells nothing."""
    path, mark, query = target.partition(b"?")
    if not mark:
        return target
    kept = b"&".join(part for part in query.split(b"&") if not part.startswith(PARAMETER))
    return b"%s?%s" % (path, kept) if kept else path


def parse(text: str) -> dict[str, Value]:
    """The members that are well-formed and known or custom, in their order; of each key the last."""
    text = text[:TEXT_MOST].strip()
    plain = _plain(text)
    if plain is not None:
        return plain
    members = _of_json(text) if text.startswith("{") else _members(text)
    found: dict[str, Value] = {}
    custom = 0
    for key, given in members:
        value = _checked(key, given)
        if value is None:
            continue
        if key not in KEYS and key not in found:
            custom += 1
            if custom > CUSTOM_MOST:
                continue
        found[key] = value
    return found


def experience(told: Mapping[str, Value]) -> Experience:
    """What metrics count of it."""
    return Experience(
        version=2 if told.get("v") == 2 else 1,
        stream={"v": "vod", "l": "live", "ll": "live"}.get(str(told.get("st")), "unknown"),
        starved=told.get("bs") is True,
        rebuffering=told.get("sta") == "r",
        starting=told.get("su") is True,
        buffer_seconds=_amount(told, "bl", 0.001, least=True),
        measured=_amount(told, "mtp", KILOBIT),
        requested=_amount(told, "rtp", KILOBIT),
        encoded=_amount(told, "br", KILOBIT),
    )


def _amount(told: Mapping[str, Value], key: str, unit: float, *, least: bool = False) -> float | None:
    """Of a list (audio and video) the sum; of buffers the least, which is the one that runs dry."""
    value = told.get(key)
    given = value if isinstance(value, tuple) else (value,)
    numbers = [each for each in given if isinstance(each, int | float) and 0 <= each <= NUMBERS_MOST]
    if not numbers:
        return None
    return (min(numbers) if least else sum(numbers)) * unit


# -- reading ---------------------------------------------------------------------------------------


def _plain(text: str) -> dict[str, Value] | None:
    """What nearly all players write, read in a fifth of the time; None where it takes more to know what is meant."""
    if not text.isascii() or "\\" in text:
        return None
    found: dict[str, Value] = {}
    for part in text.split(","):
        key, given, value = part.partition("=")
        form = KEYS.get(key)
        if form is _YES and not given:
            found[key] = True
        elif form is _NUMBER and value.isdigit() and len(value) <= 9:
            found[key] = int(value)
        elif form is _TOKEN and value.isalpha() and len(value) <= 16:
            found[key] = value
        elif form is _TEXT and len(value) > 1 and value[0] == value[-1] == '"' and value.count('"') == 2:
            found[key] = value[1:-1][: LENGTHS.get(key, TEXT_LENGTH)]
        else:
            return None
    return found


def _members(text: str) -> Iterator[tuple[str, Value]]:
    at = faults = 0
    while at < len(text):
        found = _MEMBER.match(text, at)
        if found is None:
            faults += 1
            at = text.find(",", at) + 1
            if not at or faults == FAULTS_MOST:
                return
            continue
        at = found.end()
        if found["list"] is not None:
            yield found["key"], tuple(_items(found["list"]))
        elif found["text"] is not None:
            yield found["key"], _ESCAPED.sub(r"\1", found["text"])
        else:
            yield found["key"], True if found["bare"] is None else _bare(found["bare"])


def _items(text: str) -> Iterator[Scalar]:
    for number, found in enumerate(_ITEM.finditer(text)):
        if number == LIST_MOST:
            return
        yield _ESCAPED.sub(r"\1", found["text"]) if found["text"] is not None else _bare(found["bare"])


def _bare(text: str) -> Scalar:
    if text in ("?1", "?0"):
        return text == "?1"
    if _DECIMAL.fullmatch(text):
        return float(text) if "." in text else int(text)
    return text


def _of_json(text: str) -> Iterator[tuple[str, Value]]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return
    for key, value in given.items():
        if isinstance(value, list):
            scalars = tuple(each for each in value[:LIST_MOST] if isinstance(each, Scalar))
            yield key, scalars
        elif isinstance(value, Scalar):
            yield key, value


def _checked(key: str, value: Value) -> Value | None:
    """The value if it is of its key's form, cut to its length; None if it is not, or if nobody knows the key."""
    form = KEYS.get(key)
    if form is None:
        if "-" not in key or not _KEY.fullmatch(key) or len(key) > TEXT_LENGTH:
            return None
        form = _Form.YES if isinstance(value, bool) else _Form.NUMBER if _is_number(value) else _Form.TEXT
    if isinstance(value, tuple):
        values = tuple(each for each in (_scalar(key, form, each) for each in value) if each is not None)
        return values or None
    return _scalar(key, form, value)


def _scalar(key: str, form: _Form, value: Scalar) -> Scalar | None:
    match form:
        case _Form.NUMBER:
            return value if _is_number(value) and abs(value) < 1e15 else None  # type: ignore[arg-type]
        case _Form.YES:
            return value if isinstance(value, bool) else None
        case _Form.TOKEN:
            return value if isinstance(value, str) and _WORD.fullmatch(value) else None
        case _Form.TEXT:
            return value[: LENGTHS.get(key, TEXT_LENGTH)] if isinstance(value, str) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
