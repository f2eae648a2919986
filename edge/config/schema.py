"""The schema of the configuration: each field, its default and its meaning; the reference is rendered from it.

Values are taken strictly: a number in quotes is no number, and "yes" is not true. A room below may have
another name for a setting; `runtime.convert` knows both.
"""

import difflib
import os
import re
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from edge.config.origins import AdmissionSection, GroupSection, OriginSection, UpstreamSection
from edge.config.sites import SiteSection
from edge.config.values import Label, Listen, Listens, Network, Seconds, Section, Size, SocketsSection, Url, Wait
from edge.origin.group import MemberRole
from edge.origin.settings import Address
from edge.words import ORIGIN

WINDOW: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
CACHE_LEAST: Final = 16 * 2**20
VOLUMES_MOST: Final = 64
UPSTREAMS_MOST: Final = 64


class ServerSection(Section):
    """Where players connect, and how they are held to their limits."""

    listen: Listens = Field(
        ("[::]:8080",), description="addresses for players; [::] takes IPv4 too; with a certificate: HTTPS"
    )
    listen_plain: Listens = Field(
        (),
        description="further addresses that stay plain HTTP beside a certificate: for edges behind a shield",
    )
    profile: Literal["video", "rfc9111"] = Field(
        "video", description="of the one site that there is without any [[site]]: for players, or a plain cache"
    )
    workers: int = Field(0, ge=0, le=256, description="worker processes; 0 = one per core")
    node: Label = Field("edge", description="this node's name in Via and Cache-Status")
    url: Url = Field("", description="what its siblings call this server: one [[upstream]] of role sibling has it")
    link_capacity: Size = Field(0, description="bytes a second that the machine's port carries, for alerts; 0 = unsaid")
    proxy_protocol_from: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        (), description="proxies (10.0.0.1, 10.0.0.0/24) whose connections begin with a PROXY header, version 1 or 2"
    )
    congestion_control: Label | None = Field(
        None, description="how answers are sent: bbr for who is far away; unless set, as the kernel does"
    )
    receive_buffer: Size = Field(0, description="bytes for each connection; 0 = the kernel's own, which grows")
    send_buffer: Size = Field(0, description="the same for answers: bandwidth x round trip, where it is named at all")
    notsent_lowat: Size = Field(0, description="unsent bytes that the kernel takes ahead; 0 = its own choice")
    max_pacing_rate: Size = Field(0, description="bytes a second that a connection sends at most; 0 = no bound")
    drain_timeout: Seconds = Field(30.0, description="how long running answers may take at a stop")
    retire_timeout: Wait = Field(600.0, description="how long old workers may take to finish after a reload")
    idle_timeout: Wait = Field(75.0, description="keep-alive without a request; players pause 2-10 s")
    head_timeout: Wait = Field(10.0, description="from a request head's first byte to its last")
    handshake_timeout: Wait = Field(10.0, description="how long a TLS handshake may take")
    max_connections: int = Field(
        50_000, ge=1, le=1_000_000, description="per listener and worker; then accepting pauses"
    )
    max_requests: int = Field(
        10_000, ge=1, le=1_000_000_000, description="per connection; then it is closed in good order"
    )
    max_head: Size = Field(
        16 * 2**10, description="the most that a request's line and fields may take together; 1KiB to 1MiB"
    )
    max_line: Size = Field(8 * 2**10, description="the most for its line, and for each field; at most max_head")
    max_fields: int = Field(100, ge=10, le=1000, description="the most fields that a request may have")
    max_hops: int = Field(8, ge=1, le=100, description="caches that a request may have passed; more are a loop")
    max_body: Size = Field(
        64 * 2**20, description="the most that a request's body may have, where a site allows methods with one"
    )
    slow_reader: Size = Field(
        4096, description="bytes a second below which, over 30 s, a reader is given up; 0 = never"
    )

    @field_validator("listen")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("needs at least one address")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not 2**10 <= self.max_head <= 2**20:
            raise ValueError("max_head must be between 1KiB and 1MiB")
        if not 2**8 <= self.max_line <= self.max_head:
            raise ValueError("max_line must be at least 256 and at most max_head")
        return self


class ListenerSection(SocketsSection):
    """Options of one address of listen or listen_plain, for what it accepts; what is left out is as [server] has it.

    A shield paces what it sends to far edges, and not what it sends to those beside it.
    """

    listen: Listen = Field(description="the address, as [server] has it")


