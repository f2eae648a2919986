"""Cache-Status (RFC 9211) read by a parser of structured fields (RFC 9651) that is not ours."""

from dataclasses import dataclass

import http_sf

WHY = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}
TYPES: dict[str, type | tuple[type, ...]] = {
    "hit": bool, "stored": bool, "collapsed": bool, "fwd-status": int, "ttl": int, "fwd": http_sf.Token, "key": str,
    "detail": (str, http_sf.Token),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """What one cache says of itself."""

    cache: str
    said: dict[str, object]


def members(text: str) -> list[Member]:
    """One for each cache, the nearest to the origin first; AssertionError for what section 2 does not allow."""
    parsed = http_sf.parse(text.encode("latin-1"), tltype="list")
    found = [Member(str(name), dict(parameters)) for name, parameters in parsed]
    for member in found:
        check(member)
    return found


def check(member: Member) -> None:
    said = member.said
    for name, value in said.items():
        assert name in TYPES, f"{member.cache} says {name}, which is not registered"
        assert isinstance(value, TYPES[name]), f"{name} of {member.cache} is {value!r}"
    assert not ("hit" in said and "fwd" in said), f"{member.cache} has a hit and went on"
    assert str(said.get("fwd", "miss")) in WHY, said["fwd"]
    for name in ("fwd-status", "stored", "collapsed"):
        assert name not in said or "fwd" in said, f"{name} of {member.cache} without fwd"
    assert 100 <= int(str(said.get("fwd-status", 200))) <= 599, said
