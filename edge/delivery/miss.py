"""A request that waits for a keeper: until the head has come, or the time for it is over."""

import asyncio
from typing import TYPE_CHECKING

from edge.delivery.answer import How
from edge.delivery.places import Place
from edge.fill.asking import Asking, AskListener
from edge.fill.messages import UNKNOWN, Head, HeadFlag, Mode
from edge.http.ranges import parse_range
from edge.policy.decide import may_serve_on_error
from edge.policy.demands import parse_demands
from edge.server.exchange import Exchange
from edge.store.record import Flag, Record, decode_record
from edge.words import CacheStatus, Forward, Reason

if TYPE_CHECKING:
    from edge.delivery.story import Delivery

# No answer came: the cache is disconnected (RFC 9111 section 4.2.4). One that is wrong is another matter.
UNREACHABLE = frozenset(Reason) - {Reason.BAD_RESPONSE, Reason.OBJECT_CHANGED, Reason.INTERNAL}
NOT_FORWARDED = frozenset({Reason.QUEUE_FULL, Reason.KEEPER_DOWN})
LOOKS = 5  # times that a keeper may say "look again" before we give up


class Miss(AskListener):
    """One waiting request. Once the head is there, the body listens in its place."""

    def __init__(
        self,
        delivery: "Delivery",
        exchange: Exchange,
        place: Place,
        stale: Record | None,
        stale_body: bytes | None,
        tries: int,
        mode: Mode = Mode.FILL,
        why: Forward | None = None,
    ) -> None:
        self._delivery = delivery
        self._exchange = exchange
        self._place = place
        self._stale = stale
        self._stale_body = stale_body
        self._tries = tries
        # Without anything stored conditions are the origin's to judge (RFC 9111 section 4.3.2).
        self._conditions = place.rules.forwards_all and stale is None and exchange.request.conditional
        self._mode = Mode.SOLO if self._conditions and mode is Mode.FILL else mode
        self._why = why
        self._asking: Asking | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Ask the keeper for what the request wants of the object."""
        delivery, exchange = self._delivery, self._exchange
        start, end, suffix, ranged = self._wanted()
        fetch = delivery.fetch_of(
            exchange.request,
            self._place,
            start=start,
            end=end,
            suffix=suffix,
            ranged=ranged,
            mode=self._mode,
            conditions=self._conditions,
        )
        exchange.on_gone = self.leave
        self._asking = delivery.volumes[self._place.volume].asker.ask(fetch, self)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delivery.settings.first_byte_budget, self._too_late)

    def _wanted(self) -> tuple[int, int, int, bool]:
        """(start, end, suffix, ranged) of the first part that a Range field asks for; the rest is asked later."""
        asked = self._exchange.request.get(b"range")
        specs = parse_range(asked) if asked is not None and self._exchange.request.method == b"GET" else None
        if not specs or (self._place.rules.exact_ranges and self._needs_whole(len(specs))):
            return 0, UNKNOWN, 0, False
        spec = specs[0]
        if spec.first is None:
            return 0, UNKNOWN, spec.last or 1, True
        return spec.first, UNKNOWN if spec.last is None else spec.last + 1, 0, True

    def _needs_whole(self, parts: int) -> bool:
        """Several parts, or a condition on them, are answered from the whole, which a plain cache asks for once."""
        return parts > 1 or (self._stale is None and self._exchange.request.get(b"if-range") is not None)

    def leave(self) -> None:
        """The player has gone, or the story goes on elsewhere."""
        self._exchange.on_gone = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    # -- fill.AskListener ------------------------------------------------------------------------

    def on_head(self, head: Head) -> None:
        asking, self._asking = self._asking, None
        self.leave()
        assert asking is not None
        record = decode_record(head.record)
        how = How(
            head.status,
            collapsed=bool(head.flags & HeadFlag.COLLAPSED),
            stored=bool(head.flags & HeadFlag.STORED),
            aged=bool(head.flags & HeadFlag.AGED),
            fwd_status=_upstream_status(head.flags, record),
            fwd=self._why,
            judged=self._conditions,
            member=head.member,
            upstream_seconds=head.ttfb,
        )
        delivery, exchange = self._delivery, self._exchange
        if head.total == UNKNOWN:
            if exchange.request.method == b"HEAD":
                asking.cancel()
            delivery.serve_unknown(exchange, self._place, record, how, asking)
            return
        delivery.serve(exchange, self._place, record, how, delivery.clock.wall(), asking=asking)

    def on_bytes(self) -> None:
        raise AssertionError("bytes come after the head")

    def on_end(self, total: int) -> None:
        raise AssertionError("an end comes after the head")

    def on_again(self) -> None:
        self.leave()
        if self._tries >= LOOKS:
            self._give_up(503, "the cache and its keeper do not agree")
        else:
            self._delivery.look_again(self._exchange, self._place, self._tries + 1)

    def on_fail(self, status: int, reason: Reason, detail: str) -> None:
        self.leave()
        unreachable = reason in UNREACHABLE
        if not self._serve_stale(unreachable=unreachable):
            if unreachable and self._stale is not None and self._stale.flags & Flag.MUST_REVALIDATE:
                status = 504  # RFC 9111 section 5.2.2.2
            self._give_up(status, detail or reason.value, fwd=None if reason in NOT_FORWARDED else self._fwd)

    def on_lost(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        other = self._delivery.elsewhere(self._exchange, self._place)
        if other is not None:
            self.leave()
            self._delivery.look_again(self._exchange, other, self._tries)
            return
        self.ask()  # the asker keeps it for the keeper's successor; the timer goes on

    # -- ends ------------------------------------------------------------------------------------

    def _too_late(self) -> None:
        up = self._delivery.volumes[self._place.volume].asker.up
        self.leave()
        if not self._serve_stale(unreachable=True):
            status, detail = (504, "no answer in time") if up else (503, Reason.KEEPER_DOWN.value)
            self._give_up(status, detail, fwd=self._fwd if up else None)

    def _serve_stale(self, *, unreachable: bool) -> bool:
        """A stale answer stands in for an error where it may (RFC 5861 section 4, RFC 9111 section 4.2.4)."""
        record, delivery = self._stale, self._delivery
        asked = self._asked_on_error()
        if record is None or (self._mode is not Mode.FILL and not asked):
            return False
        if not self._still_kept(record):
            return False  # purged while we waited
        now = delivery.clock.wall()
        strict = bool(record.flags & (Flag.MUST_REVALIDATE | Flag.NO_CACHE))
        window = float(asked if self._mode is not Mode.FILL else max(asked, record.stale_if_error))
        if unreachable and self._mode is Mode.FILL:
            window = max(window, self._place.rules.stale_if_unreachable)
        if not may_serve_on_error(record.fresh_until, window, strict, now):
            return False
        how = How(CacheStatus.STALE)
        delivery.serve(self._exchange, self._place, record, how, now, body=self._stale_body)
        return True

    def _asked_on_error(self) -> int:
        """For how long a stale answer may be stale by the client's own word."""
        request = self._exchange.request
        demands = parse_demands(request.fields) if self._place.heeds and request.demanding else None
        return (demands.stale_if_error or 0) if demands is not None else 0

    def _still_kept(self, record: Record) -> bool:
        reader = self._delivery.volumes[self._place.volume].reader
        found = reader.lookup(self._place.name)
        if found is None and (live := reader.lookup_live(self._place.name)) is not None:
            found = live[0]
        return found is not None and found.generation == record.generation

    @property
    def _fwd(self) -> Forward:
        return self._why or (Forward.URI_MISS if self._stale is None else Forward.STALE)

    def _give_up(self, status: int, detail: str, fwd: Forward | None = None) -> None:
        self._delivery.refuse(self._exchange, self._place, status, detail, fwd=fwd)


def _upstream_status(flags: HeadFlag, record: Record) -> int:
    """What the next hop answered (RFC 9211 section 2.3)."""
    if flags & HeadFlag.REVALIDATED:
        return 304
    return 206 if flags & HeadFlag.PARTIAL else record.status
