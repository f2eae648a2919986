"""The access log: JSON lines, written by a thread of its own; under pressure lines are dropped and counted.

By default nothing in it names a person: addresses are cut to /24 or /48, tokens in queries are masked.
"""

import ipaddress
import json
import os
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

QUEUE_LIMIT: Final = 50_000
WRITE_SECONDS: Final = 0.25
SECRETS: Final = (
    "token|md5|expires|hdnts|hdnea|hdntl|sig|signature|policy|key-pair-id|hmac|auth|authorization|password|key|"
    "access_token|verify"
)


class Anonymise(StrEnum):
    TRUNCATE = "truncate"
    OFF = "off"


class Line(NamedTuple):
    """One request as the worker noted it; bytes are decoded by the writer."""

    time: float
    site: str
    peer: str
    method: bytes
    target: bytes
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


_MASKED: Final = re.compile(rf"([?&;](?:{SECRETS})=)[^&;#]*", re.IGNORECASE)
_HOST: Final = re.compile(r"^[a-z]+://([^/?#]*)")


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; empty for what is neither."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, 24 if ip.version == 4 else 48), strict=False).network_address)


def redact(target: str) -> str:
    """A request target with the values of secret parameters masked."""
    return _MASKED.sub(r"\1***", target) if "?" in target or ";" in target else target


def format_line(line: Line, anonymise: Anonymise = Anonymise.TRUNCATE) -> str:
    """One JSON line; strings from outside go through json, which escapes whatever they hold."""
    client = network_of(line.peer) if anonymise is Anonymise.TRUNCATE else line.peer
    entry = {
        "ts": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(line.time))}.{round(line.time * 1000) % 1000:03d}Z",
        "site": line.site,
        "client_net" if anonymise is Anonymise.TRUNCATE else "client": client,
        "method": line.method.decode("latin-1"),
        "path": redact(line.target.decode("latin-1")),
        "status": line.status,
        "body_bytes": line.body_bytes,
        "request_time": round(line.seconds, 6),
        "ttfb": round(line.ttfb, 6),
        "cache_status": line.cache,
        "kind": line.kind,
        "tls": line.secure,
        "aborted": line.aborted,
    }
    if line.range is not None:
        entry["range"] = line.range.decode("latin-1")
    if line.agent is not None:
        entry["ua"] = line.agent[:200].decode("latin-1")
    if line.referer is not None and (host := _HOST.match(line.referer.decode("latin-1"))):
        entry["referer_host"] = host[1]
    if line.detail is not None:
        entry["detail"] = line.detail
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")) + "\n"


class AccessLog:
    """`record` never waits. `path` is a file or "stdout"."""

    def __init__(
        self,
        path: str,
        anonymise: Anonymise,
        on_dropped: Callable[[int], None],
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._path = path
        self._anonymise = anonymise
        self._on_dropped = on_dropped
        self._limit = queue_limit
        self._queue: deque[Line] = deque()
        self._stop = threading.Event()
        self._fd = self._open()
        self._reopen = False
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def _open(self) -> int:
        if self._path == "stdout":
            return os.dup(sys.stdout.fileno())
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def record(self, line: Line) -> None:
        """Queue one line; dropped and counted when the writer is too far behind."""
        if len(self._queue) >= self._limit:
            self._on_dropped(1)
            return
        self._queue.append(line)

    def reopen(self) -> None:
        """After a rotation: go on in a new file."""
        self._reopen = True

    def _run(self) -> None:
        while not self._stop.wait(WRITE_SECONDS):
            self._write()
        self._write()
        os.close(self._fd)

    def _write(self) -> None:
        if self._reopen:
            self._reopen = False
            os.close(self._fd)
            self._fd = self._open()
        while self._queue:
            lines = [self._queue.popleft() for _ in range(min(len(self._queue), 500))]
            raw = "".join(format_line(line, self._anonymise) for line in lines).encode()
            try:
                while raw:
                    raw = raw[os.write(self._fd, raw) :]
            except OSError:
                self._on_dropped(len(lines))  # a full disk: the log suffers, the answers do not

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)
