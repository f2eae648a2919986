"""Weighted rendezvous hashing: who of several members has an object. Pure.

Each member scores each key by itself, and the highest score has it: when a member comes or goes, only the keys
that it wins or had are moved, in proportion to its weight, whatever the order in which members are named.
Score: -weight / ln(u), u in (0, 1) drawn from BLAKE2b of key and member (Schindelhauer and Schomaker, "Weighted
distributed hash tables", 2005).
"""

import hashlib
import math
from collections.abc import Iterable
from typing import Final

_BITS: Final = 53  # of a double's mantissa


def score(key: bytes, member: bytes, weight: float) -> float:
    """How much a member wants a key. `member`: at most 64 bytes, stable over restarts; `weight` > 0."""
    drawn = int.from_bytes(hashlib.blake2b(key, digest_size=8, key=member).digest(), "big") >> (64 - _BITS)
    return -weight / math.log((drawn + 0.5) / (1 << _BITS))


def ranked(key: bytes, members: Iterable[tuple[int, bytes, float]]) -> list[int]:
    """The members' numbers, the one that has the key first. `members`: (number, identity, weight)."""
    scored = [(score(key, identity, weight), number) for number, identity, weight in members]
    return [number for _, number in sorted(scored, reverse=True)]
