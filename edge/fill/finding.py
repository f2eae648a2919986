"""What the index has of what a fetch asks for, and whether that is enough."""

from collections.abc import Callable

from edge.clock import Clock
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.spans import Spans
from edge.policy.decide import Decision, decide
from edge.policy.demands import Demands
from edge.policy.variants import selection
from edge.store.names import name_of
from edge.store.record import Flag, Record
from edge.store.variants import lists_of, variant_name
from edge.store.volume import Volume


class Finder:
    """`seen` judges a record (is it in the table of short-lived answers?) by the purges that are under way or unmet;
    `is_coming`: is an answer of this name on its way?

    `rangeless`: is there a member that cannot bring parts of what a fetch asks for?
    """

    def __init__(
        self,
        volume: Volume,
        clock: Clock,
        rangeless: Callable[[Fetch], bool],
        seen: Callable[[Record, bool], Record | None],
        is_coming: Callable[[bytes], bool],
    ) -> None:
        self._volume = volume
        self._secret = volume.hello.secret
        self._clock = clock
        self._rangeless = rangeless
        self._seen = seen
        self._is_coming = is_coming

    def find(self, fetch: Fetch) -> tuple[bytes, Record | None, bool]:
        """The name of what a fetch asks for, its record, and whether that is in the table of short-lived answers.

        Where answers vary it is the variant's name: that of a stored one, of one that is on its way, else that by which
        the newest was chosen.
        """
        base = name_of(fetch.key, self._secret)
        stored, whole = self.look_up(base)
        if stored is None or not stored.flags & Flag.VARIES:
            return base, stored, whole
        names = [variant_name(stored, selection(fields, fetch.fields), self._secret) for fields in lists_of(stored)]
        for name in names:
            found, whole = self.look_up(name)
            if found is not None:
                return name, found, whole
        coming = (name for name in names if self._is_coming(name))
        return next(coming, names[0]), None, False

    def look_up(self, name: bytes) -> tuple[Record | None, bool]:
        live = self._volume.lookup_live(name)
        stored = live[0] if live is not None else self._volume.lookup(name)
        return (self._seen(stored, live is not None) if stored is not None else None), live is not None

    def usable(self, fetch: Fetch, stored: Record | None, *, whole: bool) -> Record | None:
        """A part without a strong validator is of no use to who wants more of it: nothing can be added to it."""
        if stored is None or whole or stored.flags & Flag.STRONG or fetch.method != b"GET":
            return stored
        return stored if self.gap(fetch, stored) is None else None

    def cannot_complete(self, fetch: Fetch, stored: Record) -> bool:
        """Slices are missing, and this upstream has no ranges: the whole is fetched anew."""
        return self._rangeless(fetch) and not self._have(stored).has(0, stored.total)

    def satisfied(self, fetch: Fetch, stored: Record | None, *, whole: bool, entire: bool) -> bool:
        """Has the index by now what the worker did not find? `whole` = it is in the table of short-lived answers.

        `entire`: the beginning is not enough, since the worker promises nothing before all is there. What is stale
        will do where it is served while it is renewed: to wait for the origin is what that avoids.
        """
        if stored is None or self._decide(stored) is Decision.REVALIDATE:
            return False
        if whole:
            return True
        start, end = wanted(fetch, stored.total)
        if start >= end:
            return True
        if entire or not stored.flags & Flag.STRONG:
            return self.gap(fetch, stored) is None
        return self._have(stored).reach(start) > start

    def gap(self, fetch: Fetch, stored: Record) -> tuple[int, int] | None:
        """The first stretch of what is asked for that is not stored."""
        return gap(self._volume, fetch, stored)

    def _have(self, stored: Record) -> Spans:
        return _have(self._volume, stored)

    def fresh(self, record: Record) -> bool:
        return self._decide(record) is Decision.SERVE_FRESH

    def _decide(self, record: Record) -> Decision:
        return decide(
            record.fresh_until,
            record.stale_while_revalidate,
            bool(record.flags & Flag.MUST_REVALIDATE),
            bool(record.flags & (Flag.NO_CACHE | Flag.STALE)),
            self._clock.wall(),
        )

    def suits(self, record: Record, demands: Demands | None) -> bool:
        """Is an answer as new as a request demands (RFC 9111 section 5.2.1)? One that demands nothing: is it fresh?"""
        if demands is None or demands.only_on_error:
            return self.fresh(record)
        if record.flags & (Flag.NO_CACHE | Flag.STALE):
            return False
        now, strict = self._clock.wall(), bool(record.flags & Flag.MUST_REVALIDATE)
        return demands.accepts(now - record.base_time, record.fresh_until - now, strict=strict)


def _have(volume: Volume, stored: Record) -> Spans:
    return Spans(*((extent.start, extent.end) for extent in volume.extents(stored)))


def gap(volume: Volume, fetch: Fetch, stored: Record) -> tuple[int, int] | None:
    """The first stretch of what is asked for that is in no pack."""
    start, end = wanted(fetch, stored.total)
    return _have(volume, stored).gap(start, end) if start < end else None


def wanted(fetch: Fetch, total: int) -> tuple[int, int]:
    """[start, end) that a fetch asks for, of an object of this length; empty where there is nothing."""
    if fetch.suffix:
        return max(0, total - fetch.suffix), total
    return fetch.start, total if fetch.end == UNKNOWN else min(fetch.end, total)
