"""What an answer changes of what is stored already: a 304, an answer to HEAD, an answer to an unsafe request."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from edge.fill.messages import Fetch
from edge.fill.records import described, renewed
from edge.fill.shop import Shop
from edge.http import dates, etags, fields
from edge.http.fields import Fields
from edge.http.target import parse_target
from edge.origin.response import UpstreamResponse
from edge.policy.invalidation import invalidated
from edge.policy.key import cache_key
from edge.policy.rules import SiteRules
from edge.store.names import name_of
from edge.store.record import Flag, Record
from edge.words import Eviction

GONE: Final = frozenset({404, 410})


def names_another(stored: Record, given: Fields) -> bool:
    """Is a 304 about another version than the stored one (RFC 9111 section 4.3.4)?

    Its entity tag tells; without one its Last-Modified does, where there is one to compare it with. A weak tag that is
    new is one more thing that the 304 says of it.
    """
    said = fields.first(given, b"etag")
    tag, own = etags.parse_etag(said or b""), etags.parse_etag(stored.etag)
    if said is None or (own is None and tag is not None and tag.weak):
        modified = dates.parse_date(fields.first(given, b"last-modified") or b"")
        return modified is not None and stored.last_modified not in (0, modified)
    return tag is not None and (own is None or own.value != tag.value)


async def renew(shop: Shop, name: bytes, stored: Record, response: UpstreamResponse, rules: SiteRules) -> Record:
    """The stored record is good again; with what a 304, or a 200 to HEAD, says of it."""
    record, verdict = renewed(
        stored,
        response.fields,
        rules,
        request_time=response.request_time,
        response_time=response.response_time,
    )
    if not verdict.store:  # it says now that it is not to be kept: who asked gets it, nobody else
        record = replace(record, flags=record.flags | Flag.NO_CACHE | Flag.MUST_REVALIDATE)
    await shop.store.attempt(shop.store.volume.refresh, name, record)  # who asked has an answer either way
    return record


async def note_head(shop: Shop, name: bytes, stored: Record, response: UpstreamResponse, rules: SiteRules) -> None:
    """An answer to HEAD renews a stored answer that it describes, and shows that another one is out of date.

    RFC 9111 section 4.3.5; that the object is gone says the same more clearly.
    """
    if response.status == 200 and stored.status == 200 and described(stored, response.fields):
        await renew(shop, name, stored, response, rules)
    elif response.status == 200 or response.status in GONE:
        await shop.store.attempt(shop.store.volume.delete, name, None, Eviction.INVALIDATED)


async def invalidate(
    shop: Shop, fetch: Fetch, response: UpstreamResponse, rules: SiteRules, doom: Callable[[bytes], None]
) -> None:
    """Forget what an unsafe request has changed (section 4.4), before its client hears of its success.

    Its client hears of it also when nothing can be forgotten, on a disk that has failed: the change has been made.
    """
    asked = parse_target(fetch.target, fetch.authority or None)
    for target in invalidated(fetch.method, response.status, asked, response.fields):
        key = cache_key(fetch.site.encode(), target.path, target.query, rules.at(target.path))
        name = name_of(key, shop.secret)
        doom(name)
        await shop.store.attempt(shop.store.volume.delete, name, None, Eviction.INVALIDATED)