class TlsSection(Section):
    """A certificate; the first one also serves names that nobody has."""

    cert: str = Field(min_length=1, description="PEM file, leaf first")
    key: str = Field(min_length=1, description="PEM file of the private key")
    names: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (),
        description='server names (SNI), "*.example.org" allowed; needed when there are several certificates',
    )


class AdminSection(Section):
    """Metrics and health: never on the players' port."""

    listen: Listen = Field("127.0.0.1:9180", description="address of /metrics, /healthz, /readyz and the admin API")


class OperatorSection(Section):
    """Who may use the admin API over TCP (/v1/...); over the control socket its owner may do everything."""

    name: Label = Field(description="in the log")
    role: Literal["read", "purge", "admin"] = Field("read", description="each may do what those before it may")
    token_file: str = Field(min_length=1, description="a file with the bearer token, at least 16 characters")


class FleetSection(Section):
    """Purges and warm jobs for all nodes, through a stream in Redis. Without redis this node is alone.

    Every node needs a [server] node of its own. Redis should keep its data (appendonly), or a node distrusts what it
    has stored after each of its restarts.
    """

    redis: str = Field("", description="redis://host:6379/0, rediss://..., or unix:///run/redis/redis.sock")
    name: Label = Field("edge", description="of the fleet; what its keys in Redis begin with")
    key_file: str | None = Field(
        None, min_length=1, description="a file with the key that signs, and further ones that count, one a line"
    )
    password_file: str | None = Field(None, min_length=1, description="a file with the password of Redis")
    keep: int = Field(100_000, ge=1, le=10_000_000, description="orders that the stream holds for nodes that are away")

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.redis and not self.key_file:
            raise ValueError("redis needs key_file beside it: the same key on every node")
        if self.redis and not self.redis.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("redis must begin with redis://, rediss:// or unix://")
        return self


class CacheSection(Section):
    """The cache directory."""

    dir: str = Field("./edge-cache", min_length=1, description="made if it is missing; one server per directory")
    size: Size = Field(10 * 10**9, description="bytes that packs, journals and index may take (at most two packs more)")
    slice_size: Size = Field(2**20, description="32KiB to 32MiB; stored with each object, may be changed at any time")
    index_dir: str | None = Field(
        None, min_length=1, description="another place for the index, of this server alone: an SSD or a tmpfs"
    )
    policy: Literal["popular", "fifo", "lru"] = Field("popular", description="what stays when room is needed")
    daily_writes: Size = Field(
        0, description="bytes a day and volume that the disk may be written (its wear); 0: no bound"
    )
    min_free: float = Field(0.05, ge=0, le=0.9, description="share of the file system that is left free")

    @field_validator("size")
    @classmethod
    def _size(cls, value: int) -> int:
        if value < CACHE_LEAST:
            raise ValueError("a cache needs at least 16MiB")
        return value

    @field_validator("slice_size")
    @classmethod
    def _slice(cls, value: int) -> int:
        if not 32 * 2**10 <= value <= 32 * 2**20 or value % 4096:
            raise ValueError("must be a multiple of 4096 between 32KiB and 32MiB")
        return value


class ScrubSection(Section):
    """What is stored is read and compared with its checksums, also where nobody asks for it."""

    rate: Size = Field(10 * 10**6, description="bytes a second that are read of each volume; 0: none are")
    every: Wait = Field(24 * 3600.0, description="a pass begins so long after the one before began")
    first: Wait = Field(60.0, description="the first pass begins so long after the start")
    window: str | None = Field(None, description="02:00-08:00: only then")
    zone: str = Field("UTC", description="time zone of the window: Asia/Yekaterinburg")

    @field_validator("window")
    @classmethod
    def _window(cls, value: str | None) -> str | None:
        if value is not None and (WINDOW.fullmatch(value) is None or value[:5] == value[6:]):
            raise ValueError("write 02:00-08:00")
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("there is no such time zone: write Asia/Yekaterinburg") from error
        return value


class VolumeSection(Section):
    """A directory of its own, with a keeper process of its own: one per disk. Objects are shared out by size.

    With any of these, dir and size of [cache] are not used; a volume added or removed moves only its share.
    """

    path: str = Field(min_length=1, description="made if it is missing; may move with what is in it")
    size: Size = Field(description="bytes that its packs, journals and index may take")

    @field_validator("size")
    @classmethod
    def _size(cls, value: int) -> int:
        return CacheSection._size(value)


