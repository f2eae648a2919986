"""From what an operator asks to the purges that it means. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from edge.control.asks import PurgeAsk
from edge.errors import BadRequest
from edge.http.target import parse_target
from edge.policy.key import cache_key, kept_query
from edge.policy.purges import Purge, Scope
from edge.policy.rules import SiteRules
from edge.policy.tags import tag_name
from edge.words import KIB

NAME_MOST: Final = 64 * KIB - 1  # bytes of a cache key: a record holds no longer one, nor may a message to a keeper
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F))


def site_of(host: bytes, sites: Sequence[SiteRules]) -> SiteRules:
    """The site that takes a host, as players' requests are given to one."""
    return next((site for site in sites if host.decode("latin-1") in site.hosts), sites[0])


def aims_of(ask: PurgeAsk, sites: Sequence[SiteRules], listed: Iterable[str] = ()) -> tuple[Purge, ...]:
    """The purges that an ask means; `listed` = the URLs that a title refers to. BadRequest: it means nothing."""
    aims = _aims(ask, sites, listed)
    for aim in aims:
        if len(aim.text) > NAME_MOST:
            said = aim.text[:100].decode("latin-1")
            raise BadRequest(
                f"{said}... has {len(aim.text)} bytes, and nothing is stored by a name of more than 64 KiB"
            )
    return aims


def _aims(ask: PurgeAsk, sites: Sequence[SiteRules], listed: Iterable[str]) -> tuple[Purge, ...]:
    soft = ask.soft
    if ask.tag is not None:
        site = _named(ask.site, sites).name.encode() if ask.site is not None else b""
        return (Purge(Scope.TAG, tag_name(ask.tag.encode()), site, soft=soft),)
    if ask.site is not None:
        return (Purge(Scope.PREFIX, _named(ask.site, sites).name.encode() + b"/", soft=soft),)
    if ask.everything:
        return (Purge(Scope.PREFIX, b"", soft=soft),)
    if ask.prefix is not None:
        return (Purge(Scope.PREFIX, _prefix(ask.prefix, sites), soft=soft),)
    urls = [ask.url] if ask.url is not None else list(ask.urls)
    urls += [ask.title] if ask.title is not None else []
    named = (_aim(url, sites, soft=soft) for url in listed)
    aims = [*(_aim(url, sites, soft=soft) for url in urls), *(aim for aim in named if len(aim.text) <= NAME_MOST)]
    return tuple(dict.fromkeys(aims))


def _named(name: str, sites: Sequence[SiteRules]) -> SiteRules:
    for site in sites:
        if site.name == name:
            return site
    raise BadRequest(f"there is no site {name!r}: {', '.join(site.name for site in sites)}")


def raw(url: str) -> bytes:
    """A URL's bytes as a player sends them; BadRequest for what is none."""
    if not url.startswith(("http://", "https://")):
        raise BadRequest(f"{url[:100]!r} is not a URL: write http://host/path")
    return quote(url.partition("#")[0], safe=_SAFE).encode()


def _aim(url: str, sites: Sequence[SiteRules], *, soft: bool) -> Purge:
    found = parse_target(raw(url), None)
    rules = site_of(found.host, sites).at(found.path)
    site = rules.name.encode()
    if found.query is None:
        return Purge(Scope.PATH, site + found.path, soft=soft)
    return Purge(Scope.KEY, cache_key(site, found.path, found.query, rules), soft=soft)


def _prefix(url: str, sites: Sequence[SiteRules]) -> bytes:
    found = parse_target(raw(url), None)
    rules = site_of(found.host, sites).at(found.path)
    if found.query is None:
        return rules.name.encode() + found.path
    kept = kept_query(found.query, rules)
    return rules.name.encode() + found.path + (b"?" + kept if kept else b"?")
