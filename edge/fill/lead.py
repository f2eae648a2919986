"""The first request of a flight: ask, have the answer judged, and bring its body.

How it asks is `manner`'s, what the answer is `judging`'s.
"""

import asyncio

from edge.errors import EdgeError, OriginError
from edge.fill import plan
from edge.fill.carry import Carrier
from edge.fill.flight import Flight
from edge.fill.judging import Judging
from edge.fill.manner import AskAgain, Manner
from edge.fill.messages import UNKNOWN, Head, HeadFlag
from edge.fill.patience import let_players_go_first
from edge.fill.placing import Tower
from edge.fill.plan import Ask
from edge.fill.rangeless import directory
from edge.fill.readers import Run
from edge.fill.shop import Shop
from edge.fill.spread import FIRST, Spread
from edge.fill.upload import Upload
from edge.origin.breaker import State
from edge.origin.client import OriginClient
from edge.origin.retry import open_with_retries
from edge.store.record import Record, encode_record
from edge.words import CacheStatus, Reason


class Lead:
    """One flight's first request."""

    def __init__(
        self, shop: Shop, flight: Flight, stored: Record | None, tower: Tower, upload: Upload | None = None
    ) -> None:
        self._shop = shop
        self._flight = flight
        self._stored = stored
        self._fetch = flight.fetch
        self._rules = shop.rules(flight.fetch.site, flight.fetch.path)
        self.manner = Manner(shop, flight, stored, self._rules, upload)
        self._judging = Judging(shop, flight, stored, tower, self._rules, self.manner)
        self._spread: Spread | None = None

    async def fly(self) -> None:
        """Bring what the flight's readers want, or tell all of them why not; never raises but for cancellation."""
        flight = self._flight
        if flight.over:
            return  # its one reader left before this began: nobody would end it again
        run = Run(0, UNKNOWN)
        flight.runs.add(run)
        try:
            await self._ask_in_turn(run)
        except EdgeError as error:
            flight.fail(error.status, error.reason, str(error))
        except Exception:
            flight.fail(500, Reason.INTERNAL, "internal error")
            raise  # a mistake of ours: `tasks` reports it, the readers know already
        finally:
            flight.end_run(run)

    async def _ask_in_turn(self, run: Run) -> None:
        """Players first; who joined one that was asked patiently, and lost its place in line, asks as a player."""
        await let_players_go_first(self._shop, self._flight)
        patient = self._flight.patient
        try:
            await self._ask(run)
        except OriginError as error:
            lost = error.reason in (Reason.QUEUE_FULL, Reason.QUEUE_TIMEOUT) and self._flight.head is None
            if not (lost and patient and self._flight.readers and not self._flight.patient):
                raise
            await self._ask(run)

    def go_on(self, stored: Record) -> None:
        """The head is in the index and fresh, only slices are missing: their runs ask with If-Range."""
        flight = self._flight
        for extent in self._shop.store.volume.extents(stored):
            flight.covered.add(extent.start, extent.end)
        flight.ranges = True
        flight.members.leave_to_trials()  # who is asked for the slices says whether the version is still there
        flags = HeadFlag.STORED | HeadFlag.PARTIAL  # another answer to a run is none: it breaks off
        head = Head(0, flags, CacheStatus.MISS, stored.total, "", 0.0, encode_record(stored))
        flight.set_head(head, stored, stored.total)

    async def _ask(self, run: Run) -> None:
        ask = self.manner.first_ask()
        broken: OriginError | None = None
        carrier: Carrier | None = None
        self._spread = self._guess(ask)
        try:
            asking = open_with_retries(tuple(self._flight.members.clients), self.manner.request(ask), self._shop.clock)
            async with asking as (client, response):
                await self._prefer(client)
                carrier = await self._judging.judge(ask, response, run)
                if carrier is not None:
                    self._follow(carrier, run)
                    broken = await carrier.take(response, self._judging.answered)
            self._shop.spread.room(client.pool)  # its connection is free
            if carrier is not None:
                await carrier.complete(broken)
        except AskAgain:
            await self._drop_spread()
            await self._ask(run)
        except BaseException:
            if carrier is not None:
                await carrier.leave()
            raise
        finally:
            await self._drop_spread()

    async def _prefer(self, client: OriginClient) -> None:
        """What was asked on a guess of a member that has failed meanwhile is of no use."""
        if client is not self._flight.members.first:
            await self._drop_spread()
        self._flight.members.prefer(client)

    async def _drop_spread(self) -> None:
        spread, self._spread = self._spread, None
        if spread is not None:
            await spread.close()

    # -- a far path ------------------------------------------------------------------------------

    def _guess(self, ask: Ask) -> Spread | None:
        """Ask for what probably follows the first piece at the same time, if neighbours have shown how long it is."""
        whole = self.manner.near_ask
        if whole is None or ask == whole or self._stored is not None or self._fetch.pin is not None:
            return None
        if self._flight.unasked:
            return None  # nobody waits for it, and it may not even be there
        if self._flight.members.first.breaker.state is not State.CLOSED:
            return None  # one request tries a member that may be back, no more
        likely = self._shop.sizes.get(directory(self._fetch.path), 0)
        end = min(likely, ask.start + self._shop.settings.run_max)
        if not whole.whole and whole.end != UNKNOWN:
            end = min(end, whole.end)
        if end - ask.end < FIRST:
            return None
        spread = Spread(
            self._shop,
            self._flight.members.first,
            self._fetch,
            plan.base_fields(self._fetch, self._rules),
            ask.end,
            end,
            lambda: self._flight.urgency,
        )
        asyncio.get_running_loop().call_soon(spread.begin)  # the first request has its connection by then
        return spread

    def _follow(self, carrier: Carrier, run: Run) -> None:
        """The first answer is a first piece: have the rest under way before its body has come."""
        record, at = self._flight.record, self._judging.answered
        if record is None or at >= run.end:
            return
        spread = self._spread
        if spread is None or not spread.confirm(record.etag, record.total, run.end):
            spread = carrier.spread(at)
            spread.confirm(record.etag, record.total, run.end)
        if spread is self._spread:
            self._spread = None
        carrier.follow(spread)
