"""The schema of the configuration: each field, its default and its meaning; the reference is rendered from it.

Values are taken strictly: a number in quotes is no number, and "yes" is not true. A room below may have
another name for a setting; `runtime.convert` knows both.
"""

import ipaddress
import os
import re
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from edge.config.units import parse_duration, parse_listen, parse_size
from edge.errors import ConfigError
from edge.origin.group import MemberRole, Selection
from edge.origin.settings import Address
from edge.words import Kind

LABEL: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # a field's name: RFC 9110 section 5.6.2
HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\]")
AUTHORITY: Final = re.compile(rf"(?:{HOST_NAME.pattern})(?::[0-9]{{1,5}})?")
WEB_ORIGIN: Final = re.compile(r"|\*|null|https?://[A-Za-z0-9._-]+(?::[0-9]{1,5})?")
VISIBLE: Final = re.compile(r"[\x21-\x7e]*")
PATH: Final = re.compile(r"[/*][\x21-\x7e]*")
WINDOW: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
CACHE_LEAST: Final = 16 * 2**20
VOLUMES_MOST: Final = 64
UPSTREAMS_MOST: Final = 64


def _written_like(pattern: re.Pattern[str], hint: str) -> AfterValidator:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(hint)
        return value

    return AfterValidator(check)


def _listen(value: object) -> object:
    parse_listen(value)
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than 0")
    return value


def _url(value: str) -> str:
    if VISIBLE.fullmatch(value) is None:
        raise ValueError("must have no blanks, and percent-encode what is not ASCII")
    if value:
        try:
            Address.of(value)
        except ConfigError as error:
            raise ValueError(error.hint) from error
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"write an address or a network, 10.0.0.1 or 10.0.0.0/24: {error}") from error
    return value


Size = Annotated[int, BeforeValidator(parse_size)]
Seconds = Annotated[float, BeforeValidator(parse_duration)]
Wait = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_positive)]
Listen = Annotated[str, BeforeValidator(_listen)]
Label = Annotated[str, _written_like(LABEL, "letters, digits, dots, dashes and underscores only, at most 64")]
Token = Annotated[str, _written_like(TOKEN, "is not the name of a header field")]
HostName = Annotated[
    str, _written_like(HOST_NAME, 'write a host name without scheme, port or "*"'), AfterValidator(str.lower)
]
Authority = Annotated[str, _written_like(AUTHORITY, "write HOST or HOST:PORT")]
WebOrigin = Annotated[str, _written_like(WEB_ORIGIN, 'write "*" or one origin, "https://player.example"')]
Parameter = Annotated[str, _written_like(VISIBLE, "write the parameter's name as it stands in a URL")]
Names = Annotated[tuple[Parameter, ...], Field(strict=False)]
PathPattern = Annotated[str, _written_like(PATH, 'write a path that begins with "/" or "*"')]
ProbePath = Annotated[str, _written_like(re.compile(r"/[\x21-\x7e]*"), 'write a path that begins with "/"')]
Url = Annotated[str, AfterValidator(_url)]
Network = Annotated[str, AfterValidator(_network)]
Listens = Annotated[tuple[Listen, ...], Field(strict=False)]


