"""Bringing one run's bytes: from the origin's answer into the sink, resumed where it breaks, kept at the end.

How far it goes is `stops`', what is kept `keeping`'s, who goes on after a break `resuming`'s.
"""

import asyncio
import random

from edge.errors import EdgeError, OriginError
from edge.fill import plan
from edge.fill.flight import Flight
from edge.fill.keeping import Keeping
from edge.fill.messages import UNKNOWN
from edge.fill.patience import let_players_go_first
from edge.fill.plan import Ask
from edge.fill.readers import Run
from edge.fill.requests import PAUSE
from edge.fill.resuming import Resuming
from edge.fill.shop import Shop
from edge.fill.sinks import Sink
from edge.fill.spread import FIRST, Spread
from edge.fill.stops import Stop
from edge.fill.tries import RELAYED, Tries
from edge.origin.response import UpstreamResponse
from edge.origin.retry import open_with_retries
from edge.origin.settings import Urgency
from edge.policy.rules import SiteRules
from edge.store.record import Record
from edge.words import Kind, Reason


class Carrier:
    """Carries one run. `take` consumes an open answer, `complete` goes on after a break and keeps the result."""

    def __init__(
        self,
        shop: Shop,
        flight: Flight,
        run: Run,
        sink: Sink,
        record: Record,
        kind: Kind,
        rules: SiteRules,
        *,
        keep: bool,
    ) -> None:
        self._shop, self._flight, self._run = shop, flight, run
        self._record, self._rules = record, rules
        self._keeping = Keeping(shop, flight, run, sink, record, kind, rules, keep=keep)
        self._stop = Stop(shop, flight, run, self._keeping)
        self._resuming = Resuming(flight, run, record, rules, shop.clock)
        self._spread: Spread | None = None  # which brings what comes after the first answer

    # -- one answer ------------------------------------------------------------------------------

    async def take(self, response: UpstreamResponse | Spread, end: int = UNKNOWN) -> OriginError | None:
        """Put the answer's body into the sink. Returns what broke it, None when it is complete or was stopped.

        Beyond `end`, where the run goes on but this answer does not, or beyond its stop it is left there and then: a
        surplus in chunks has no end of its own. So it is where a reader has come in this very moment: what was cut off
        would be missing before what comes next.
        """
        run, ends = self._run, self._stop
        try:
            async for chunk in response:
                stop = run.stop_at if end == UNKNOWN or run.stop_at < end else end
                room = len(chunk) if stop == UNKNOWN else stop - run.position
                await self._keeping.put(chunk[:room])
                if len(chunk) > room:
                    ends.reached = stop == run.stop_at and not run.done
                    break
                await ends.wait()
                self._resuming.moved_at = self._shop.clock.monotonic()
                if ends.reached:
                    return None
        except OriginError as error:
            return None if run.done else error
        if run.end == UNKNOWN and not ends.reached:
            run.end = run.stop_at = run.position
        if run.done or ends.reached:
            return None
        return OriginError(Reason.TRUNCATED, f"ended at {run.position} of {run.end}")

    # -- over several connections ----------------------------------------------------------------

    def spread(self, start: int) -> Spread:
        """The rest of the run from `start` on, over several connections; not begun."""
        fetch = self._resuming.asked_as()
        fields = plan.base_fields(fetch, self._rules)
        first, end = self._flight.members.first, self._run.end
        return self._serving(Spread(self._shop, first, fetch, fields, start, end, lambda: self._urgency))

    def _serving(self, spread: Spread) -> Spread:
        self._stop.bringing = spread
        spread.serves = lambda: self._flight.awaits(self._run)
        spread.until = self._stop.until
        spread.is_unasked = lambda: self._flight.unasked
        spread.members = lambda: self._flight.members.clients
        return spread

    @property
    def _urgency(self) -> Urgency:
        flight, run = self._flight, self._run
        left = run.withdrawn and next(flight.readers_of(run), None) is None
        return Urgency.AHEAD if run.ahead or left else flight.urgency

    def follow(self, spread: Spread) -> None:
        """What comes after the first answer is on its way already."""
        self._spread = self._serving(spread)

    async def _take_spread(self, spread: Spread) -> OriginError | None:
        try:
            return await self.take(spread)
        finally:
            await self._close(spread)

    async def _close(self, spread: Spread) -> None:
        if self._stop.bringing is spread:
            self._stop.bringing = None  # nothing that it has asked for comes any more
        await spread.close()

    # -- to the end of the run -------------------------------------------------------------------

    async def start_run(self) -> None:
        """A later run of a flight whose head is known: ask for its stretch, bring it, keep it."""
        flight, run = self._flight, self._run
        try:
            await let_players_go_first(self._shop, flight)
            flight.members.leave_to_trials()
            self._resuming.moved_at = self._shop.clock.monotonic()
            await self.complete(await self._resume())
        except EdgeError as error:
            flight.fail_run(run, error.status, error.reason, str(error))
        except Exception:
            flight.fail_run(run, 500, Reason.INTERNAL, "internal error")
            raise  # a mistake of ours: `tasks` reports it
        finally:
            flight.end_run(run)

    async def complete(self, broken: OriginError | None) -> None:
        """Resume until the run is complete, then keep it; a break that cannot be mended fails its readers."""
        try:
            if self._spread is not None and broken is not None:
                if self._run.position == self._spread.start:
                    broken = await self._take_spread(self._spread)
                else:
                    await self._close(self._spread)  # what comes before it has to come first
            broken = await self._mend(broken)
            if broken is not None:
                await self._give_up(broken)
            elif self._stop.reached:
                await self._keeping.keep_whole_slices()
            else:
                await self._keeping.keep_all()
        finally:
            await self.leave()

    async def leave(self) -> None:
        """The fill is over, well or not: reserved space may be evicted, and nothing more is asked for."""
        self._keeping.let_go()
        if self._spread is not None:
            await self._spread.close()

    async def _mend(self, broken: OriginError | None) -> OriginError | None:
        """Go on after breaks, as often as that may be; returns the one that it ends with."""
        flight, tries, relays = self._flight, Tries(self._run.position, began=True), 0
        while broken is not None:
            relays += broken.relayed
            most = self._shop.settings.resume_max
            resumable = self._resuming.may(broken) and tries.count < most and relays <= RELAYED
            if resumable and self._stop.look():
                return None
            if resumable:
                self._resuming.choose(broken, tries.count)
            again = tries.count > 0 or broken.relayed
            if not resumable or (again and not flight.members.first.may_retry()):
                return broken
            if again:
                await asyncio.sleep(PAUSE * (tries.count + random.random()))
            flight.members.first.observer.resume()
            broken = await self._resume()
            tries.broke(self._run.position)
        return None

    async def _resume(self) -> OriginError | None:
        """Ask for what is missing, as far as it is wanted; and for more, if somebody comes meanwhile who wants it."""
        while not self._stop.look():
            end = self._run.stop_at
            broken = await self._ask_for_rest(end)
            if broken is None or self._run.position != end:
                return broken
        return None

    async def _ask_for_rest(self, end: int) -> OriginError | None:
        run, shop, members, resuming = self._run, self._shop, self._flight.members, self._resuming
        far = shop.settings.parallel_max > 1 and members.first.pool.path.far
        if far and run.end - run.position > 2 * FIRST:
            resuming.asked = members.first
            spread = self.spread(run.position)
            spread.confirm(self._record.etag, self._record.total, run.end)
            return await self._take_spread(spread)
        ask = Ask(run.position, end, whole=False)
        try:
            asking = open_with_retries(tuple(members.clients), resuming.request(ask, self._urgency), shop.clock)
            async with asking as (client, response):
                members.prefer(client)
                resuming.asked = client
                resuming.check_same(ask, response)
                return await self.take(response, end)
        except OriginError as error:
            return error

    async def _give_up(self, broken: OriginError) -> None:
        if broken.reason is Reason.OBJECT_CHANGED and self._resuming.is_givers:
            self._flight.joinable = False
            self._flight.doomed = True  # its other runs go on bringing the version of before
            await self._keeping.forget()
        self._flight.announce()
        await self._keeping.keep_whole_slices()
        self._flight.fail_run(self._run, broken.status, broken.reason, str(broken))
