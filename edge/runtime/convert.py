"""Configuration into the rooms' own settings."""

import hashlib
import ipaddress
import os
from dataclasses import dataclass, fields, replace
from ipaddress import ip_network
from pathlib import Path

from edge.access.admission import Admission, AdmissionSettings
from edge.access.keys import KeyFile
from edge.access.nonces import NonceFile
from edge.clock import Clock
from edge.config.origins import OriginSection, UpstreamSection
from edge.config.schema import ServerSection, Settings
from edge.config.sites import KindSection, RuleSection, RulesSection, SiteSection
from edge.config.values import SocketsSection
from edge.control.roles import Operator, Role, digest_of
from edge.control.window import Window
from edge.delivery.serving import DeliverySettings
from edge.errors import ConfigError, why
from edge.fill.settings import FillSettings
from edge.observe.catalogue import Tier
from edge.observe.privacy import SECRETS
from edge.origin.group import MemberRole, Own
from edge.origin.settings import Address, OriginSettings, Signer
from edge.origin.sigv4 import S3Settings, S3Signer
from edge.origin.telling import PassSigner
from edge.policy.rules import PROFILES, READS, KindDefaults, LiveDefaults, PathRules, SiteRules, path_pattern
from edge.server.settings import ServerSettings, TlsCert
from edge.sockets import SocketOptions
from edge.store.eviction import Policy
from edge.store.scrub import ScrubSettings
from edge.store.settings import VolumeSettings
from edge.words import ORIGIN

TOKEN_LEAST = 16  # characters: what `openssl rand -hex 16` gives has 32
PATIENCE = 0.5  # a worker waits so much longer than the keeper's own budget, in seconds: the keeper's error says more


@dataclass(frozen=True, slots=True)
class SaidMember:
    """A member of the upstream, before anything is made of it."""

    origin: OriginSettings
    weight: float
    role: MemberRole
    s3: S3Settings | None = None


def members(settings: Settings, group: str | None = None) -> tuple[SaidMember, ...]:
    """Who misses are fetched from, of one upstream or of all; at least one in a server."""
    return tuple(
        SaidMember(_origin(settings, said), said.weight, said.role, _s3(settings, said))
        for said in settings.upstreams
        if group in (None, said.group) and said is not _own(settings, said.group)
    )


def socket_options(said: ServerSection | OriginSection, own: SocketsSection | None = None) -> SocketOptions:
    """Of what players connect to, or of connections to the origin; what is its `own` wins."""
    options = {field.name: getattr(said, field.name) for field in fields(SocketOptions)}
    if own is not None:
        options |= {name: value for name in options if (value := getattr(own, name)) is not None}
    options["congestion_control"] = options["congestion_control"] or None
    return SocketOptions(**options)


def listener_options(settings: Settings) -> tuple[SocketOptions, ...]:
    """One for each of `Settings.listeners`."""
    own = {said.listen: said for said in settings.listener}
    return tuple(socket_options(settings.server, own.get(listen)) for _, listen, _ in settings.listeners)


def tiers(settings: Settings) -> dict[str, Tier]:
    """What each member is, by the name under which keepers tell of it."""
    return {Address.of(said.origin.url).member: Tier(said.role.value) for said in members(settings)}


def own(settings: Settings, group: str = ORIGIN) -> Own | None:
    """This server among its siblings in an upstream; None if it has none."""
    said = _own(settings, group)
    return None if said is None else Own(Address.of(said.url).identity, said.weight)


def _s3(settings: Settings, said: UpstreamSection) -> S3Settings | None:
    region, origin = said.s3_region, settings.origin
    if region is None or said.role is not MemberRole.ORIGIN:
        return None
    credentials = said.s3_credentials or origin.s3_credentials
    return S3Settings(region, Path(credentials) if credentials else None, said.s3_profile or origin.s3_profile)


def signer(said: SaidMember, keys: KeyFile | None, clock: Clock) -> Signer | None:
    """How requests to a member are signed. What is told of players is for members of ours, never for origins."""
    if said.role is not MemberRole.ORIGIN:
        return PassSigner(clock, keys, sibling=said.role is MemberRole.SIBLING)
    return S3Signer(said.s3, clock, secure=Address.of(said.origin.url).secure) if said.s3 is not None else None


def _own(settings: Settings, group: str) -> UpstreamSection | None:
    url, siblings = settings.server.url, [said for said in settings.upstream if said.role is MemberRole.SIBLING]
    return next((said for said in siblings if (said.group, said.url) == (group, url)), None)