class Section(BaseModel):
    """An unknown key is an error, a value of another type too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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
    size: Size = Field(10 * 10**9, description="bytes that packs may take (at most two packs more on disk)")
    slice_size: Size = Field(2**20, description="32KiB to 32MiB; stored with each object, may be changed at any time")
    index_dir: str | None = Field(None, min_length=1, description="another place for the index: an SSD or a tmpfs")
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
    size: Size = Field(description="bytes that its packs may take")

    @field_validator("size")
    @classmethod
    def _size(cls, value: int) -> int:
        return CacheSection._size(value)


class OriginSection(Section):
    """Where misses are fetched: an origin or a shield."""

    url: Url = Field("", description="http://host[:port][/base/path] or https://...")
    host: Authority | None = Field(None, description="Host to send; the URL's own unless set")
    server_name: HostName | None = Field(None, description="name in the TLS handshake; the URL's own unless set")
    ca_file: str | None = Field(None, min_length=1, description="PEM of the CA that signed the certificate")
    verify: bool = Field(True, description="check the origin's certificate")
    client_cert: str | None = Field(None, min_length=1, description="PEM that shows an origin who asks")
    client_key: str | None = Field(None, min_length=1, description="PEM of its private key")
    s3_region: Label | None = Field(
        None, description="of an S3-compatible origin: requests are signed (SigV4); needs the extra s3"
    )
    s3_credentials: str | None = Field(
        None, min_length=1, description="file as AWS tools have it; unless set, AWS_ACCESS_KEY_ID and so on"
    )
    s3_profile: Label = Field("default", description="section of that file; it is read again when it has changed")
    probe: ProbePath | None = Field(
        None, description="asked for now and then, after the URL's path; two that fail or get 5xx: asked after others"
    )
    probe_interval: Wait = Field(5.0, description="between two of them")
    keys_file: str | None = Field(
        None, min_length=1, description="[admission] of shields and siblings; the first key in it signs our requests"
    )
    connect_timeout: Wait = Field(3.0, description="how long one connection may take, TLS included")
    first_byte_timeout: Wait = Field(8.0, description="from a request to its answer's head, each try")
    total_first_byte: Wait = Field(9.5, description="the same over all tries: players give up at 10 s")
    stall_timeout: Wait = Field(5.0, description="silence in a body after which it is resumed")
    retries: int = Field(2, ge=0, le=10, description="further tries, 100-400 ms apart")
    resume_max: int = Field(3, ge=0, le=20, description="broken bodies in a row without one new byte")
    max_connections: int = Field(128, ge=1, le=10_000, description="connections at the same time")
    queue: int = Field(1024, ge=0, le=100_000, description="requests that may wait for a connection ...")
    queue_timeout: Wait = Field(2.0, description="... for so long")
    keepalive: Wait = Field(75.0, description="how long an idle connection is kept; less than the origin keeps it")
    far: Wait = Field(0.02, description="round trip from which on bodies come over several connections at once")
    parallel_max: int = Field(64, ge=1, le=128, description="so many of them for one body; 1 = never more")
    warm: int = Field(32, ge=0, le=1000, description="connections kept open ahead while a far origin is in use")
    selection: Annotated[Selection, Field(strict=False)] = Field(
        Selection.RENDEZVOUS,
        description="which of several [[upstream]] is asked: rendezvous (by object), primary-backup, least-latency",
    )
    sibling_hits: int = Field(
        3, ge=1, le=1_000_000, description="what a sibling keeps is kept here too from so many requests on ..."
    )
    sibling_window: Wait = Field(60.0, description="... within so long")
    hedge: bool = Field(
        True, description="a first byte later than 95 % of them is asked for twice, for at most 5 % of the requests"
    )
    fallback: bool = Field(True, description="false: where there are shields, origins are never asked instead")
    read_ahead: Size = Field(
        64 * 2**20, description="fetched before a player that reads a far film in ranges; 0 = none"
    )
    congestion_control: Label | None = Field(
        None, description="how these connections send; unless set, as the kernel does"
    )
    receive_buffer: Size = Field(0, description="bytes; 0 = the kernel's own, which grows with the path")
    send_buffer: Size = Field(0, description="the same towards the origin")
    notsent_lowat: Size = Field(0, description="unsent bytes that the kernel takes ahead; 0 = its own choice")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key needs client_cert beside it")
        return self


class UpstreamSection(Section):
    """One of several servers that misses are fetched from: the sibling that has the object, then shields, then origins.
    With any of these, url, host and server_name of [origin] are not used; all else there is for each of them.
    """

    url: Url = Field(min_length=1, description="http://host[:port][/base/path] or https://...")
    role: Annotated[MemberRole, Field(strict=False)] = Field(
        MemberRole.ORIGIN,
        description="sibling: keeps a share of the objects of one data centre; shield: asked before any origin; origin",
    )
    weight: float = Field(1.0, gt=0, le=1000, description="its share of the objects beside others of its role")
    host: Authority | None = Field(None, description="Host to send; the URL's own unless set")
    server_name: HostName | None = Field(None, description="name in the TLS handshake; the URL's own unless set")
    probe: ProbePath | None = Field(None, description="see [origin]")
    s3_region: Label | None = Field(None, description="see [origin]")


class AdmissionSection(Section):
    """Who may ask a shield or a sibling: edges that show that they are ours; others get 403. Off, unless it says how:
    by a signed pass (keys_file), an address (networks) or a client certificate (client_ca).
    """

    keys_file: str | None = Field(
        None,
        min_length=1,
        description='a file of lines "ID SECRET", the secret at least 32 characters; all are accepted',
    )
    networks: Annotated[tuple[Network, ...], Field(strict=False)] = Field(
        (), description='addresses of edges, "10.1.0.0/16"; behind a proxy this would be the proxy\'s'
    )
    client_ca: str | None = Field(None, min_length=1, description="PEM of the CA that signs the edges' certificates")
    client_names: Annotated[tuple[HostName, ...], Field(strict=False)] = Field(
        (), description="names that such a certificate may have; unless set, any"
    )
    require: Literal["any", "all"] = Field("any", description="one of these proofs, or all that are named here")
    listen: Listens = Field(
        (), description="only at these addresses, as [server] has them in listen or listen_plain; unless set, at all"
    )
    sites: Annotated[tuple[Label, ...], Field(strict=False)] = Field(
        (), description="only for these sites; unless set, for all"
    )
    skew: Wait = Field(60.0, description="by how much clocks may differ; a pass is good for as long")
    nonces: int = Field(
        100_000, ge=1000, le=10_000_000, description="passes that a worker remembers, so that none serves it twice"
    )

    @property
    def on(self) -> bool:
        return bool(self.keys_file or self.networks or self.client_ca)


class KindSection(Section):
    """Defaults of one kind of object, where the origin is silent; what is left out stays as it is."""

    ttl: Seconds | None = Field(None, description="how long it is fresh")
    stale_while_revalidate: Seconds | None = Field(None, description="then: served while it is renewed")
    stale_if_error: Seconds | None = Field(None, description="then: served when the origin fails")


class LiveSection(Section):
    """Live playlists and manifests, where the origin is silent: fresh for half the period that they name."""

    least: Wait = Field(1.0, description="fresh for at least so long ...")
    most: Wait = Field(6.0, description="... at most so long")
    unknown: Wait = Field(2.0, description="for a list that names no period")
    low_latency: Wait = Field(1.0, description="for a low-latency list")
    error_periods: float = Field(
        3.0, ge=0, le=100, description="how many periods it is served on when the origin fails"
    )


class RulesSection(Section):
    """What a site can say of its objects; what is left out stays as the profile has it."""

    drop_params: Names | None = Field(None, description='query parameters outside the cache key; "utm_*": by beginning')
    token_params: Names | None = Field(None, description="the same for signed URLs")
    keep_params: Names | None = Field(None, description="if any: only these are in the cache key")
    sort_params: bool | None = Field(None, description="true: the order of parameters does not matter")
    forward_params: Names | None = Field(None, description="outside the key and yet told to the origin")
    forward_fields: Annotated[tuple[Token, ...], Field(strict=False)] | None = Field(
        None, description='request fields that the origin gets, and that answers may vary by; "*" = every one'
    )
    methods: Annotated[tuple[Token, ...], Field(strict=False)] | None = Field(
        None, description='methods of clients; "*" = every one; unsafe ones are passed and invalidate'
    )
    honour_client_cache_control: bool | None = Field(
        None, description="true: clients may ask for fresher answers; for a shield behind edges that are trusted"
    )
    honour_cache_control: bool | None = Field(None, description="false: freshness goes by these defaults alone")
    keep_set_cookie: bool | None = Field(None, description="true: cookies are the same for all, kept and replayed")
    every_status: bool | None = Field(None, description="true: every status is kept when its answer allows it")
    lists_by_content: bool | None = Field(
        None, description="what a playlist says of itself decides how long it is kept"
    )
    heuristic_share: float | None = Field(
        None, ge=0, le=1, description="without explicit freshness: so much of the time since Last-Modified"
    )
    heuristic_most: Seconds | None = Field(None, description="... and at most so long")
    stale_if_unreachable: Seconds | None = Field(
        None, description="served though stale when the origin does not answer, unless it forbids that"
    )
    exact_ranges: bool | None = Field(None, description="true: a range is asked for as it was asked, not by slices")
    retry: bool | None = Field(None, description="false: every request is sent to the origin once")
    variants_most: int | None = Field(None, ge=1, le=1000, description="answers of one object, chosen by Vary")
    negative_ttl: Seconds | None = Field(None, description="how long 404 and 410 are remembered")
    negative_ttl_live: Seconds | None = Field(
        None, description="the same for what is live: it will be there in a moment"
    )
    cors_origin: WebOrigin | None = Field(
        None, description='Access-Control-Allow-Origin; "" = CORS is left to the origin'
    )
    preflight_max_age: Seconds | None = Field(None, description="how long browsers remember a preflight")
    mime_by_path: bool | None = Field(None, description="true: what comes without a media type gets one by its name")
    hide_tags: bool | None = Field(
        None, description="false: clients are told Surrogate-Key and Cache-Tag; for a shield behind edges"
    )
    cache_status_key: bool | None = Field(None, description="true: Cache-Status tells the cache key")
    server_timing: bool | Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="share of the answers whose Server-Timing tells scripts how the cache answered; true = all"
    )
    live: LiveSection | None = Field(None, description="see below")
    kinds: dict[Annotated[Kind, Field(strict=False)], KindSection] = Field(
        default_factory=dict, description="defaults by kind of object, see below"
    )


class RuleSection(RulesSection):
    """What holds for some paths of a site. The first rule that matches wins, and holds beside the site's own."""

    path: PathPattern = Field(description='"*" stands for anything within a segment, "**" for anything at all')


