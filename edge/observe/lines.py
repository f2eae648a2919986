"""One line of the access log: what a worker notes of a request, and how it is written down.

JSON lines are for machines (ClickHouse, Vector, Loki); `combined` is nginx' format, for what reads that.
"""

import json
import re
import secrets
import time
from collections.abc import Collection, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from edge.observe.agents import family_of
from edge.observe.privacy import SECRETS, Anonymise, Redactor, hash_of, network_of
from edge.words import DAYS

AGENT_LIMIT: Final = 200  # bytes; also what is remembered of each
REFERER_LIMIT: Final = 300  # bytes
TARGET_LIMIT: Final = 2000  # characters; control characters grow sixfold in JSON
MEMORY: Final = 4096  # distinct values remembered of addresses and of agents
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LogFormat(StrEnum):
    JSON = "json"
    COMBINED = "combined"


class Behind(NamedTuple):
    """The request behind this one, as an edge of ours tells it: whose, for which host, over how many caches."""

    client: str
    host: bytes
    hops: int


class Line(NamedTuple):
    """One request as the worker noted it. `time` is unix time, durations are in seconds; `detail` says what failed.

    `name` is the object's, under which it is kept; `upstream` names the member that was asked, if one was; `cmcd` is
    what the player told of itself; `trace` the 32 hex digits of a W3C trace; `tier` who the bytes came from.
    """

    time: float
    site: str
    peer: str
    method: bytes
    target: bytes
    minor: int
    status: int
    body_bytes: int
    seconds: float
    ttfb: float
    cache: str
    kind: str
    secure: bool
    aborted: bool
    range: bytes | None
    agent: bytes | None
    referer: bytes | None
    detail: str | None
    name: bytes | None = None
    upstream: str = ""
    upstream_status: int = 0
    upstream_seconds: float = 0.0
    cmcd: Mapping[str, object] | None = None
    trace: str | None = None
    behind: Behind | None = None
    tier: str = "-"


_HOST: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#@]*)", re.IGNORECASE)
_UNSAFE: Final = re.compile(r'["\\\x00-\x1f\x7f-\U0010ffff]')
_quoted: Final = json.encoder.encode_basestring_ascii


