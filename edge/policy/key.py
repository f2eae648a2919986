"""The cache key: what makes two requests the same object (RFC 9111 section 2)."""

from functools import lru_cache

from edge.policy.rules import SiteRules


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
    if not query:
        return None
    dropped = _dropped(rules.drop_params, rules.token_params)
    kept = [
        part
        for part in query.split(b"&")
        if (name := part.partition(b"=")[0].lower()) not in dropped and not name.startswith(b"utm_")
    ]
    return b"&".join(kept) or None


@lru_cache(maxsize=256)  # one for each site
def _dropped(drop: tuple[str, ...], token: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode() for name in (*drop, *token))
