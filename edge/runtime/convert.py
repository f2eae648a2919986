"""Configuration into the rooms' own settings."""

from pathlib import Path

from edge.config.schema import Settings, SiteSection
from edge.delivery.story import DeliverySettings
from edge.fill.settings import FillSettings
from edge.origin.settings import OriginSettings
from edge.policy.rules import DEFAULTS, KindDefaults, SiteRules
from edge.server.settings import ServerSettings, TlsCert
from edge.store.eviction import Policy
from edge.store.volume import VolumeSettings


def origin_settings(settings: Settings) -> OriginSettings:
    origin = settings.origin
    return OriginSettings(
        url=origin.url,
        host_header=origin.host,
        connect_timeout=origin.connect_timeout,
        first_byte_timeout=origin.first_byte_timeout,
        total_first_byte=origin.total_first_byte,
        stall_timeout=origin.stall_timeout,
        retries=origin.retries,
        max_connections=origin.max_connections,
        queue_limit=origin.queue,
        ca_file=origin.ca_file,
        verify=origin.verify,
    )


def volume_settings(settings: Settings) -> VolumeSettings:
    cache = settings.cache
    return VolumeSettings(
        size_bytes=cache.size,
        slice_size=cache.slice_size,
        index_dir=Path(cache.index_dir) if cache.index_dir else None,
        min_free_ratio=cache.min_free,
        policy=Policy(cache.policy),
    )


def server_settings(settings: Settings) -> ServerSettings:
    server = settings.server
    return ServerSettings(
        idle_timeout=server.idle_timeout,
        head_timeout=server.head_timeout,
        max_connections=server.max_connections,
        max_requests=server.max_requests,
        min_drain_rate=server.slow_reader,
        tls=tuple(TlsCert(Path(tls.cert), Path(tls.key), tls.names) for tls in settings.tls),
    )


def fill_settings(settings: Settings) -> FillSettings:
    return FillSettings(resume_max=settings.origin.resume_max)


def delivery_settings(settings: Settings) -> DeliverySettings:
    return DeliverySettings(node=settings.server.node, first_byte_budget=settings.origin.total_first_byte + 0.5)


def site_rules(settings: Settings) -> tuple[SiteRules, ...]:
    """At least one site: without any in the file, "default" takes every host."""
    return tuple(_rules(site) for site in settings.site) or (SiteRules(),)


def _rules(site: SiteSection) -> SiteRules:
    defaults = dict(DEFAULTS)
    for kind, said in site.kinds.items():
        defaults[kind] = KindDefaults(said.ttl, said.stale_while_revalidate, said.stale_if_error)
    return SiteRules(
        name=site.name,
        hosts=site.hosts,
        defaults=defaults,
        negative_ttl=site.negative_ttl,
        drop_params=site.drop_params,
        token_params=site.token_params,
        forward_fields=site.forward_fields,
        cors_origin=site.cors_origin,
    )
