"""Content that describes itself: every 64-byte line names its object, version and offset. Pure.

Whoever has any stretch of it can prove each byte: right object, one version, right place.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LINE: Final = 64
BLOCK_LINES: Final = 4096  # 256 KiB are made at once and remembered


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first wrong byte: where, what was expected there, what came."""

    offset: int
    expected: bytes
    found: bytes

    def __str__(self) -> str:
        return f"wrong byte at {self.offset}: expected {self.expected!r}, found {self.found!r}"


@lru_cache(maxsize=4096)
def _tag(path: str) -> str:
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=512)
def _block(path: str, version: int, number: int) -> bytes:
    lead = f"{_tag(path)} version {version:08d} offset "
    tail = "." * (LINE - len(lead) - 15 - 1) + "\n"
    first = number * BLOCK_LINES
    return "".join(f"{lead}{line * LINE:015d}{tail}" for line in range(first, first + BLOCK_LINES)).encode()


def body_slice(path: str, version: int, start: int, end: int) -> bytes:
    """Bytes [start, end) of an object's version."""
    size = BLOCK_LINES * LINE
    parts = []
    while start < end:
        number, at = divmod(start, size)
        part = _block(path, version, number)[at : at + end - start]
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def version_of(data: bytes, start: int) -> int | None:
    """The version that the first whole line in `data` names, None if there is none."""
    at = -start % LINE
    line = data[at : at + LINE]
    if len(line) < LINE or line[16:25] != b" version ":
        return None
    return int(line[25:33]) if line[25:33].isdigit() else None


def check(path: str, version: int | None, start: int, data: bytes) -> Mismatch | None:
    """None if `data` is what stands at `start`; `version` None = any, but one throughout."""
    if version is None:
        version = version_of(data, start) or 1
    expected = body_slice(path, version, start, start + len(data))
    if data == expected:
        return None
    at = next(i for i, (want, found) in enumerate(zip(expected, data, strict=True)) if want != found)
    return Mismatch(start + at, expected[at : at + 16], data[at : at + 16])
