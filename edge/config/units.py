"""Sizes and durations as people write them."""

import re
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
_DURATIONS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def parse_size(value: object) -> int:
    """Bytes from `10GB` (decimal), `512MiB` (binary) or a number; ValueError says how to write it."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in _SIZES:
        raise ValueError('write a size like "10GB" (decimal), "512MiB" (binary) or a number of bytes')
    return int(float(match[1]) * _SIZES[match[2].lower()])


def parse_duration(value: object) -> float:
    """Seconds from `5s`, `10m`, `250ms`, `2h`, `14d` or a number; ValueError says how to write it."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    match = _TEXT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in _DURATIONS:
        raise ValueError('write a duration like "250ms", "5s", "10m", "2h", "14d" or a number of seconds')
    return float(match[1]) * _DURATIONS[match[2]]


def parse_listen(text: str) -> tuple[str, int]:
    """(host, port) of `HOST:PORT`, `:PORT` (all addresses) or `[::1]:PORT`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('write HOST:PORT, for example "0.0.0.0:8080", "[::]:8080" or ":8080"')
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("put an IPv6 address in brackets: [::1]:8080")
    return host or "::", int(port)
