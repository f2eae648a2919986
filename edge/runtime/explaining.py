"""What a URL means under a configuration: site, rule, kind, key, freshness, what would be asked. Needs no server."""

from dataclasses import fields
from urllib.parse import urlsplit

from edge.config.schema import Settings
from edge.config.units import write_duration
from edge.delivery.places import Home, Place, Places
from edge.errors import BadRequest, ConfigError
from edge.origin.settings import Address
from edge.policy.freshness import LISTS
from edge.policy.judge import LIVE_KINDS, UNAVAILABLE_MOST
from edge.policy.rules import PROFILES, SiteRules
from edge.policy.upstream_fields import request_fields
from edge.runtime import convert
from edge.runtime.standing import name_of_member, order_of
from edge.words import ORIGIN, Kind

UNSPOKEN = (
    "paths",
    "hosts",
    "name",
    "profile",
    "upstream",
    "defaults",
    "live",
)  # told in other words, or too long for a line


def explain(settings: Settings, url: str) -> list[tuple[str, str]]:
    """(word, what there is to say), in the order in which a request meets it. ConfigError: not a URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("URL", url, "must look like http://host/path")
    target = url.partition("://")[2].partition("#")[0].partition("/")[2]
    sites = convert.site_rules(settings)
    places = Places(sites, {0: Home(bytes(16))})
    try:
        place = places.find(parts.netloc.rpartition("@")[2].encode(), b"/" + target.encode())
    except BadRequest as refused:
        raise ConfigError("URL", url, refused.detail) from refused
    site = next(rules for rules in sites if rules.name == place.rules.name)
    return [
        ("site", _site(site, parts.hostname)),
        ("rule", _rule(site, place.path)),
        ("kind", place.kind.value),
        ("key", place.key.decode("latin-1")),
        ("fresh", f"{_fresh(place)}; set by {_source(site, place)}"),
        ("stale", _stale(place)),
        ("errors", _errors(place)),
        ("methods", ", ".join(place.rules.methods)),
        ("differs", _differences(place.rules)),
        *_upstream(settings, place),
    ]


def _site(site: SiteRules, host: str) -> str:
    named = host.lower() in site.hosts
    return (
        f"{site.name} (profile {site.profile}; {'by its host' if named else 'the first one, which takes every host'})"
    )


def _rule(site: SiteRules, path: bytes) -> str:
    for number, entry in enumerate(site.paths, start=1):
        if entry.pattern.fullmatch(path):
            return f"{number}: path {entry.written}"
    return "none: the site's own"


def _fresh(place: Place) -> str:
    rules = place.rules
    obeyed = "as the origin says (CDN-Cache-Control, s-maxage, max-age, Expires); else " * rules.honour_cache_control
    if rules.every_status:
        share = f"{rules.heuristic_share:.0%} of the time since Last-Modified, at most {_time(rules.heuristic_most)}"
        return obeyed + (share if rules.heuristic_share else "not at all")
    usual = f"{_time(rules.defaults[place.kind].ttl)} (default of kind {place.kind.value})"
    if place.kind in LISTS and rules.lists_by_content:
        live = rules.live
        usual += f"; a live one for half its period, {_time(live.least)} to {_time(live.most)}"
    return obeyed + usual


def _source(site: SiteRules, place: Place) -> str:
    """Where the default for this kind comes from: the first that says otherwise than what it builds upon."""
    rules, kind = place.rules, place.kind
    if _of_freshness(rules, kind) != _of_freshness(site, kind):
        return f"rule {_rule(site, place.path)}"
    if _of_freshness(site, kind) != _of_freshness(PROFILES[site.profile], kind):
        return f"site {site.name}"
    return f"profile {site.profile}"


def _of_freshness(rules: SiteRules, kind: Kind) -> tuple[object, ...]:
    return rules.defaults[kind].ttl, rules.live, rules.heuristic_share, rules.heuristic_most, rules.honour_cache_control


def _errors(place: Place) -> str:
    rules = place.rules
    if rules.every_status:
        return "kept as they say themselves; 404, 405, 410, 414 and 501 also by a guess"
    missing = rules.negative_ttl_live if place.kind in LIVE_KINDS else rules.negative_ttl
    live = f" ({_time(rules.negative_ttl_live)} beside a live playlist)" if missing != rules.negative_ttl_live else ""
    return (
        f"404 and 410 for {_time(missing)}{live} at most; 503 as it says, {_time(UNAVAILABLE_MOST)} at most; others not"
    )


def _stale(place: Place) -> str:
    defaults = place.rules.defaults[place.kind]
    parts = {
        "while it is renewed": defaults.stale_while_revalidate,
        "in place of an error": defaults.stale_if_error,
        "when nobody answers": place.rules.stale_if_unreachable,
    }
    told = [f"{_time(seconds)} {when}" for when, seconds in parts.items() if seconds]
    return "; ".join(told) or "as the origin says"


def _differences(rules: SiteRules) -> str:
    """What is set otherwise than the profile has it."""
    usual = PROFILES[rules.profile]
    names = [field.name for field in fields(rules) if field.name not in UNSPOKEN]
    told = [f"{name} = {getattr(rules, name)!r}" for name in names if getattr(rules, name) != getattr(usual, name)]
    return "; ".join(told) or "nothing from its profile"


def _upstream(settings: Settings, place: Place) -> list[tuple[str, str]]:
    asked = order_of(settings, place.key, {}, place.rules.upstream)
    if not asked:
        return [("upstream", "none yet: give it with --origin, or url in section [origin]")]
    first, *others = asked
    address = Address.of(first.origin.url)
    scheme = "https" if address.secure else "http"
    sent = request_fields((), place.rules, node=settings.server.node.encode(), mark=settings.server.node.encode())
    host = first.origin.host_header or address.authority.decode()
    lines = [f"Host: {host}", *(f"{name.decode()}: {value.decode()}" for name, value in sent)]
    passed = "every end-to-end field" if place.rules.forwards_all else ", ".join(place.rules.forward_fields) or "none"
    then = ", ".join(f"{name_of_member(member)} ({member.role.value})" for member in others)
    group = "" if place.rules.upstream == ORIGIN else f" of {place.rules.upstream}"
    return [
        ("upstream", f"{scheme}://{address.host}:{address.port} ({first.role.value}{group})"),
        *([("then", f"{then}, where it fails")] if then else []),
        ("asks", f"GET {(address.base_path + place.target).decode('latin-1')}"),
        ("with", "; ".join(lines)),
        ("passes", f"of the client's fields: {passed}"),
    ]


def _time(seconds: float) -> str:
    return write_duration(seconds)
