"""The way that a request has come: the nodes that its CDN-Loop names (RFC 8586). Pure.

It goes on with whoever leads, though it is no part of the key, since without it a loop would never end. So what it
leads to is for those alone who have come the same way: an upstream may refuse a request for the nodes that a player has
named in it, and would not refuse the player beside it.
"""

from dataclasses import replace
from typing import Final

from edge.fill.messages import Fetch
from edge.http import fields

NAME: Final = b"cdn-loop"
LOOP_DETECTED: Final = 508  # RFC 5842 section 7.2, and RFC 8586 section 2
# What says something of the request, not of what it asks for. Guards at an origin refuse odd fields with these.
REFUSALS: Final = frozenset({400, 403, 421, 431, LOOP_DETECTED})

Way = tuple[bytes, ...]


def way_of(fetch: Fetch) -> Way:
    """The nodes that have passed it on, and our own."""
    return tuple(fields.list_members(fields.values(fetch.fields, NAME)))


def is_odd(fetch: Fetch) -> bool:
    """Does it name others than us, and the nodes of ours before us that have vouched for it?"""
    return len(way_of(fetch)) > max(1, fetch.context.hops)


def is_as_long(one: Way, other: Way) -> bool:
    """Would who refuses `other` for its way refuse `one`, too? It names the same nodes, and perhaps more."""
    return len(one) >= len(other) and set(one) >= set(other)


def length(fetch: Fetch) -> int:
    """By which the one is found that is refused last, bytes and nodes alike."""
    return sum(len(name) + 2 for name in way_of(fetch))


def by_way_of(fetch: Fetch, other: Fetch) -> Fetch:
    """The same fetch, as if it had come the way of another."""
    if other is fetch or way_of(other) == way_of(fetch):
        return fetch
    kept = (field for field in fetch.fields if field[0].lower() != NAME)
    return replace(fetch, fields=(*kept, *(field for field in other.fields if field[0].lower() == NAME)))
