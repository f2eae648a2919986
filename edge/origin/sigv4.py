"""Requests to S3-compatible origins, signed with AWS Signature Version 4 by botocore.

Signed are method, path, query, host and time; not Range nor conditions. So one signature serves all pieces of an
object for a while (a server takes it for 15 minutes), and players' requests wait for a signature once per object and
minute. It is made in a thread: 0.12 ms of the interpreter, beside 1 us for one that is remembered.
"""

import asyncio
import configparser
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cachetools import LRUCache

from edge.clock import Clock
from edge.errors import ConfigError, why
from edge.origin.settings import FieldList, UpstreamRequest

REUSED_SECONDS: Final = 60.0  # well within the 15 minutes; new credentials are in use after as long
REMEMBERED: Final = 4096  # signatures, 1 KiB each
LOOK_SECONDS: Final = 5.0  # between looks at the file of credentials: session tokens last an hour
log = logging.getLogger("edge.origin")
_UNRESERVED: Final = "-_.~"
_SENT: Final = frozenset({"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"})


@dataclass(frozen=True, slots=True)
class S3Settings:
    """`credentials`: a file as the AWS tools have it; None: the environment (AWS_ACCESS_KEY_ID and so on)."""

    region: str
    credentials: Path | None = None
    profile: str = "default"


@dataclass(frozen=True, slots=True)
class Credentials:
    key_id: str
    secret: str
    token: str | None

    def __repr__(self) -> str:
        return f"<Credentials {self.key_id}>"


def read_credentials(settings: S3Settings, environ: Mapping[str, str]) -> Credentials:
    """ConfigError says what is missing, without what is secret."""
    if settings.credentials is None:
        said: Mapping[str, str] = {name.lower(): value for name, value in environ.items() if name.startswith("AWS_")}
        where, token = "the environment", said.get("aws_session_token")
    else:
        where = str(settings.credentials)
        file = configparser.RawConfigParser()
        try:
            file.read_string(settings.credentials.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("s3_credentials", where, f"cannot be read: {why(error)}") from error
        except configparser.Error as error:
            hint = f"is not written as AWS tools write it ({type(error).__name__})"
            raise ConfigError("s3_credentials", where, hint) from None
        if not file.has_section(settings.profile):
            raise ConfigError("s3_profile", settings.profile, f"{where} has no such section")
        said = dict(file[settings.profile])
        token = said.get("aws_session_token")
    key_id, secret = said.get("aws_access_key_id"), said.get("aws_secret_access_key")
    if not key_id or not secret:
        raise ConfigError("s3_credentials", where, "needs aws_access_key_id and aws_secret_access_key")
    return Credentials(key_id, secret, token or None)


class S3Signer:
    """For one member. ConfigError at the start: no botocore, or no credentials."""

    def __init__(self, settings: S3Settings, clock: Clock, *, secure: bool) -> None:
        try:
            import botocore.auth  # noqa: F401 # loaded here, once, and not while somebody waits
        except ImportError as error:
            raise ConfigError("s3_region", settings.region, "needs the extra: pip install video-edge[s3]") from error
        self._settings = settings
        self._clock = clock
        self._scheme = "https" if secure else "http"
        self._made: LRUCache[tuple[bytes, bytes], tuple[FieldList, float]] = LRUCache(REMEMBERED)
        self._stamp = self._stamp_now()
        self._looked_at = clock.monotonic()
        self._credentials = read_credentials(settings, os.environ)

    def __repr__(self) -> str:
        return f"<S3Signer {self._settings.region} {self._credentials}>"

    async def sign(self, request: UpstreamRequest, target: bytes, host: bytes) -> FieldList:
        """See `Signer`. A body is not signed: what would change the bucket is refused there."""
        now, asked = self._clock.monotonic(), (request.method, target)
        made = self._made.get(asked)
        if made is not None and now - made[1] < REUSED_SECONDS:
            return made[0]
        loop = asyncio.get_running_loop()
        fields = await loop.run_in_executor(None, self._make, request.method, target, host, now)
        self._made[asked] = fields, now
        return fields

    # -- in a thread -----------------------------------------------------------------------------

    def _make(self, method: bytes, target: bytes, host: bytes, now: float) -> FieldList:
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import ReadOnlyCredentials

        known = self._current(now)
        path, _, query = target.partition(b"?")
        url = f"{self._scheme}://{host.decode()}{_encoded(path, '/')}"
        if query:
            url += "?" + "&".join(
                "=".join(_encoded(half) for half in part.split(b"=", 1)) for part in query.split(b"&")
            )
        request = AWSRequest(method.decode(), url, headers={"Host": host.decode()})
        signing = ReadOnlyCredentials(known.key_id, known.secret, known.token)
        S3SigV4Auth(signing, "s3", self._settings.region).add_auth(request)
        return tuple(
            (name.encode(), str(value).encode()) for name, value in request.headers.items() if name.lower() in _SENT
        )

    def _current(self, now: float) -> Credentials:
        """Read again when the file has changed; what cannot be read changes nothing."""
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            stamp = self._stamp_now()
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._credentials = read_credentials(self._settings, os.environ)
                except ConfigError as error:  # half written, perhaps
                    log.error("the credentials stay as they were: %s", error)
        return self._credentials

    def _stamp_now(self) -> tuple[int, int, int] | None:
        path = self._settings.credentials
        try:
            about = path.stat() if path is not None else None
        except OSError:
            return None
        return None if about is None else (about.st_ino, about.st_mtime_ns, about.st_size)


def _encoded(text: bytes, safe: str = "") -> str:
    """As the server sees it, whatever a player has left unencoded: SigV4's UriEncode."""
    return quote_from_bytes(unquote_to_bytes(text), safe + _UNRESERVED)
