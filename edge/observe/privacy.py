"""What the access log leaves out: whose address it was, and what opens doors.

By default nothing in a line names a person: addresses are cut to /24 or /48, or replaced by a hash whose key changes
every day; tokens and signatures are masked wherever players put them.
"""

import ipaddress
import re
from collections.abc import Collection
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final
from urllib.parse import unquote

from edge.words import DAYS

# Names of query parameters, in lower case, whose values are masked: nginx' secure_link, Akamai's EdgeAuth,
# CloudFront's and S3's signatures, and what people call such things elsewhere.
SECRETS: Final = frozenset(
    ("token", "access_token", "auth", "authorization", "jwt", "password", "key", "verify", "hash", "hmac", "st")
    + ("md5", "expires", "exp", "hdnts", "hdnea", "hdntl", "sig", "signature", "policy", "key-pair-id")
    + ("x-amz-signature", "x-amz-credential", "x-amz-security-token", "x-goog-signature", "x-goog-credential")
)
MEMORY: Final = 4096  # distinct addresses remembered
MASK: Final = "***"
_USER: Final = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#@]*@", re.IGNORECASE)
_MD5: Final = re.compile(r"/md5\([^)/]*\)?", re.IGNORECASE)
_BETWEEN: Final = re.compile("([&;])")
_SEGMENTS: Final = re.compile("([/;])")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Anonymise(StrEnum):
    """What is written of a player's address."""

    TRUNCATE = "truncate"  # the network: /24 of IPv4, /48 of IPv6
    HASH = "hash"  # a keyed hash, another one every day (UTC): one day's requests of a player belong together
    OFF = "off"


def parsed(address: str) -> Address | None:
    """The address without its zone, IPv4 where it is mapped into IPv6; None for what is none."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


@lru_cache(maxsize=MEMORY)
def network_of(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; empty for what is neither."""
    ip = parsed(address)
    if ip is None:
        return ""
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False).network_address)


def hash_of(address: str, at: float, secret: bytes) -> str:
    """16 hex digits that stand for an address on one day. Who lacks the secret cannot try all addresses."""
    day = int(at // DAYS)
    key = blake2b(day.to_bytes(8, "big", signed=True), key=secret, digest_size=32).digest()
    whole = str(parsed(address) or address).encode(errors="replace")
    return blake2b(whole, key=key, digest_size=8).hexdigest()


class Redactor:
    """Masks the values of secret parameters in a request's target; a name may end in `*`."""

    def __init__(self, names: Collection[str] = SECRETS) -> None:
        lowered = [name.lower() for name in names]
        self._names = frozenset(lowered)
        self._prefixes = tuple(name[:-1] for name in lowered if name.endswith("*"))

    def __call__(self, target: str) -> str:
        path, mark, query = target.partition("?")
        if "=" in path or "(" in path or "@" in path:
            path = self._path(path)
        if not mark:
            return path
        if ";" in query:  # some servers take it for `&`
            return f"{path}?{''.join(map(self._part, _BETWEEN.split(query)))}"
        return f"{path}?{'&'.join([self._part(part) for part in query.split('&')])}"

    def _part(self, part: str) -> str:
        name, mark, _ = part.partition("=")
        if not mark:
            return part
        low = (unquote(name) if "%" in name else name).lower()  # a name may be written in escapes: `to%6ben`
        secret = low in self._names or (self._prefixes and low.startswith(self._prefixes))
        return f"{name}={MASK}" if secret else part

    def _path(self, path: str) -> str:
        """A token may be a segment, as `/hdntl=...` (Akamai) and `/md5(...)` (Selectel), or a user before a host."""
        path = _USER.sub(rf"\1{MASK}@", path)
        path = "".join(map(self._part, _SEGMENTS.split(path)))
        return _MD5.sub(f"/md5({MASK})", path)