def origin_settings(settings: Settings) -> OriginSettings:
    """What section [origin] says, of itself and for all members."""
    return _origin(settings, settings.origin)


def _origin(settings: Settings, said: OriginSection | UpstreamSection) -> OriginSettings:
    group = said.group if isinstance(said, UpstreamSection) else ORIGIN
    origin = settings.origin_of(group)
    pair = origin if said.client_cert is None else said  # a certificate goes with its own key
    return OriginSettings(
        url=said.url,
        name=group,
        host_header=said.host,
        connect_timeout=origin.connect_timeout,
        first_byte_timeout=origin.first_byte_timeout,
        total_first_byte=origin.total_first_byte,
        stall_timeout=origin.stall_timeout,
        retries=origin.retries,
        max_connections=origin.max_connections,
        queue_limit=origin.queue,
        queue_timeout=origin.queue_timeout,
        keepalive=origin.keepalive,
        warm=origin.warm,
        hedge=origin.hedge,
        far=origin.far,
        sockets=socket_options(origin, said if isinstance(said, UpstreamSection) else None),
        ca_file=(origin.ca_file if said.ca_file is None else said.ca_file) or None,
        verify=origin.verify if said.verify is None else said.verify,
        client_cert=pair.client_cert or None,
        client_key=pair.client_key,
        sni=said.server_name,
        probe=said.probe or origin.probe,
        probe_interval=origin.probe_interval,
    )


def volume_settings(settings: Settings, number: int = 0) -> VolumeSettings:
    cache, volume = settings.cache, settings.volumes[number]
    index_dir = Path(cache.index_dir) if cache.index_dir else None
    if index_dir is not None and settings.volume:  # each volume's index in a directory of its own, whatever its number
        index_dir /= hashlib.blake2b(os.path.abspath(volume.path).encode(), digest_size=8).hexdigest()
    return VolumeSettings(
        size_bytes=volume.size,
        slice_size=cache.slice_size,
        index_dir=index_dir,
        min_free_ratio=cache.min_free,
        policy=Policy(cache.policy),
        daily_writes=cache.daily_writes,
    )


def scrub_settings(settings: Settings) -> ScrubSettings:
    """Its window is a checked one."""
    said = settings.scrub
    opens_in = Window.parse(said.window, said.zone).opens_in if said.window else _always_open
    return ScrubSettings(said.rate, said.every, opens_in, said.first)


def _always_open(_now: float) -> float:
    return 0.0


def server_settings(settings: Settings) -> ServerSettings:
    server = settings.server
    return ServerSettings(
        max_line=server.max_line,
        max_head=server.max_head,
        max_fields=server.max_fields,
        max_body=server.max_body if _bodies_allowed(settings) else 0,
        idle_timeout=server.idle_timeout,
        head_timeout=server.head_timeout,
        handshake_timeout=server.handshake_timeout,
        max_connections=server.max_connections,
        max_requests=server.max_requests,
        min_drain_rate=server.slow_reader,
        proxies=tuple(ip_network(said) for said in server.proxy_protocol_from),
        tls=tuple(TlsCert(Path(tls.cert), Path(tls.key), tls.names) for tls in settings.tls),
    )


def _bodies_allowed(settings: Settings) -> bool:
    """Is there any site whose methods may bring a body? Else a request with one is refused as it comes."""
    sites = site_rules(settings)
    return any(rules.methods != READS for site in sites for rules in (site, *(entry.rules for entry in site.paths)))


def fill_settings(settings: Settings, group: str = ORIGIN) -> FillSettings:
    """Of fills from one upstream."""
    origin = settings.origin_of(group)
    return FillSettings(
        resume_max=origin.resume_max,
        parallel_max=origin.parallel_max,
        sibling_hits=origin.sibling_hits,
        sibling_window=origin.sibling_window,
    )


def operators(settings: Settings) -> tuple[Operator, ...]:
    """Their tokens are read now; ConfigError: a file that cannot be read, or too short a token."""
    found = []
    for said in settings.operator:
        token = _read_secret("operator.token_file", said.token_file).strip()
        if len(token) < TOKEN_LEAST:
            raise ConfigError("operator.token_file", said.token_file, f"needs at least {TOKEN_LEAST} characters")
        found.append(Operator(said.name, Role[said.role.upper()], digest_of(token)))
    return tuple(found)


