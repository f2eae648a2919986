"""When a certificate ends: read from its PEM file, since Python tells it of a peer's certificate only.

Just so much of DER (X.690) as leads to `validity` in RFC 5280 section 4.1.
"""

import base64
import calendar
import re
import time
from pathlib import Path
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_FORMS: Final = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}


def ends_at(path: Path) -> float:
    """Unix seconds at which the first certificate of a file ends. OSError; ValueError: there is none."""
    found = _PEM.search(path.read_bytes())
    if found is None:
        raise ValueError(f"{path} has no certificate")
    certificate, _ = _value(base64.b64decode(found[1]), 0, _SEQUENCE)
    body, _ = _value(certificate, 0, _SEQUENCE)
    at = 0
    if body[0] == _VERSION:
        at = _end(body, at)
    for _ in range(3):  # serial number, signature, issuer
        at = _end(body, at)
    validity, _ = _value(body, at, _SEQUENCE)
    at = _end(validity, 0)  # notBefore
    form = _FORMS.get(validity[at])
    if form is None:
        raise ValueError(f"{path}: the end of its validity is no time")
    text, _ = _value(validity, at, validity[at])
    return float(calendar.timegm(time.strptime(text.decode("ascii"), form)))


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(length of a value, where it begins)."""
    first = data[at + 1]
    if first < 0x80:
        return first, at + 2
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise ValueError("a length that no certificate has")
    return int.from_bytes(data[at + 2 : at + 2 + count]), at + 2 + count


def _end(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise ValueError("a certificate that ends early")
    length, start = _length(data, at)
    if start + length > len(data):
        raise ValueError("a certificate that ends early")
    return start + length


def _value(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    end = _end(data, at)
    if data[at] != tag:
        raise ValueError(f"tag {data[at]:#x} where {tag:#x} should be")
    _, start = _length(data, at)
    return data[start:end], end
