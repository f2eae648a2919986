"""What follows a segment in a DASH manifest (ISO/IEC 23009-1): templates by number or time, and segment lists."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final
from urllib.parse import urljoin
from xml.etree import ElementTree

from edge.media.playlists import duration_seconds
from edge.media.references import (
    PLACEHOLDER,
    base_of,
    filled_in,
    inherited,
    integer,
    local_name,
    parsed,
    segment_numbers,
)
from edge.media.upcoming import To, Upcoming

ENTRIES_MOST: Final = 20_000  # segments of one rendition that are gone through: a day of 4 s
_MARK: Final = "-0-mark-0-"  # stands for a template's number, which no reference contains
_SPAN: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})")


def after_in_manifest(body: bytes, to: To, target: bytes, start: int, count: int) -> list[Upcoming] | None:
    """The next segments of the representation that has this one, and before them its initialisation.

    Of a live manifest only what its timeline lists: when a number will be there is not for us to guess. None: the
    manifest does not name it, or cannot be read.
    """
    root = parsed(body)
    if root is None:
        return None
    seconds = duration_seconds(root.get("mediaPresentationDuration", "").encode()) or 0.0
    for each in _representations(root, "", seconds, {}, None):
        found = _by_template(each, to, target, count) if each.template.get("media") else None
        if found is None and each.list is not None:
            found = _by_list(each, to, target, start, count)
        if found is not None:
            return found
    return None


class _Representation:
    """What holds for one representation, with all that it inherits; `base` is a reference, too."""

    __slots__ = ("base", "list", "node", "seconds", "template")

    def __init__(
        self,
        node: ElementTree.Element,
        base: str,
        seconds: float,
        template: dict[str, str],
        listed: ElementTree.Element | None,
    ) -> None:
        self.node, self.base, self.seconds, self.template, self.list = node, base, seconds, template, listed

    def named(self, pattern: str, value: str = "0") -> str:
        return urljoin(self.base, filled_in(pattern, self.node, value, value))


def _representations(
    node: ElementTree.Element, base: str, seconds: float, template: dict[str, str], listed: ElementTree.Element | None
) -> Iterator[_Representation]:
    base, template = base_of(node, base), inherited(node, template)
    if local_name(node) == "Period" and node.get("duration"):
        seconds = duration_seconds(node.get("duration", "").encode()) or seconds
    listed = next((child for child in node if local_name(child) == "SegmentList"), listed)
    if local_name(node) == "Representation":
        yield _Representation(node, base, seconds, template, listed)
    for child in node:
        if local_name(child) in ("Period", "AdaptationSet", "Representation"):
            yield from _representations(child, base, seconds, template, listed)


def _by_template(each: _Representation, to: To, target: bytes, count: int) -> list[Upcoming] | None:
    media = each.template["media"]
    by_time = "$Time" in media
    shown = to(each.named(PLACEHOLDER.sub(_shown, media)))
    if shown is None:
        return None
    before, mark, after = shown.partition(_MARK.encode())
    match = re.fullmatch(b"%b([0-9]{1,20})%b" % (re.escape(before), re.escape(after)), target) if mark else None
    if match is None:
        return None
    value, at = int(match[1]), 1 if by_time else 0
    scale = integer(each.template.get("timescale"), 1) or 1
    numbers = islice(segment_numbers(each.template, each.seconds), ENTRIES_MOST)
    current = next((entry for entry in numbers if entry[at] == value), None)
    if current is None:
        return None
    found, time = [], current[1]
    for entry in islice(numbers, count):
        next_ = to(each.named(media, str(entry[at])))
        if next_ is not None:
            found.append(Upcoming(next_, seconds=min((entry[1] - time) / scale, 60.0)))
        time = entry[1]
    return _with_init(each.template.get("initialization"), each, to, found)


def _shown(match: re.Match[str]) -> str:
    """The place of a number becomes the mark; of two the second stays, and matches nothing."""
    return _MARK if match[1] in ("Number", "Time") else match[0]


def _by_list(each: _Representation, to: To, target: bytes, start: int, count: int) -> list[Upcoming] | None:
    assert each.list is not None
    entries = (child for child in islice(each.list, ENTRIES_MOST) if local_name(child) == "SegmentURL")
    length, scale = integer(each.list.get("duration"), 0), integer(each.list.get("timescale"), 1) or 1
    name = target.partition(b"?")[0].rpartition(b"/")[2].decode("latin-1")
    if not any(
        _may_name(e, name) and to(each.named(e.get("media", ""))) == target and _begins(e, start) for e in entries
    ):
        return None
    found = []
    for entry in islice(entries, count):
        next_ = to(each.named(entry.get("media", "")))
        span = _SPAN.fullmatch(entry.get("mediaRange", ""))
        if next_ is not None:
            low, high = (int(span[1]), int(span[2]) + 1) if span is not None else (0, -1)
            found.append(Upcoming(next_, low, high, min(length / scale, 60.0)))
    init = next((child.get("sourceURL") for child in each.list if local_name(child) == "Initialization"), None)
    return _with_init(init, each, to, found)


def _may_name(entry: ElementTree.Element, name: str) -> bool:
    """To resolve a reference costs a hundred times as much."""
    media = entry.get("media", "")
    return not media or "$" in media or media.partition("?")[0].endswith(name)


def _begins(entry: ElementTree.Element, start: int) -> bool:
    span = _SPAN.fullmatch(entry.get("mediaRange", ""))
    return span is None or int(span[1]) == start


def _with_init(init: str | None, each: _Representation, to: To, found: list[Upcoming]) -> list[Upcoming]:
    first = to(each.named(init)) if init else None
    return [Upcoming(first, init=True), *found] if first is not None and found else found
