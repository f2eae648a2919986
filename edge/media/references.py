"""What a playlist or manifest refers to: the URLs of its renditions, segments, keys and init segments.

HLS: RFC 8216 sections 4.3 and 4.4. DASH: ISO/IEC 23009-1 section 5.3.9; only documents without a document type are
read, so that no entity can be expanded.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin
from xml.etree import ElementTree

from edge.media.playlists import duration_seconds

MOST: Final = 200_000  # references of one list: a day of 0.5 s parts
NOT_READ: Final = (b"<!DOCTYPE", b"<!ENTITY", b"\0")  # a zero: in UTF-16 the others do not look so
DEEPEST: Final = 32  # elements within elements; a manifest has six levels
LARGEST: Final = 1 << 63  # a number beyond it is none: what is computed from it would be too large for a float
_URI: Final = re.compile(r'[:,]\s*URI="([^"]*)"')
PLACEHOLDER: Final = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth|SubNumber)?(%0(\d{1,2})d)?\$")
_NAMESPACE: Final = re.compile(r"^\{[^}]*\}")


def in_playlist(body: bytes, base: str) -> list[str]:
    """Absolute URLs that an HLS playlist names, in its order, each once."""
    found: dict[str, None] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if line.startswith("#EXT"):
            found.update((urljoin(base, uri), None) for uri in _URI.findall(line) if not uri.startswith("data:"))
        elif line and not line.startswith("#"):
            found[urljoin(base, line)] = None
        if len(found) >= MOST:
            break
    return list(found)


def parsed(body: bytes) -> ElementTree.Element | None:
    """The root of a manifest; None: it is none, or none that is read here."""
    if any(sign in body for sign in NOT_READ):
        return None
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):  # also an encoding that nobody knows
        return None
    level, depth = [root], 0
    while level and depth < DEEPEST:
        level, depth = [child for node in level for child in node], depth + 1
    return root if not level else None


def in_manifest(body: bytes, base: str) -> list[str]:
    """Absolute URLs that a DASH manifest names, in its order, each once; none of what cannot be read."""
    root = parsed(body)
    if root is None:
        return []
    whole = duration_seconds(root.get("mediaPresentationDuration", "").encode()) or 0.0
    found: dict[str, None] = {}
    for url in _walk(root, base, whole, {}):
        found[url] = None
        if len(found) >= MOST:
            break
    return list(found)


def _walk(node: ElementTree.Element, base: str, seconds: float, template: dict[str, str]) -> Iterator[str]:
    """`template` = the SegmentTemplate attributes inherited from above."""
    base = base_of(node, base)
    if local_name(node) == "Period" and node.get("duration"):
        seconds = duration_seconds(node.get("duration", "").encode()) or seconds
    template = inherited(node, template)
    for child in node:
        match local_name(child):
            case "SegmentList" | "SegmentBase":
                yield from _listed(child, base)
            case "BaseURL" | "SegmentTemplate":
                pass
            case _:
                yield from _walk(child, base, seconds, template)
    if local_name(node) == "Representation":
        if template:
            yield from _expanded(node, base, seconds, template)
        elif any(local_name(child) == "BaseURL" for child in node):
            yield base


def _listed(node: ElementTree.Element, base: str) -> Iterator[str]:
    for child in node.iter():
        for attribute in ("media", "sourceURL", "index"):
            if child.get(attribute):
                yield urljoin(base, child.get(attribute, ""))


def _expanded(node: ElementTree.Element, base: str, seconds: float, template: dict[str, str]) -> Iterator[str]:
    def named(pattern: str, number: int, time: int) -> str:
        return urljoin(base, filled_in(pattern, node, str(number), str(time)))

    if template.get("initialization"):
        yield named(template["initialization"], 0, 0)
    if template.get("media"):
        for number, time in segment_numbers(template, seconds):
            yield named(template["media"], number, time)


def filled_in(pattern: str, representation: ElementTree.Element, number: str, time: str) -> str:
    """A template's URL (ISO/IEC 23009-1 section 5.3.9.4.4) with what it stands for in its places."""
    values = {"RepresentationID": representation.get("id", ""), "Bandwidth": representation.get("bandwidth", "")}
    values |= {"Number": number, "Time": time}

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        said = values.get(match[1], "")
        return said.zfill(int(match[3])) if match[3] else said

    return PLACEHOLDER.sub(value, pattern)


def base_of(node: ElementTree.Element, base: str) -> str:
    """Against what references within this element are resolved (section 5.6)."""
    first = next((child for child in node if local_name(child) == "BaseURL"), None)
    return urljoin(base, first.text.strip()) if first is not None and first.text else base


def inherited(node: ElementTree.Element, template: dict[str, str]) -> dict[str, str]:
    """What holds of segment templates within this element, its timeline as text of `t,d,r` entries."""
    own = next((child for child in node if local_name(child) == "SegmentTemplate"), None)
    if own is None:
        return template
    template = {**template, **own.attrib}
    timeline = [entry for child in own if local_name(child) == "SegmentTimeline" for entry in child]
    if timeline:
        template["timeline"] = ";".join(",".join(_plain(entry.get(name)) for name in "tdr") for entry in timeline)
    return template


def _plain(number: str | None) -> str:
    return "" if number is None or "," in number or ";" in number else number


def segment_numbers(template: dict[str, str], seconds: float) -> Iterator[tuple[int, int]]:
    """(number, time) of each segment."""
    number = integer(template.get("startNumber"), 1)
    scale = integer(template.get("timescale"), 1) or 1
    end = round(seconds * scale)
    if "timeline" not in template:
        step = integer(template.get("duration"), 0)
        for index in range(min(-(-end // step), MOST) if step > 0 else 0):
            yield number + index, index * step
        return
    time = 0
    entries = [entry.split(",") for entry in template["timeline"].split(";")]
    for at, (said, length, repeated) in enumerate(entries):
        time = integer(said, time)
        step, times = integer(length, 0), integer(repeated, 0)
        if times < 0:  # until the next entry, or the end
            until = integer(entries[at + 1][0], end) if at + 1 < len(entries) else end
            times = max(0, -(-(until - time) // step) - 1) if step > 0 else 0
        for _ in range(min(times + 1, MOST)):
            yield number, time
            number, time = number + 1, time + step


def integer(text: str | None, otherwise: int) -> int:
    try:
        said = int(text) if text else otherwise
    except ValueError:
        return otherwise
    return said if -LARGEST < said < LARGEST else otherwise


def local_name(node: ElementTree.Element) -> str:
    return _NAMESPACE.sub("", node.tag)
