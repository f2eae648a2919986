"""What a run does after a break: may it go on, who goes on with it, and what is asked for. Decides, asks nothing."""

from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.fill import plan, ways
from edge.fill.flight import Flight
from edge.fill.messages import UNKNOWN, Fetch
from edge.fill.plan import Ask
from edge.fill.readers import Run
from edge.fill.records import stored_lines
from edge.fill.requests import CHANGED
from edge.origin.breaker import State
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest, Urgency
from edge.policy.rules import SiteRules
from edge.store.record import Record
from edge.words import Reason

RESUMABLE: Final = frozenset({
    Reason.TRUNCATED, Reason.STALLED, Reason.CONNECT_FAILED, Reason.CONNECT_TIMEOUT, Reason.FIRST_BYTE_TIMEOUT,
    Reason.NOT_ADMITTED
})  # fmt: skip


class Resuming:
    """Of one run; `record` is of the version that has begun to come."""

    def __init__(self, flight: Flight, run: Run, record: Record, rules: SiteRules, clock: Clock) -> None:
        self._flight, self._run, self._record, self._rules, self._clock = flight, run, record, rules, clock
        self.asked: OriginClient = flight.members.first  # last, for bytes of this run
        self.moved_at = clock.monotonic()  # since when it waits for more

    def __repr__(self) -> str:
        return f"<Resuming {self._run} asked={self.asked.member}>"

    def may(self, broken: OriginError) -> bool:
        """May the body go on after this break?

        Not what has had its tries; at the only member not what it refuses, nor is a late answer waited for longer than
        any may take.
        """
        members = self._flight.members
        if broken.spent:
            return False
        if len(members.clients) == 1:
            late = broken.reason is Reason.FIRST_BYTE_TIMEOUT
            waited = self._clock.monotonic() - self.moved_at
            if not broken.retryable or (late and waited >= members.first.settings.total_first_byte):
                return False
        elsewhere = broken.reason is Reason.OBJECT_CHANGED and not self.is_givers
        if broken.reason not in RESUMABLE and not isinstance(broken, plan.Refused) and not elsewhere:
            return False
        etag = plan.strong_etag(stored_lines(self._record))
        return self._rules.retry and bool(etag) and self._run.end != UNKNOWN and self._flight.fetch.method == b"GET"

    @property
    def is_givers(self) -> bool:
        """Was it asked of the member that has given the head? What that one says of the version goes for the object."""
        return self.asked is self._flight.members.giver

    def choose(self, broken: OriginError, tries: int) -> None:
        """Who goes on: another member that serves, if there is one; else the same, or where it brings nothing the next
        one, though that is away, too. After what it only hands on, who gave the head is asked once more."""
        members = self._flight.members
        if broken.relayed:
            if members.giver is not None and members.giver.breaker.state is State.CLOSED:
                members.prefer(members.giver)
            return
        if broken.reason is Reason.OBJECT_CHANGED:
            members.leave_out(self.asked)
            return
        served = members.pass_over(self.asked)
        if not served and (tries or members.first.breaker.state is not State.CLOSED):
            members.go_on()

    def asked_as(self) -> Fetch:
        """The fetch as it is asked for now, and by whose way."""
        shortest = self._flight.nearest(self._run)
        self._run.way = ways.way_of(shortest) if ways.is_odd(shortest) else ()
        return ways.by_way_of(self._flight.fetch, shortest)

    def request(self, ask: Ask, urgency: Urgency) -> UpstreamRequest:
        """For a stretch of the version that has begun to come."""
        etag = plan.strong_etag(stored_lines(self._record))
        fetch = self.asked_as()
        lines = (*plan.base_fields(fetch, self._rules), *ask.field(), (b"If-Range", etag))
        return UpstreamRequest(
            b"GET", fetch.target, lines, retry=self._rules.retry, urgency=urgency, context=fetch.context
        )

    def check_same(self, ask: Ask, response: UpstreamResponse) -> None:
        """Only bytes of the same version may follow (DESIGN section 12); anything else means that it changed."""
        if response.status != 206:
            if response.status not in CHANGED:
                raise plan.refused(response.status, "a continued request", relayed=response.relayed)
            raise OriginError(Reason.OBJECT_CHANGED, f"{response.status} to a continued request", retryable=False)
        part = plan.verify_partial(ask, response.fields, response.content_length)
        if (plan.strong_etag(response.fields), part.total) != (self._record.etag, self._flight.total):
            raise OriginError(Reason.OBJECT_CHANGED, "another version", retryable=False)