def fleet_secrets(settings: Settings) -> tuple[tuple[bytes, ...], str | None]:
    """The keys of the fleet, a line each, and the password of its Redis; ConfigError: what cannot be used."""
    said = settings.fleet
    lines = _read_secret("fleet.key_file", said.key_file or "").split("\n")
    keys = tuple(line.strip().encode() for line in lines if line.strip())
    if not keys or min(map(len, keys)) < TOKEN_LEAST:
        raise ConfigError("fleet.key_file", said.key_file, f"needs a key of at least {TOKEN_LEAST} characters a line")
    password = _read_secret("fleet.password_file", said.password_file).strip() if said.password_file else None
    return keys, password


def _read_secret(field: str, path: str) -> str:
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(field, path, f"cannot be read: {why(error)}") from error


def delivery_settings(settings: Settings, secret: bytes = b"") -> DeliverySettings:
    """`secret` = the volume's; what is made of it tells this node from others of the same name."""
    # One for all sites: it is there for a keeper that is gone, and keepers go by each upstream's own.
    budget = max(settings.origin_of(group).total_first_byte for group in settings.groups or (ORIGIN,)) + PATIENCE
    node = settings.server.node
    mark = f"{node};n={hashlib.blake2b(b'loop', digest_size=6, key=secret).hexdigest()}" if secret else node
    ahead = settings.origin.read_ahead
    hops = settings.server.max_hops
    return DeliverySettings(node, mark.encode(), hops_most=hops, first_byte_budget=budget, read_ahead=ahead)


def admission(settings: Settings, runtime_dir: str = "") -> Admission | None:
    """Who may ask, as each worker judges it; ConfigError: the keys cannot be read.

    `runtime_dir`: where workers share what they have seen.
    """
    said = settings.admission
    if not said.on:
        return None
    shared = NonceFile(Path(runtime_dir), said.nonces) if said.keys_file and runtime_dir else None
    return Admission(
        AdmissionSettings(
            keys=KeyFile(Path(said.keys_file)) if said.keys_file else None,
            networks=tuple(ipaddress.ip_network(network) for network in said.networks),
            certificate=said.client_ca is not None,
            names=frozenset(said.client_names),
            every=said.require == "all",
            skew=said.skew,
            nonces=said.nonces,
            hops=settings.server.max_hops,
        ),
        shared,
    )


def signing_keys(settings: Settings) -> KeyFile | None:
    """What requests to shields and siblings are signed with."""
    path = settings.origin.keys_file
    return KeyFile(Path(path)) if path else None


def site_rules(settings: Settings) -> tuple[SiteRules, ...]:
    """At least one site: without any in the file, "default" takes every host."""
    return tuple(_site(site) for site in settings.site) or (PROFILES[settings.server.profile],)


def secret_names(settings: Settings) -> frozenset[str]:
    """Query parameters whose values no log shows: those that open doors anywhere, and each site's own."""
    sites = site_rules(settings)
    every = [rules for site in sites for rules in (site, *(entry.rules for entry in site.paths))]
    return SECRETS.union(*(rules.token_params for rules in every))


def _site(site: SiteSection) -> SiteRules:
    own = _over(replace(PROFILES[site.profile], name=site.name, hosts=site.hosts), site)
    return replace(own, paths=tuple(_path(own, rule) for rule in site.rule))


def _path(own: SiteRules, rule: RuleSection) -> PathRules:
    return PathRules(rule.path, path_pattern(rule.path), _over(own, rule))


def _over(usual: SiteRules, said: RulesSection) -> SiteRules:
    """What is said, over what holds as it is."""
    given = {name: getattr(said, name) for name in RulesSection.model_fields if name not in ("live", "kinds")}
    changed = {name: value for name, value in given.items() if value is not None}
    if "preflight_max_age" in changed:
        changed["preflight_max_age"] = int(changed["preflight_max_age"])
    if "server_timing" in changed:
        changed["server_timing"] = float(changed["server_timing"])
    live = said.live
    if live is not None:
        changed["live"] = LiveDefaults(live.least, live.most, live.unknown, live.low_latency, live.error_periods)
    changed["defaults"] = {kind: _defaults(said.kinds.get(kind), values) for kind, values in usual.defaults.items()}
    return replace(usual, **changed)


def _defaults(said: KindSection | None, usual: KindDefaults) -> KindDefaults:
    """What a site says of a kind; what it leaves out stays as usual."""
    if said is None:
        return usual
    return KindDefaults(
        usual.ttl if said.ttl is None else said.ttl,
        usual.stale_while_revalidate if said.stale_while_revalidate is None else said.stale_while_revalidate,
        usual.stale_if_error if said.stale_if_error is None else said.stale_if_error,
    )
