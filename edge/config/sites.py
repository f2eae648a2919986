"""The sections about sites: their rules, by path and by kind of object."""

from typing import Annotated, Literal

from pydantic import Field

from edge.config.values import HostName, Label, Names, PathPattern, Seconds, Section, Token, Wait, WebOrigin
from edge.words import Kind


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

    upstream: Label | None = Field(
        None, description="group of [[upstream]] that misses are fetched from; origin = [origin], and who has no group"
    )
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
    prefetch: int | None = Field(
        None, ge=0, le=8, description="segments that are fetched ahead of a player, over a far path; 0 = none"
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
