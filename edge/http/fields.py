"""Header fields: an ordered sequence of (name as received, value); names are compared in lower case."""

from collections.abc import Sequence
from typing import Final

Fields = Sequence[tuple[bytes, bytes]]

# RFC 9110 section 7.6.1, RFC 9111 section 3.1: meant for one connection, never forwarded nor stored.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)


def values(fields: Fields, name: bytes) -> list[bytes]:
    """All values of a field; `name` in lower case."""
    return [value for given, value in fields if given.lower() == name]


def first(fields: Fields, name: bytes) -> bytes | None:
    """The first value of a field, None if it is absent."""
    for given, value in fields:
        if given.lower() == name:
            return value
    return None


def combined(fields: Fields, name: bytes) -> bytes | None:
    """All values as one list (RFC 9110 section 5.2), None if the field is absent."""
    found = values(fields, name)
    return b", ".join(found) if found else None


def list_members(given: Sequence[bytes]) -> list[bytes]:
    """The members of a list without quoted commas (RFC 9110 section 5.6.1), empty ones dropped."""
    members = (member.strip(b" \t") for value in given for member in value.split(b","))
    return [member for member in members if member]


def end_to_end(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Without hop-by-hop fields and those that Connection nominates."""
    nominated = {member.lower() for member in list_members(values(fields, b"connection"))}
    return [(name, value) for name, value in fields if (low := name.lower()) not in HOP_BY_HOP and low not in nominated]
