"""Sizes, durations and addresses as people write them, and written back the same way."""

import re
from decimal import Decimal
from typing import Final

_SIZES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_WRITTEN_SIZES: Final = ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB")
_DURATIONS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_TEXT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", re.ASCII)
SIZE_MOST: Final = 2**60  # an exbibyte: more is a slip of the keyboard, and sums of it would leave 64 bits
DURATION_MOST: Final = 10 * 365 * 86400.0  # ten years: no timer here means more, and infinity means a hang
SIZE_HINT: Final = 'write a size like "10GB" (decimal), "512MiB" (binary) or a number of bytes'
DURATION_HINT: Final = 'write a duration like "250ms", "5s", "10m", "2h", "14d" or a number of seconds'
LISTEN_HINT: Final = 'write HOST:PORT, for example "0.0.0.0:8080", "[::]:8080" or ":8080"'


def parse_size(value: object) -> int:
    """Bytes from `10GB` (decimal), `512MiB` (binary) or a whole number; ValueError says how to write it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        size = value
    else:
        match = _TEXT.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2].lower() not in _SIZES:
            raise ValueError(SIZE_HINT)
        size = int(Decimal(match[1]) * _SIZES[match[2].lower()])
    if size > SIZE_MOST:
        raise ValueError("is more than an exbibyte")
    return size


def parse_duration(value: object) -> float:
    """Seconds from `5s`, `10m`, `250ms`, `2h`, `14d` or a number; ValueError says how to write it."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:  # NaN is not
        seconds = float(min(value, 2 * DURATION_MOST))
    else:
        match = _TEXT.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2] not in _DURATIONS:
            raise ValueError(DURATION_HINT)
        seconds = float(Decimal(match[1]) * _DURATIONS[match[2]])
    if seconds > DURATION_MOST:
        raise ValueError("is more than ten years")
    return seconds


def parse_listen(text: object) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`, `:PORT` (all addresses) or `[::1]:PORT`; ValueError says how."""
    host, colon, port = text.strip().rpartition(":") if isinstance(text, str) else ("", "", "")
    if not colon or not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise ValueError(LISTEN_HINT)
    if host.startswith("[") and host.endswith("]"):
        if ":" not in host:
            raise ValueError("brackets are for IPv6 addresses: [::1]:8080")
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("put an IPv6 address in brackets: [::1]:8080")
    if re.search(r"[^\x21-\x7e]|[\[\]/]", host):
        raise ValueError(LISTEN_HINT)
    return host or "::", int(port)


def write_size(size: int) -> str:
    """The shortest exact spelling of a number of bytes: `10GB`, `1MiB`, or the bare number."""
    for unit in _WRITTEN_SIZES:
        count, rest = divmod(size, _SIZES[unit.lower()])
        if count and not rest:
            return f"{count}{unit}"
    return str(size)


def write_duration(seconds: float) -> str:
    """The shortest exact spelling of a duration: `14d`, `90s`, `250ms`."""
    exact = Decimal(repr(seconds))
    for unit in ("d", "h", "m", "s"):
        count = exact / _DURATIONS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    milliseconds = exact * 1000
    if not exact or (exact < 1 and milliseconds == int(milliseconds)):
        return f"{int(milliseconds)}ms" if exact else "0s"
    return f"{exact.normalize():f}s"
