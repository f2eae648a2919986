"""Who may ask what: bearer tokens (RFC 6750) by role."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """Each may do what those before it may."""

    READ = 1
    PURGE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Operator:
    """`digest` = SHA-256 of the token: the token itself is not kept."""

    name: str
    role: Role
    digest: bytes


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def operator_of(authorization: str | None, operators: Sequence[Operator]) -> Operator | None:
    """Whose token a request bears; None for nobody's. Takes as long whichever token it is compared with."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    digest = digest_of(token.strip())
    found = None
    for operator in operators:
        if hmac.compare_digest(operator.digest, digest):
            found = operator
    return found
