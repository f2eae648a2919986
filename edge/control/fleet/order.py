"""An order as it stands in the stream, signed. Pure.

What Redis holds is not trusted: an order counts if it bears the fleet's key. Its own time must be near that of its
place in the stream, so that one who can write to Redis cannot have an old order done again much later.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge.errors import EdgeError

SKEW_SECONDS: Final = 300.0  # between the sender's clock and that of Redis
BODY_MOST: Final = 16 << 20  # a list of 100,000 URLs
NUMBER_MOST: Final = 2**64 - 1
_ORDER: Final = b"edge fleet order 1"
_SEEN: Final = b"edge fleet seen 1"


class Verb(StrEnum):
    PURGE = "purge"
    WARM = "warm"


class NotOurs(EdgeError):
    """An entry of the stream that is no order of this fleet; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """A place in the stream: milliseconds, and a number within them."""

    milliseconds: int
    number: int

    @classmethod
    def parse(cls, text: bytes | str) -> "Stamp":
        """ValueError: not a stamp."""
        said = text.decode("ascii") if isinstance(text, bytes) else text
        first, _, second = said.partition("-")
        return cls(int(first), int(second or 0))

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.number}"

    @property
    def before(self) -> "Stamp":
        """The last place before this one; the first of all has none before it."""
        if self.number:
            return Stamp(self.milliseconds, self.number - 1)
        return Stamp(self.milliseconds - 1, NUMBER_MOST) if self.milliseconds else self


@dataclass(frozen=True, slots=True)
class Order:
    """`id` is the sender's; `time` in seconds since 1970 by its clock; `body` = what was asked, as JSON."""

    id: str
    sender: str
    time: float
    verb: Verb
    body: bytes


def mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 over parts, none of which can be taken for a piece of its neighbour."""
    return hmac.digest(key, b"".join(len(part).to_bytes(8) + part for part in parts), hashlib.sha256)


def _signature(order: Order, fleet: str, key: bytes) -> bytes:
    said = (order.id, order.sender, repr(order.time), order.verb.value)
    return mac(key, _ORDER, fleet.encode(), *(part.encode() for part in said), order.body)


def fields_of(order: Order, fleet: str, keys: Sequence[bytes]) -> dict[str, str | bytes]:
    """What stands in the stream; the first key signs."""
    return {
        "id": order.id,
        "sender": order.sender,
        "time": repr(order.time),
        "verb": order.verb.value,
        "body": order.body,
        "mac": _signature(order, fleet, keys[0]).hex(),
    }


def order_of(fields: Mapping[bytes, bytes], stamp: Stamp, fleet: str, keys: Sequence[bytes]) -> Order:
    """NotOurs: what stands there was not signed by any of these keys, or not for this place."""
    try:
        order = Order(
            fields[b"id"].decode(), fields[b"sender"].decode(), float(fields[b"time"]),
            Verb(fields[b"verb"].decode()), fields[b"body"],
        )  # fmt: skip
        signed = bytes.fromhex(fields[b"mac"].decode())
        bytes.fromhex(order.id)  # a warm job's file is named by it
    except (KeyError, ValueError) as wrong:
        raise NotOurs(f"not an order: {wrong!r}") from None
    if not any(hmac.compare_digest(_signature(order, fleet, key), signed) for key in keys):
        raise NotOurs("its signature is wrong")
    if abs(order.time - stamp.milliseconds / 1000) > SKEW_SECONDS:
        raise NotOurs("its time is not that of its place: an old order again, or clocks that differ by minutes")
    return order


@dataclass(frozen=True, slots=True)
class Seen:
    """What a node tells the others: which process it is, and how far it has done the orders."""

    identity: str
    done: Stamp

    def told(self, node: str, fleet: str, keys: Sequence[bytes]) -> str:
        said = (fleet, node, self.identity, str(self.done))
        return f"{self.identity} {self.done} {mac(keys[0], _SEEN, *(part.encode() for part in said)).hex()}"

    @classmethod
    def heard(cls, told: bytes, node: str, fleet: str, keys: Sequence[bytes]) -> "Seen | None":
        """None: nobody of this fleet has said that."""
        try:
            identity, done, signed = told.decode().split(" ")
            seen, digest = cls(identity, Stamp.parse(done)), bytes.fromhex(signed)
        except ValueError:
            return None
        parts = [part.encode() for part in (fleet, node, identity, done)]
        good = any(hmac.compare_digest(mac(key, _SEEN, *parts), digest) for key in keys)
        return seen if good else None
