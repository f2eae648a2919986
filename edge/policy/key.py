"""The cache key: what makes two requests the same object (RFC 9111 section 2)."""

from functools import lru_cache

from edge.policy.rules import SiteRules

CMCD = b"cmcd"  # what a player tells of itself is another with each request: no site's key has it, no origin gets it


def cache_key(site: bytes, path: bytes, query: bytes | None, rules: SiteRules) -> bytes:
    """Site name, path byte for byte, and all parameters in their order less tracking and token ones.

    The site's name is the authority: its aliases, ports and schemes share one set of objects. It has no slash
    and a path begins with one, so no two pairs of them make the same key.
    """
    kept = kept_query(query, rules)
    return site + path if kept is None else b"%s%s?%s" % (site, path, kept)


def kept_query(query: bytes | None, rules: SiteRules) -> bytes | None:
    """The query as it is keyed and as the origin sees it; None when nothing is left.

    Names are compared without case and as they are written: a name that hides behind percent-encoding stays,
    which costs a hit and never mixes two objects.
    """
    if not query:  # a question mark with nothing behind it is another URI (RFC 3986 section 6.2.3) to who drops nothing
        return None if rules.drop_params or rules.token_params or rules.keep_params else query
    kept = [part for part in query.split(b"&") if _is_keyed(part, rules)]
    if rules.sort_params:
        kept.sort(key=_name)  # stable: parameters of one name keep their order, which may matter
    return b"&".join(kept) or None


def origin_target(path: bytes, query: bytes | None, rules: SiteRules) -> bytes:
    """Path and query as the origin is asked: what is in the key, and what the site passes on by name beside it."""
    kept = kept_query(query, rules)
    if query and rules.forward_params:
        passed = _names(rules.forward_params)
        more = [
            part
            for part in query.split(b"&")
            if (name := _name(part)) in passed and name != CMCD and not _is_keyed(part, rules)
        ]
        kept = b"&".join([*([kept] if kept else []), *more]) or None
    return path if kept is None else path + b"?" + kept


def _is_keyed(part: bytes, rules: SiteRules) -> bool:
    name = _name(part)
    if name == CMCD:
        return False
    if rules.keep_params:
        return name in _names(rules.keep_params)
    dropped, prefixes = _dropped(rules.drop_params, rules.token_params)
    return name not in dropped and not (prefixes and name.startswith(prefixes))


def _name(part: bytes) -> bytes:
    return part.partition(b"=")[0].lower()


@lru_cache(maxsize=256)  # one for each site
def _names(names: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name in names)


@lru_cache(maxsize=256)  # one for each site
def _dropped(drop: tuple[str, ...], token: tuple[str, ...]) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    """Names, and beginnings of names (written with a `*` at their end)."""
    given = [name.lower().encode() for name in (*drop, *token)]
    prefixes = tuple(name[:-1] for name in given if name.endswith(b"*"))
    return frozenset(given), prefixes
