"""A request that no cache answers: another method, perhaps with a body, goes to the origin and its answer comes back.

The body goes up a window at a time: the keeper says what the origin has taken, and only then more is read from the
client. Nothing is sent twice: whether an unsafe request was carried out is not for us to guess.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from edge.delivery.answer import How
from edge.delivery.places import Place
from edge.fill.asking import Asking, AskListener
from edge.fill.messages import UNKNOWN, Body, Head, HeadFlag, Invalidate, Mode
from edge.fill.records import stored_lines
from edge.http.target import parse_target
from edge.policy.invalidation import invalidated, is_unsafe
from edge.server.exchange import Exchange
from edge.store.record import Record, decode_record
from edge.words import KIB, CacheStatus, Forward, Reason

if TYPE_CHECKING:
    from edge.delivery.story import Delivery

WINDOW: Final = 256 * KIB  # of a body on its way between this process and the origin
CHUNK: Final = 64 * KIB  # one message


class Passing(AskListener):
    """One request on its way; once its answer's head is there, the body listens in its place."""

    def __init__(self, delivery: "Delivery", exchange: Exchange, place: Place) -> None:
        self._delivery = delivery
        self._exchange = exchange
        self._place = place
        self._asking: Asking | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._outstanding = 0
        self._body_over = exchange.request.body is None

    def __repr__(self) -> str:
        return f"<Passing {self._exchange.request!r} outstanding={self._outstanding}>"

    def ask(self) -> None:
        """Send the request on, and its body as it comes."""
        exchange, delivery = self._exchange, self._delivery
        fetch = delivery.fetch_of(exchange.request, self._place, mode=Mode.PASS, conditions=True)
        exchange.on_gone = self._leave
        self._asking = delivery.volumes[self._place.volume].asker.ask(fetch, self)
        body = exchange.request.body
        if body is not None:
            body.start(self._more)
        self._watch()

    def _watch(self) -> None:
        """The origin's time begins, again: it has all of the request, or has taken some more of it."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._delivery.settings.first_byte_budget, self._too_late)

    def _more(self) -> None:
        """More of the body has come from the client, or there is room for more on the way up."""
        body, asking = self._exchange.request.body, self._asking
        if body is None or asking is None or self._body_over:
            return
        asker = self._delivery.volumes[self._place.volume].asker
        if body.too_large:
            self._body_over = True
            self._fail(413, "the request's body is too large")
            return
        while self._outstanding < WINDOW and (chunk := body.take(CHUNK)):
            self._outstanding += len(chunk)
            asker.send(Body(asking.fetch.id, False, chunk))
        if body.complete and body.empty:
            self._body_over = True
            asker.send(Body(asking.fetch.id, True, b""))

    def _leave(self) -> None:
        self._exchange.on_gone = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _fail(self, status: int, detail: str) -> None:
        self._leave()
        self._delivery.refuse(self._exchange, self._place, status, detail, fwd=Forward.METHOD)

    def _too_late(self) -> None:
        if not self._body_over and self._outstanding == 0:
            self._watch()  # it is the client that we wait for; the server has a limit for that
        else:
            self._fail(504, "no answer in time")

    # -- fill.AskListener ------------------------------------------------------------------------

    def on_taken(self, count: int) -> None:
        self._outstanding -= count
        self._watch()
        self._more()

    def on_head(self, head: Head) -> None:
        asking, self._asking = self._asking, None
        self._leave()
        assert asking is not None
        record = decode_record(head.record)
        how = How(
            CacheStatus.BYPASS,
            stored=bool(head.flags & HeadFlag.STORED),
            aged=bool(head.flags & HeadFlag.AGED),
            fwd=Forward.METHOD,
            fwd_status=record.status,
            member=head.member,
            upstream_seconds=head.ttfb,
        )
        delivery, exchange = self._delivery, self._exchange
        self._invalidate_elsewhere(record)
        if head.total == UNKNOWN:
            delivery.serve_unknown(exchange, self._place, record, how, asking)
        else:
            delivery.serve(exchange, self._place, record, how, delivery.clock.wall(), asking=asking)

    def _invalidate_elsewhere(self, record: Record) -> None:
        """Location and Content-Location may name what lives on another volume, of which that keeper knows nothing."""
        request, own = self._exchange.request, self._place
        if len(self._delivery.volumes) == 1 or not is_unsafe(request.method):
            return
        asked = parse_target(request.target, request.host)
        for target in invalidated(request.method, record.status, asked, stored_lines(record)):
            text = target.path if target.query is None else target.path + b"?" + target.query
            place = self._delivery.places.find(target.host, text)
            if place.volume != own.volume:
                self._delivery.volumes[place.volume].asker.tell(Invalidate(place.name))

    def on_bytes(self) -> None:
        raise AssertionError("bytes come after the head")

    def on_end(self, total: int) -> None:
        raise AssertionError("an end comes after the head")

    def on_again(self) -> None:
        raise AssertionError("what passes is not looked for in the index")

    def on_fail(self, status: int, reason: Reason, detail: str) -> None:
        self._fail(status, detail or reason.value)

    def on_lost(self) -> None:
        self._fail(503, Reason.KEEPER_DOWN.value)
