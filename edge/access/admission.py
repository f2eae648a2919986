"""Admission: what a listener asks of those who connect to it, and whether a request shows that.

Three proofs: a signed pass, a client certificate, an address. One of those that are asked for is enough, or all are
needed. A pass that is signed and wrong is refused whatever else is shown.

What the memory of nonces covers: the last `nonces` requests at least of all workers of a server, for as long as it
runs, whatever becomes of its workers. A pass that somebody has caught can be used once more when the whole server has
been stopped and started within the skew, and at another server, for the same method and target: what it opens is what
it opened before. Where that matters, TLS keeps passes from being caught.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from math import ceil
from typing import Final

from cachetools import LRUCache

from edge.access.keys import KeyFile
from edge.access.nonces import NonceFile, Nonces
from edge.access.passes import NONCE_BYTES, Context, Pass, read_pass, signature_of
from edge.errors import EdgeError
from edge.words import Refusal

ADDRESSES: Final = 4096  # remembered: edges are few, those who try are many

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(EdgeError):
    """The request is not let in."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.value)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """What is asked for; times in seconds. `names`: of a certificate, one of them; none: any that its CA signed."""

    keys: KeyFile | None = None
    networks: tuple[Network, ...] = ()
    certificate: bool = False
    names: frozenset[str] = frozenset()
    every: bool = False  # all that is asked for is needed, not one of it
    skew: float = 60.0
    nonces: int = 100_000
    hops: int = 8


class Admission:
    """Told of each request of a listener."""

    def __init__(self, settings: AdmissionSettings, shared: NonceFile | None = None) -> None:
        """`shared`: what other processes have seen; it goes with what this one has seen itself."""
        self._settings = settings
        self._shared = shared
        # A pass is good from `skew` before its time to `skew` after it.
        self._nonces = Nonces(settings.nonces, 2 * settings.skew)
        self._near: LRUCache[str, bool] = LRUCache(ADDRESSES)
        self._asked = sum((settings.keys is not None, bool(settings.networks), settings.certificate))

    def __repr__(self) -> str:
        return f"<Admission {self._nonces}>"

    def admit(
        self,
        method: bytes,
        target: bytes,
        passes: Sequence[bytes],
        peer: str,
        certified: frozenset[str] | None,
        *,
        wall: float,
        monotonic: float,
    ) -> Context | None:
        """The request behind this one, if its sender tells; Refused.

        `certified`: the names of a client certificate that the listener's CA has signed; None: there is none.
        """
        said = self._read(passes)
        signed = said is not None and said.key_id is not None and self._signed(said, method, target, wall, monotonic)
        shown = signed + self._is_near(peer) + self._is_certified(certified)
        if shown < (self._asked if self._settings.every else 1):
            raise Refused(Refusal.NO_PROOF)
        if said is None:
            return None
        if said.context.hops > self._settings.hops:
            raise Refused(Refusal.HOPS)
        return said.context

    def _read(self, passes: Sequence[bytes]) -> Pass | None:
        if not passes:
            return None
        said = read_pass(passes[0].strip(b" \t")) if len(passes) == 1 else None
        if said is None:
            raise Refused(Refusal.MALFORMED)
        return said

    def _signed(self, said: Pass, method: bytes, target: bytes, wall: float, monotonic: float) -> bool:
        settings = self._settings
        if settings.keys is None:
            return False
        key = settings.keys.find(said.key_id or "", monotonic)
        if key is None:
            raise Refused(Refusal.UNKNOWN_KEY)
        if abs(wall - said.time) > settings.skew:
            raise Refused(Refusal.SKEW)
        if not compare_digest(signature_of(key, method, target, said.signed), said.signature):
            raise Refused(Refusal.SIGNATURE)
        if len(said.nonce) < NONCE_BYTES:
            raise Refused(Refusal.MALFORMED)
        if self._nonces.seen(said.nonce, monotonic):
            raise Refused(Refusal.REPLAY)
        good_until = ceil(said.time + settings.skew)
        if self._shared is not None and self._shared.seen(said.nonce, good_until, wall):
            raise Refused(Refusal.REPLAY)
        return True

    def _is_near(self, peer: str) -> bool:
        if not self._settings.networks:
            return False
        near = self._near.get(peer)
        if near is None:
            near = self._near[peer] = _within(peer, self._settings.networks)
        return near

    def _is_certified(self, certified: frozenset[str] | None) -> bool:
        settings = self._settings
        return (
            settings.certificate and certified is not None and (not settings.names or bool(settings.names & certified))
        )


def _within(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False  # a Unix socket's has none
    return any(address in network for network in networks)
