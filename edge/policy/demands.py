"""What a request demands of a cache (RFC 9111 sections 5.2.1 and 5.4)."""

from dataclasses import dataclass

from edge.http import fields as header
from edge.http.cache_control import parse_cache_control
from edge.http.fields import Fields


@dataclass(frozen=True, slots=True)
class Demands:
    """Seconds; `max_stale` None = nothing stale is wanted."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    min_fresh: int = 0
    max_stale: int | None = None
    stale_if_error: int | None = None  # RFC 5861 section 4

    @property
    def only_on_error(self) -> bool:
        """Does it ask for nothing while nothing is wrong?"""
        return self.stale_if_error is not None and self == Demands(stale_if_error=self.stale_if_error)

    def accepts(self, age: float, left: float, *, strict: bool) -> bool:
        """Is an answer of this age, with so many seconds of freshness left, good enough?

        `strict`: the origin forbids to serve it stale, whatever the client would take (section 4.2.4).
        """
        if self.no_cache or (self.max_age is not None and age > self.max_age):
            return False
        if left > 0:
            return left >= self.min_fresh
        return self.max_stale is not None and -left <= self.max_stale and not strict and not self.min_fresh


def parse_demands(fields: Fields) -> Demands | None:
    """None when the request has none. Pragma counts only where there is no Cache-Control (section 5.4)."""
    given = header.values(fields, b"cache-control")
    if not given:
        pragma = header.list_members(header.values(fields, b"pragma"))
        return Demands(no_cache=True) if b"no-cache" in (member.lower() for member in pragma) else None
    said = parse_cache_control(given)
    found = Demands(
        no_cache=said.no_cache or bool(said.no_cache_fields),  # a request's has no argument: one is ignored
        no_store=said.no_store,
        only_if_cached=said.only_if_cached,
        max_age=said.max_age,
        min_fresh=said.min_fresh or 0,
        max_stale=said.max_stale,
        stale_if_error=said.stale_if_error,
    )
    return found if found != Demands() else None
