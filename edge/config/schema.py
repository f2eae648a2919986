"""The schema of the configuration: every field with its default and meaning; the reference is rendered from here."""

import os
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from edge.config.units import parse_duration, parse_listen, parse_size
from edge.words import Kind

Size = Annotated[int, BeforeValidator(parse_size)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]


def _listen(value: str) -> str:
    parse_listen(value)
    return value


Listen = Annotated[str, BeforeValidator(_listen)]


class Section(BaseModel):
    """Strict: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSection(Section):
    """Where players connect, and how they are held to their limits."""

    listen: tuple[Listen, ...] = Field(("[::]:8080",), description="addresses for players; [::] takes IPv4 too")
    workers: int = Field(0, ge=0, le=256, description="worker processes; 0 = one per core")
    node: str = Field("edge", description="this node's name in Via and Cache-Status", pattern=r"^[A-Za-z0-9._-]+$")
    drain_timeout: Seconds = Field(30.0, description="how long running answers may take at a stop")
    idle_timeout: Seconds = Field(75.0, description="keep-alive without a request; players pause 2-10 s")
    head_timeout: Seconds = Field(10.0, description="from a request head's first byte to its last")
    max_connections: int = Field(50_000, ge=1, description="per worker; more are closed at once")
    max_requests: int = Field(10_000, ge=1, description="per connection; then it is closed in good order")
    slow_reader: Size = Field(4096, description="bytes a second below which, over 30 s, a reader is given up")


class TlsSection(Section):
    """A certificate; the first one also serves names that nobody has."""

    cert: str = Field(description="PEM file, leaf first")
    key: str = Field(description="PEM file of the private key")
    names: tuple[str, ...] = Field((), description='server names (SNI), "*.example.org" allowed')


class AdminSection(Section):
    """Metrics and health: never on the players' port."""

    listen: Listen = Field("127.0.0.1:9180", description="address of /metrics, /healthz, /readyz")


class CacheSection(Section):
    """The cache directory."""

    dir: str = Field("./edge-cache", description="made if it is missing; one server per directory")
    size: Size = Field(10 * 10**9, description="bytes that packs may take (at most two packs more on disk)")
    slice_size: Size = Field(2**20, description="32KiB to 32MiB; stored with each object, may be changed at any time")
    index_dir: str | None = Field(None, description="another place for the index: an SSD or a tmpfs")
    policy: Literal["fifo", "lru"] = Field("fifo", description="what stays when room is needed")
    min_free: float = Field(0.05, ge=0, le=0.9, description="share of the file system that is left free")

    @field_validator("size")
    @classmethod
    def _size(cls, value: int) -> int:
        if value < 16 * 2**20:
            raise ValueError("a cache needs at least 16MiB")
        return value

    @field_validator("slice_size")
    @classmethod
    def _slice(cls, value: int) -> int:
        if not 32 * 2**10 <= value <= 32 * 2**20 or value % 4096:
            raise ValueError("must be a multiple of 4096 between 32KiB and 32MiB")
        return value


class OriginSection(Section):
    """Where misses are fetched: an origin or a shield."""

    url: str = Field("", description="http://host[:port][/base/path] or https://...")
    host: str | None = Field(None, description="Host to send; the URL's own unless set")
    ca_file: str | None = Field(None, description="PEM of the CA that signed the origin's certificate")
    verify: bool = Field(True, description="check the origin's certificate")
    connect_timeout: Seconds = Field(3.0, description="for one connection, TLS included")
    first_byte_timeout: Seconds = Field(8.0, description="from a request to its answer's head, each try")
    total_first_byte: Seconds = Field(9.5, description="the same over all tries: players give up at 10 s")
    stall_timeout: Seconds = Field(5.0, description="silence in a body after which it is resumed")
    retries: int = Field(2, ge=0, le=10, description="further tries, 100-400 ms apart")
    resume_max: int = Field(3, ge=0, le=20, description="broken bodies in a row without one new byte")
    max_connections: int = Field(128, ge=1, le=10_000, description="at the same time")
    queue: int = Field(1024, ge=0, description="requests that may wait for a connection, at most 2 s")


class KindSection(Section):
    """Defaults of one kind of object, where the origin is silent."""

    ttl: Seconds = Field(description="how long it is fresh")
    stale_while_revalidate: Seconds = Field(0.0, description="then: served while it is renewed")
    stale_if_error: Seconds = Field(0.0, description="then: served when the origin fails")


class SiteSection(Section):
    """A tenant, chosen by Host. The first site also takes hosts that nobody has."""

    name: str = Field(description="in metrics, logs and cache keys", pattern=r"^[A-Za-z0-9._-]+$")
    hosts: tuple[str, ...] = Field((), description="host names, without port")
    drop_params: tuple[str, ...] = Field(("CMCD",), description="query parameters outside the cache key")
    token_params: tuple[str, ...] = Field(
        ("token", "expires", "md5", "hdnts", "hdnea"), description="the same for signed URLs"
    )
    forward_fields: tuple[str, ...] = Field((), description="request fields that the origin gets")
    cors_origin: str = Field("*", description="Access-Control-Allow-Origin")
    negative_ttl: Seconds = Field(10.0, description="how long 404 and 410 are remembered")
    kinds: dict[Kind, KindSection] = Field(default_factory=dict, description="defaults by kind of object")


class LogSection(Section):
    """The access log."""

    access: str = Field("off", description='a file, "stdout" or "off"')
    anonymise: Literal["truncate", "off"] = Field("truncate", description="client addresses: /24 and /48, or whole")


class Settings(Section):
    """The whole configuration."""

    server: ServerSection = Field(default_factory=ServerSection)
    admin: AdminSection = Field(default_factory=AdminSection)
    cache: CacheSection = Field(default_factory=CacheSection)
    origin: OriginSection = Field(default_factory=OriginSection)
    log: LogSection = Field(default_factory=LogSection)
    tls: tuple[TlsSection, ...] = ()
    site: tuple[SiteSection, ...] = ()

    @model_validator(mode="after")
    def _sites(self) -> "Settings":
        names = [site.name for site in self.site]
        if len(set(names)) < len(names):
            raise ValueError("two sites have the same name")
        return self

    @property
    def worker_count(self) -> int:
        return self.server.workers or len(os.sched_getaffinity(0))