class LineWriter:
    """Turns noted lines into text. Used by one thread."""

    def __init__(
        self,
        anonymise: Anonymise = Anonymise.TRUNCATE,
        secret: bytes | None = None,
        masked: Collection[str] = SECRETS,
        *,
        form: LogFormat = LogFormat.JSON,
        node: str = "",
    ) -> None:
        """`secret` keys the hashes of HASH: workers that share it write the same hash for the same player."""
        self._redact = Redactor(masked)
        self._anonymise = anonymise
        self._secret = secret or secrets.token_bytes(32)
        self._node = f',"node":{_quoted(node)}' if node else ""
        self._second, self._stamp = -1, ""
        self._address = lru_cache(MEMORY)(self._anonymised)
        self._agent = lru_cache(MEMORY)(_agent_field)
        self._referer = lru_cache(MEMORY)(_referer_field)
        self._label = {Anonymise.TRUNCATE: "client_net", Anonymise.HASH: "client_hash", Anonymise.OFF: "client"}[
            anonymise
        ]
        self.write = self._write_json if form is LogFormat.JSON else self._write_combined

    def _client(self, line: Line) -> str:
        return self._address(line.peer, self._day(line))

    def _day(self, line: Line) -> int:
        return int(line.time // DAYS) if self._anonymise is Anonymise.HASH else 0

    def _anonymised(self, address: str, day: int) -> str:
        match self._anonymise:
            case Anonymise.TRUNCATE:
                return network_of(address)
            case Anonymise.HASH:
                return hash_of(address, day * DAYS, self._secret)
            case Anonymise.OFF:
                return address

    # -- JSON ------------------------------------------------------------------------------------

    def _write_json(self, line: Line) -> str:
        """One line. All that outsiders wrote goes through json's own quoting; the rest is ours and plain."""
        second, millisecond = divmod(round(line.time * 1000), 1000)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        target = line.target.decode("latin-1")
        if line.cmcd is not None:
            target = _without_cmcd(target)  # its values stand in fields of their own
        return (
            f'{{"ts":"{self._stamp}.{millisecond:03d}Z"{self._node},"site":{_quoted(line.site)},'
            f'"{self._label}":{_quoted(self._client(line))},"method":{_quoted(line.method.decode("latin-1"))},'
            f'"path":{_quoted(self._redact(target)[:TARGET_LIMIT])},"status":{line.status},'
            f'"body_bytes":{line.body_bytes},"request_time":{line.seconds:.6f},"ttfb":{line.ttfb:.6f},'
            f'"cache_status":"{line.cache}","tier":"{line.tier}","kind":"{line.kind}",'
            f'"tls":{"true" if line.secure else "false"},"aborted":{"true" if line.aborted else "false"}'
            f"{self._more(line)}}}\n"
        )

    def _more(self, line: Line) -> str:
        """What only some requests have."""
        more = self._agent(line.agent[:AGENT_LIMIT]) if line.agent is not None else ""
        if line.name is not None:
            more += f',"key_hash":"{line.name.hex()}"'
        if line.range is not None:
            more += f',"range":{_quoted(line.range.decode("latin-1"))}'
        if line.referer is not None:
            more += self._referer(line.referer[:REFERER_LIMIT])
        if line.upstream:
            more += (
                f',"upstream_addr":{_quoted(line.upstream)},"upstream_status":{line.upstream_status},'
                f'"upstream_time":{line.upstream_seconds:.6f}'
            )
        if line.detail is not None:
            more += f',"detail":{_quoted(line.detail)}'
        if line.trace is not None:
            more += f',"trace_id":{_quoted(line.trace)}'
        if line.behind is not None:
            behind = line.behind
            address = self._address(behind.client, self._day(line))
            more += (
                f',"{self._label.replace("client", "player")}":{_quoted(address)},'
                f'"player_host":{_quoted(behind.host.decode("latin-1"))},"hops":{behind.hops}'
            )
        if line.cmcd:
            more += f',"cmcd":{json.dumps(line.cmcd, separators=(",", ":"))}'
        return more

    # -- nginx' combined -------------------------------------------------------------------------

    def _write_combined(self, line: Line) -> str:
        """`addr - - [time] "request" status bytes "referer" "agent"`; nginx' own escapes (\\xHH)."""
        second = int(line.time)
        if second != self._second:
            at = time.gmtime(second)
            month = MONTHS[at.tm_mon - 1]  # whatever the locale
            self._second, self._stamp = second, time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", at)
        target = self._redact(line.target.decode("latin-1"))[:TARGET_LIMIT]
        referer = self._redact(line.referer[:REFERER_LIMIT].decode("latin-1")) if line.referer is not None else "-"
        agent = line.agent[:AGENT_LIMIT].decode("latin-1") if line.agent is not None else "-"
        return (
            f"{_escaped(self._client(line)) or '-'} - - [{self._stamp}] "
            f'"{_escaped(line.method.decode("latin-1"))} {_escaped(target)} HTTP/1.{line.minor}" '
            f'{line.status} {line.body_bytes} "{_escaped(referer)}" "{_escaped(agent)}"\n'
        )


def _without_cmcd(target: str) -> str:
    path, _, query = target.partition("?")
    query = "&".join(part for part in query.split("&") if not part.startswith("CMCD="))
    return f"{path}?{query}" if query else path


def _escaped(text: str) -> str:
    """As nginx writes a variable: quotes, backslashes and what is not printable ASCII as \\xHH."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return _UNSAFE.sub(lambda found: "".join(f"\\x{byte:02X}" for byte in _raw(found[0])), text)


def _raw(character: str) -> bytes:
    """What came from outside was bytes; what is ours (an address) is text."""
    return character.encode("latin-1") if character <= "\xff" else character.encode(errors="replace")


def _agent_field(agent: bytes) -> str:
    text = agent.decode("latin-1")
    return f',"ua":{_quoted(text)},"ua_family":"{family_of(text)}"'


def _referer_field(referer: bytes) -> str:
    """Only the host: which site embeds the player; its pages are its visitors' business."""
    host = _HOST.match(referer.decode("latin-1"))
    return f',"referer_host":{_quoted(host[1])}' if host else ""