class SiteSection(RulesSection):
    """A tenant, chosen by Host. The first site also takes hosts that nobody has."""

    name: Label = Field(description="in metrics, logs and cache keys")
    hosts: Annotated[tuple[HostName, ...], Field(strict=False)] = Field((), description="host names, without port")
    profile: Literal["video", "rfc9111"] = Field(
        "video", description="what holds where nothing is said: for players, or a plain shared cache"
    )
    rule: Annotated[tuple[RuleSection, ...], Field(strict=False)] = Field((), description="see below")


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
    admin: AdminSection = Field(default_factory=AdminSection)
    cache: CacheSection = Field(default_factory=CacheSection)
    volume: Annotated[tuple[VolumeSection, ...], Field(strict=False)] = ()
    scrub: ScrubSection = Field(default_factory=ScrubSection)
    admission: AdmissionSection = Field(default_factory=AdmissionSection)
    origin: OriginSection = Field(default_factory=OriginSection)
    upstream: Annotated[tuple[UpstreamSection, ...], Field(strict=False)] = ()
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
        if self.upstream or not origin.url:
            return self.upstream
        names = ("url", "host", "server_name", "probe", "s3_region")
        return (UpstreamSection(**{name: getattr(origin, name) for name in names}),)

    @field_validator("upstream")
    @classmethod
    def _own_urls(cls, value: tuple[UpstreamSection, ...]) -> tuple[UpstreamSection, ...]:
        urls = [upstream.url for upstream in value]
        for url in urls:
            if urls.count(url) > 1:
                raise ValueError(f"two upstreams have the url {url!r}")
        if len(value) > UPSTREAMS_MOST:
            raise ValueError(f"at most {UPSTREAMS_MOST} upstreams")
        if value and all(upstream.role is MemberRole.SIBLING for upstream in value):
            raise ValueError("siblings need a shield or an origin beside them")
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        siblings = [upstream.url for upstream in self.upstream if upstream.role is MemberRole.SIBLING]
        if siblings and self.server.url not in siblings:
            raise ValueError("server.url must be the url of one [[upstream]] of role sibling: this server's own")
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