class LogSection(Section):
    """The access log, a line for each request (SIGUSR1 opens the file anew, for rotation), and what the server says."""

    access: str = Field("off", min_length=1, description='a file, "stdout" or "off"')
    format: Literal["json", "combined"] = Field("json", description="JSON lines, or nginx' combined")
    anonymise: Literal["truncate", "hash", "off"] = Field(
        "truncate", description="client addresses: cut to /24 and /48, hashed with a key that changes daily, or whole"
    )
    events: Literal["console", "json"] = Field("console", description="errors and lines of the server's life")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is said")


class TraceSection(Section):
    """Spans of misses and errors for OpenTelemetry (the extra "otel"); `traceparent` is passed on and logged anyway."""

    endpoint: Url = Field(
        "", description="OTLP over HTTP: http://collector:4318/v1/traces; nothing is exported without"
    )
    sample: float = Field(
        0.01, ge=0, le=1, description="share of the misses; errors and traces that are sampled already always"
    )


class Settings(Section):
    """The whole configuration."""

    server: ServerSection = Field(default_factory=ServerSection)
    listener: Annotated[tuple[ListenerSection, ...], Field(strict=False)] = ()
    admin: AdminSection = Field(default_factory=AdminSection)
    cache: CacheSection = Field(default_factory=CacheSection)
    volume: Annotated[tuple[VolumeSection, ...], Field(strict=False)] = ()
    scrub: ScrubSection = Field(default_factory=ScrubSection)
    admission: AdmissionSection = Field(default_factory=AdmissionSection)
    origin: OriginSection = Field(default_factory=OriginSection)
    upstream: Annotated[tuple[UpstreamSection, ...], Field(strict=False)] = ()
    group: Annotated[tuple[GroupSection, ...], Field(strict=False)] = ()
    operator: Annotated[tuple[OperatorSection, ...], Field(strict=False)] = ()
    fleet: FleetSection = Field(default_factory=FleetSection)
    log: LogSection = Field(default_factory=LogSection)
    trace: TraceSection = Field(default_factory=TraceSection)
    tls: Annotated[tuple[TlsSection, ...], Field(strict=False)] = ()
    site: Annotated[tuple[SiteSection, ...], Field(strict=False)] = ()

    @field_validator("site")
    @classmethod
    def _distinct(cls, value: tuple[SiteSection, ...]) -> tuple[SiteSection, ...]:
        names, hosts = set[str](), dict[str, str]()
        for site in value:
            if site.name in names:
                raise ValueError(f"two sites have the name {site.name!r}")
            names.add(site.name)
            for host in site.hosts:
                if hosts.setdefault(host, site.name) != site.name:
                    raise ValueError(f"host {host!r} belongs to {hosts[host]!r} and to {site.name!r}")
        return value

    @field_validator("volume")
    @classmethod
    def _own_directories(cls, value: tuple[VolumeSection, ...]) -> tuple[VolumeSection, ...]:
        paths = [os.path.abspath(volume.path) for volume in value]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"two volumes have the path {path!r}")
        if len(value) > VOLUMES_MOST:
            raise ValueError(f"at most {VOLUMES_MOST} volumes")
        return value

    @model_validator(mode="after")
    def _listeners_fit(self) -> Self:
        said, addresses = [one.listen for one in self.listener], (*self.server.listen, *self.server.listen_plain)
        for listen in said:
            if listen not in addresses:
                raise ValueError(f"listener.listen: {listen!r} is no address in listen or listen_plain of [server]")
            if said.count(listen) > 1:
                raise ValueError(f"two listeners have the address {listen!r}")
        return self

    @model_validator(mode="after")
    def _admission_fits(self) -> Self:
        said = self.admission
        addresses = (*self.server.listen, *self.server.listen_plain)
        for listen in said.listen:
            if listen not in addresses:
                raise ValueError(f"admission.listen: {listen!r} is no address in listen or listen_plain of [server]")
        for name in said.sites:
            if name not in {site.name for site in self.site}:
                raise ValueError(f"admission.sites: there is no site {name!r}")
        if said.client_ca and not self.tls:
            raise ValueError("admission.client_ca needs a certificate of our own: [[tls]]")
        return self

    @property
    def upstreams(self) -> tuple[UpstreamSection, ...]:
        """None, if nothing says where misses are fetched."""
        origin = self.origin
        if not origin.url or any(upstream.group == ORIGIN for upstream in self.upstream):
            return self.upstream
        names = ("url", "host", "server_name", "probe", "s3_region")
        return (UpstreamSection(**{name: getattr(origin, name) for name in names}), *self.upstream)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the upstreams that have members, as they are first named."""
        return tuple(dict.fromkeys(upstream.group for upstream in self.upstreams))

    @property
    def groups_asked(self) -> tuple[str, ...]:
        """The names of the upstreams that sites and their rules go to."""
        asked = dict[str, None]()
        for site in self.site:
            own = site.upstream or ORIGIN
            asked |= dict.fromkeys((own, *(rule.upstream or own for rule in site.rule)))
        return tuple(asked) or (ORIGIN,)

    def origin_of(self, group: str) -> OriginSection:
        """What holds for the members of a group: [origin], and what its [[group]] says instead."""
        own = next((said for said in self.group if said.name == group), None)
        if own is None:
            return self.origin
        changed = {name: value for name in GroupSection.model_fields if (value := getattr(own, name)) is not None}
        del changed["name"]
        return self.origin.model_copy(update=changed)

    @field_validator("upstream")
    @classmethod
    def _own_urls(cls, value: tuple[UpstreamSection, ...]) -> tuple[UpstreamSection, ...]:
        named = [(upstream, Address.of(upstream.url).member) for upstream in value]
        for upstream, member in named:
            if sum(other == member and one.group == upstream.group for one, other in named) > 1:
                raise ValueError(f"two upstreams have the url {upstream.url!r}")
        if len(value) > UPSTREAMS_MOST:
            raise ValueError(f"at most {UPSTREAMS_MOST} upstreams")
        for group in {upstream.group for upstream in value}:
            if all(upstream.role is MemberRole.SIBLING for upstream in value if upstream.group == group):
                raise ValueError(f"siblings need a shield or an origin beside them (in group {group})")
        return value

    @field_validator("group")
    @classmethod
    def _own_names(cls, value: tuple[GroupSection, ...]) -> tuple[GroupSection, ...]:
        names = [said.name for said in value]
        for name in names:
            if name == ORIGIN:
                raise ValueError(f"what holds for group {ORIGIN} stands in [origin]")
            if names.count(name) > 1:
                raise ValueError(f"two groups have the name {name!r}")
        return value

    @model_validator(mode="after")
    def _groups_have_members(self) -> Self:
        there = sorted({upstream.group for upstream in self.upstream} | {ORIGIN})
        for said in self.group:
            if said.name not in there:
                raise ValueError(f"group {said.name!r} has no members: no [[upstream]] says group = {said.name!r}")
        for name in self.groups_asked:
            if name not in there:  # that of origin may be yet to be given, by a flag
                near = difflib.get_close_matches(name, there, 1)
                meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(there)}"
                raise ValueError(f"site.upstream: no [[upstream]] is in group {name!r}; {meant}")
        return self

    @model_validator(mode="after")
    def _one_role(self) -> Self:
        roles = dict[str, MemberRole]()
        for upstream in self.upstreams:
            if roles.setdefault(Address.of(upstream.url).member, upstream.role) is not upstream.role:
                raise ValueError(f"{upstream.url!r} has two roles: it is one server in all groups")
        return self

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        for group in {upstream.group for upstream in self.upstream}:
            members = [upstream for upstream in self.upstream if upstream.group == group]
            siblings = [upstream.url for upstream in members if upstream.role is MemberRole.SIBLING]
            if siblings and self.server.url not in siblings:
                wanted = f"the url of one [[upstream]] of role sibling in group {group}"
                raise ValueError(f"server.url must be {wanted}: this server's own")
        return self

    @property
    def volumes(self) -> tuple[VolumeSection, ...]:
        """At least one."""
        return self.volume or (VolumeSection(path=self.cache.dir, size=self.cache.size),)

    def volume_label(self, number: int) -> str:
        """What metrics call a volume."""
        return self.volume[number].path if self.volume else "cache"

    @property
    def worker_count(self) -> int:
        return self.server.workers or len(os.sched_getaffinity(0))

    @property
    def listeners(self) -> tuple[tuple[str, str, bool], ...]:
        """(field, address, whether it speaks TLS)."""
        server = self.server
        first = tuple(("server.listen", listen, bool(self.tls)) for listen in server.listen)
        return first + tuple(("server.listen_plain", listen, False) for listen in server.listen_plain)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes back in another process."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Self:
        return cls.model_validate(said)
