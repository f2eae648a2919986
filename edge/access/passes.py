"""The pass: what an edge tells a shield or a sibling of the request behind its own, and its signature.

    Edge-Pass: k=msk1;t=1735689600;n=2bX0...;h=1;a=203.0.113.7;o=films.example;r=sibling;s=5f1c...

k key id, t unix seconds, n nonce, h caches passed so far, a address of the player and o the host that it asked for
(both percent-encoded), r sibling: the receiver asks no other sibling; s HMAC-SHA256 over method, target and all that
stands before it. Without a key k, t, n and s are missing: such a pass is believed where something else admits its
sender. It is never sent to an origin that is not ours.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

FIELD: Final = b"Edge-Pass"
FIELD_LOW: Final = b"edge-pass"
REFUSED: Final = b"Edge-Pass: refused\r\n"  # in the answer to one that was not let in
LENGTH_MOST: Final = 1024  # bytes; a host may have 255, percent-encoded three times as many
NONCE_BYTES: Final = 16
HOPS_DIGITS: Final = 3
_SIGNED: Final = b"edge-pass 1"
_PLAIN: Final = ".:[]-_"
_SIBLING: Final = b";r=sibling"


@dataclass(frozen=True, slots=True)
class Context:
    """The request behind this one: the player's address, the host that it asked for, the caches passed so far."""

    client: str = ""
    host: bytes = b""
    hops: int = 0


NOBODY: Final = Context()


@dataclass(frozen=True, slots=True)
class Key:
    """What edges and shields share."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"<Key {self.id}>"


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass as it was received, not verified yet."""

    context: Context
    sibling: bool
    key_id: str | None
    time: int
    nonce: bytes
    signature: str
    signed: bytes  # what stands before the signature


def write_pass(
    context: Context, method: bytes, target: bytes, *, key: Key | None = None, now: float = 0.0, sibling: bool = False
) -> bytes:
    """The field's value for one request; `now` = unix time. Each has a nonce of its own."""
    said = b"h=%d;a=%s;o=%s" % (
        context.hops,
        quote_from_bytes(context.client.encode(), _PLAIN).encode(),
        quote_from_bytes(context.host, _PLAIN).encode(),
    )
    if sibling:
        said += _SIBLING
    if key is None:
        return said
    said = b"k=%s;t=%d;n=%s;%s" % (key.id.encode(), now, secrets.token_urlsafe(NONCE_BYTES).encode(), said)
    return b"%s;s=%s" % (said, signature_of(key, method, target, said).encode())


def signature_of(key: Key, method: bytes, target: bytes, said: bytes) -> str:
    """In hex. A target has no line break, so no two requests sign the same text."""
    return hmac.new(key.secret, b"\n".join((_SIGNED, method, target, said)), hashlib.sha256).hexdigest()


def read_pass(value: bytes) -> Pass | None:
    """A pass, verified in nothing but its form; None where that is wrong."""
    if len(value) > LENGTH_MOST or not value.isascii():
        return None
    signed, _, signature = value.partition(b";s=")
    parts = [part.partition(b"=") for part in signed.split(b";")]
    said = {name: text for name, _, text in parts}
    if len(said) != len(parts) or any(not equals for _, equals, _ in parts):
        return None  # one that is said twice may be read in two ways
    hops, at = said.get(b"h", b""), said.get(b"t", b"0")
    if not (hops.isdigit() and len(hops) <= HOPS_DIGITS and at.isdigit() and len(at) < 16):
        return None
    client = unquote_to_bytes(said.get(b"a", b"")).decode("latin-1")
    return Pass(
        context=Context(client, unquote_to_bytes(said.get(b"o", b"")), int(hops)),
        sibling=asks_as_sibling(value),
        key_id=said[b"k"].decode() if b"k" in said else None,
        time=int(at),
        nonce=said.get(b"n", b""),
        signature=signature.decode(),
        signed=signed,
    )


def asks_as_sibling(value: bytes | None) -> bool:
    """Does a sibling ask? Believed of anybody: it only means that no other sibling is asked on its behalf."""
    return value is not None and _SIBLING in value
