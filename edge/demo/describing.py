"""Content that describes itself: every 64-byte line names its object, version and offset. Pure.

    0123456789abcdef version 00000001 offset 000000000000064.......\\n

Whoever has any stretch of it can prove each byte: right object, one version, right place. The offset's last six
digits repeat every 1,000,000 bytes (15,625 lines), so that a block of that size has one lead (object, version, high
digits) and the same 15,625 tails for every block of every object: a block is one `bytes.join`, some gigabytes a second.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

LINE: Final = 64
BLOCK: Final = 1_000_000
MOST_OFFSET: Final = 10**15  # the offset has 15 digits
MOST_VERSION: Final = 10**8 - 1
WORTH_KEEPING: Final = BLOCK // 4  # whoever asks for less gets its own lines made, and no whole block

_VERSION_AT: Final = 25  # columns of a line: tag 0-15, version 25-32, offset 41-55
_VERSION_END: Final = 33
_OFFSET_AT: Final = 41
_OFFSET_END: Final = 56


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first wrong byte: where, what was expected there, what came (16 bytes of each), and what it looks like."""

    offset: int
    expected: bytes
    found: bytes
    looks: str = "damaged"

    def __str__(self) -> str:
        return f"wrong byte at {self.offset}: expected {self.expected!r}, found {self.found!r} ({self.looks})"


@lru_cache(maxsize=4096)
def _tag(path: str) -> str:
    return hashlib.blake2b(path.encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1)
def _tails() -> tuple[bytes, ...]:
    """What follows the lead in each line of a block."""
    dots = "." * (LINE - _OFFSET_END - 1)
    return tuple(f"{offset:06d}{dots}\n".encode() for offset in range(0, BLOCK, LINE))


def _lead(path: str, version: int, block: int) -> bytes:
    return f"{_tag(path)} version {version:08d} offset {block:09d}".encode()


@lru_cache(maxsize=64)
def _block(path: str, version: int, block: int) -> bytes:
    return _lead(path, version, block).join((b"", *_tails()))


def _part(path: str, version: int, block: int, start: int, end: int) -> bytes:
    """Bytes [start, end) of a block."""
    if end - start >= WORTH_KEEPING:
        whole = _block(path, version, block)
        return whole if end - start == BLOCK else whole[start:end]
    return _lines(path, version, block, start, end)


@lru_cache(maxsize=256)
def _lines(path: str, version: int, block: int, start: int, end: int) -> bytes:
    first = start // LINE
    lines = _lead(path, version, block).join((b"", *_tails()[first : -(-end // LINE)]))
    return lines[start - first * LINE : end - first * LINE]


def body_slice(path: str, version: int, start: int, end: int) -> bytes:
    """Bytes [start, end) of an object's version; an empty stretch gives b""."""
    if not (start >= 0 and end <= MOST_OFFSET and 0 <= version <= MOST_VERSION):
        raise ValueError(f"no such stretch: {start}-{end} of version {version}")
    parts = []
    while start < end:
        block, at = divmod(start, BLOCK)
        upto = min(BLOCK, at + end - start)
        parts.append(_part(path, version, block, at, upto))
        start += upto - at
    return parts[0] if len(parts) == 1 else b"".join(parts)


def version_of(data: bytes, start: int) -> int | None:
    """The version that the first whole version field in `data` names, None if there is none.

    `start` is where `data` stands in its object.
    """
    at = (_VERSION_AT - start) % LINE
    digits = data[at : at + _VERSION_END - _VERSION_AT]
    return int(digits) if len(digits) == _VERSION_END - _VERSION_AT and _is_number(digits) else None


def check(path: str, version: int | None, start: int, data: bytes) -> Mismatch | None:
    """None if `data` is what stands at `start`; `version` None = any, but one throughout.

    A stretch too short to hold a version's digits is compared without them when the version is not given.
    """
    if version is None:
        version = version_of(data, start)
        if version is None:
            return _check_without_version(path, start, data)
    return _first_difference(path, version, start, data)


def _first_difference(path: str, version: int, start: int, data: bytes) -> Mismatch | None:
    expected = body_slice(path, version, start, start + len(data))
    if data == expected:
        return None
    low, high = 0, len(data)  # the first difference is in [low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if data[low:middle] == expected[low:middle]:
            low = middle
        else:
            high = middle
    return Mismatch(
        start + low, expected[low : low + 16], data[low : low + 16], _looks(path, version, start, low, data)
    )


def _check_without_version(path: str, start: int, data: bytes) -> Mismatch | None:
    """Compare all but the version's columns, of which `data` has at most a few: digits are believed."""
    guessed = bytearray(data)
    likely = body_slice(path, 1, start, start + len(data))
    for at, byte in enumerate(data):
        if _VERSION_AT <= (start + at) % LINE < _VERSION_END and _is_number(bytes((byte,))):
            guessed[at] = likely[at]
    return _first_difference(path, 1, start, bytes(guessed))


def _looks(path: str, version: int, start: int, at: int, data: bytes) -> str:
    """What the wrong bytes look like: the line that holds them read as if it were a right one of something else."""
    line_at = at - (start + at) % LINE
    line = data[max(0, line_at) : line_at + LINE]
    if len(line) < LINE or line_at < 0 or line[16:25] != b" version ":
        return "damaged"
    told, offset = line[_VERSION_AT:_VERSION_END], line[_OFFSET_AT:_OFFSET_END]
    if not _is_number(told) or not _is_number(offset) or not all(byte in b"0123456789abcdef" for byte in line[:16]):
        return "damaged"
    if line[:16] != _tag(path).encode():
        return f"another object: {line[:16].decode()}"
    if int(told) != version:
        return f"another version: {int(told)}"
    if int(offset) != start + line_at:
        return f"another place: offset {int(offset)}"
    return "damaged"


def _is_number(digits: bytes) -> bool:
    return digits.isdigit()
