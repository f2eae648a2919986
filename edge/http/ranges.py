"""Byte ranges (RFC 9110 section 14)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_SPECS: Final = 100  # more in one field is an attack: the field is ignored (section 14.2)
MOST: Final = 1 << 62  # positions beyond are the same to us: no object is that long
_UNIT: Final = re.compile(rb"bytes=", re.IGNORECASE)  # section 14.1: unit names know no case
_SPEC: Final = re.compile(rb"([0-9]*)-([0-9]*)")


@dataclass(frozen=True, slots=True)
class RangeSpec:
    """`first`-`last` inclusive as written; a suffix has first None and its length in `last`."""

    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Whole:
    """The field is not honoured: 200 with everything."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Half-open stretches to send; one makes a plain 206, several a multipart."""

    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416."""


def parse_range(value: bytes) -> tuple[RangeSpec, ...] | None:
    """The specs of a Range field; None = ignore it (another unit, malformed, absurdly many)."""
    unit = _UNIT.match(value)
    if unit is None:
        return None
    specs: list[RangeSpec] = []
    for text in value[unit.end() :].split(b","):
        stripped = text.strip(b" \t")
        if not stripped:
            continue
        match = _SPEC.fullmatch(stripped)
        if match is None or len(specs) >= MAX_SPECS:
            return None
        spec = _spec(*match.groups())
        if spec is None:
            return None
        specs.append(spec)
    return tuple(specs) or None


def _spec(first: bytes, last: bytes) -> RangeSpec | None:
    if not first:
        return RangeSpec(None, _number(last)) if last else None
    if last and _before(last, first):
        return None  # section 14.1.1: invalid, so the whole field is
    return RangeSpec(_number(first), _number(last) if last else None)


def _number(digits: bytes) -> int:
    digits = digits.lstrip(b"0")  # int() refuses more than 4,300 digits, zeros included
    return MOST if len(digits) > 18 else int(digits or b"0")


def _before(one: bytes, other: bytes) -> bool:
    """Compare as numbers of any length, without making numbers of them."""
    one, other = one.lstrip(b"0"), other.lstrip(b"0")
    return (len(one), one) < (len(other), other)


def resolve(specs: Sequence[RangeSpec], total: int) -> tuple[tuple[int, int], ...]:
    """The satisfiable ones as half-open stretches of an object of `total` bytes, in the order asked."""
    found = []
    for spec in specs:
        if spec.first is None:
            length = min(spec.last or 0, total)
            if length:
                found.append((total - length, total))
        elif spec.first < total:
            found.append((spec.first, total if spec.last is None else min(spec.last + 1, total)))
    return tuple(found)


def select(specs: Sequence[RangeSpec], total: int, max_parts: int = 16) -> Whole | Parts | Unsatisfiable:
    """What to send: parts that overlap or touch are merged; too many, or more than the whole: the whole.

    Of an empty object a suffix is all that there is (section 14.1.2), but no Content-Range can say so: the
    whole.
    """
    if len(specs) > max_parts:
        return Whole()
    found = resolve(specs, total)
    if not found:
        empty = total == 0 and any(spec.first is None and spec.last for spec in specs)
        return Whole() if empty else Unsatisfiable()
    if sum(end - start for start, end in found) > total:
        return Whole()
    return Parts(found if len(found) == 1 else _merged(found))


def _merged(parts: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Merge what overlaps or touches, keeping the place of the first of them (section 15.3.7.2)."""
    merged: list[tuple[int, int]] = []
    for start, end in parts:
        for at, (low, high) in enumerate(merged):
            if start <= high and end >= low:
                merged[at] = min(low, start), max(high, end)
                break
        else:
            merged.append((start, end))
    result = tuple(merged)
    return result if result == parts else _merged(result)
