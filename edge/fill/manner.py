"""How a flight asks for the first time: which bytes, under which conditions, in whose turn.

An answer that does not serve may change this, and the flight asks again (`AskAgain`); each of the four ways to change
it can happen once, so a flight asks a bounded number of times:
  range_given_up  what came for a range of our own making cannot be used: the whole is asked for
  unconditional   what is stored does not matter any more
  as_asked        the answer is its one reader's alone: asked for as he asked
  missing = None  what is stored is out of date: not only its hole is asked for
"""

from edge.fill import plan
from edge.fill.flight import Flight
from edge.fill.messages import UNKNOWN, Mode
from edge.fill.plan import Ask
from edge.fill.rangeless import directory
from edge.fill.shop import Shop
from edge.fill.spread import BEGINNING, FIRST
from edge.fill.upload import Upload
from edge.origin.settings import UpstreamRequest
from edge.policy.invalidation import is_unsafe
from edge.policy.rules import SiteRules
from edge.store.record import Record


class AskAgain(Exception):
    """The answer does not serve; another request, differently put, will."""


class Manner:
    """Of one flight. `stored` is what its name has in the index; `missing`: of that, all that is asked for."""

    def __init__(
        self, shop: Shop, flight: Flight, stored: Record | None, rules: SiteRules, upload: Upload | None
    ) -> None:
        self._shop = shop
        self._flight = flight
        self._stored = stored
        self._rules = rules
        self._upload = upload
        self._fetch = flight.fetch
        self.get = flight.fetch.method == b"GET"
        self.as_asked = flight.fetch.mode is Mode.PASS
        self.unconditional = self.as_asked or not self.get or plan.client_conditions(flight.fetch)
        self.range_given_up = False
        self.missing: tuple[int, int] | None = None
        self.completes = False  # what is stored is good: only a part of it is missing
        self.near_ask: Ask | None = None  # what would be asked at once on a near path

    def __repr__(self) -> str:
        flags = [name for name in ("as_asked", "unconditional", "range_given_up") if getattr(self, name)]
        return f"<Manner {' '.join(flags) or 'plain'} missing={self.missing}>"

    def first_ask(self) -> Ask:
        """The stretch that the next request asks for."""
        fetch, settings = self._fetch, self._shop.settings
        self.near_ask = None
        if not self.get or self.range_given_up:
            return plan.WHOLE
        if self.as_asked:
            if not fetch.ranged:
                return plan.WHOLE
            return Ask(fetch.start, fetch.end, fetch.suffix, whole=False)
        if self.missing is not None and self._stored is not None:
            self.completes = True
            start, end = self.missing
            to_the_end = fetch.end == UNKNOWN and end == self._stored.total
            return Ask(start, UNKNOWN if to_the_end else end, whole=False)
        if self._rules.exact_ranges:
            return Ask(fetch.start, fetch.end, fetch.suffix, whole=False) if fetch.ranged else plan.WHOLE
        client = self._flight.members.first
        rangeless = self._shop.rangeless.at(client.member, fetch)
        ask = plan.first_ask(fetch, slice_size=self._shop.slice_size, run_max=settings.run_max, rangeless=rangeless)
        self.near_ask = ask
        far = settings.parallel_max > 1 and client.pool.path.far and not rangeless
        if not far:
            if ask.whole or not plan.is_edges_piece(fetch, run_max=settings.run_max):
                return ask
            self._flight.gathers = True
            self.near_ask = ask = Ask(0, settings.run_max, whole=False)
            return ask
        likely = self._shop.sizes.get(directory(fetch.path), 0)
        return plan.first_piece(ask, fetch, FIRST if likely <= ask.start + FIRST else BEGINNING)

    def request(self, ask: Ask) -> UpstreamRequest:
        """The request for it."""
        fetch, safe = self._fetch, not is_unsafe(self._fetch.method)
        lines = [*plan.base_fields(fetch, self._rules), *ask.field()]
        if self.missing is not None and self._stored is not None:
            lines.append((b"If-Range", self._stored.etag))
        elif not self.unconditional:
            lines.extend(plan.conditional(self._stored))
        retry = self._rules.retry and safe and self._upload is None
        return UpstreamRequest(
            fetch.method,
            fetch.target,
            tuple(lines),
            retry=retry,
            body=self._upload,
            urgency=self._flight.urgency,
            hedge=retry and plan.may_hedge(fetch, live=self._flight.live) and not self._flight.patient,
            context=fetch.context,
        )

    def reach(self, ask: Ask, end: int, total: int) -> int:
        """How far the run of a first piece goes on: as far as the first request would have asked on a near path."""
        whole = self.near_ask
        if whole is None or ask == whole or end != ask.end:
            return end
        most = ask.start + self._shop.settings.run_max
        return min(total, most if whole.whole or whole.end == UNKNOWN else whole.end)
