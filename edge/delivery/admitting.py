"""Who may ask at all: a handler before the handler, on listeners that admit edges only.

Refused requests see nothing of the cache: no look-up, no fetch.
"""

from collections.abc import Callable, Collection
from typing import Protocol

from edge.access.admission import Admission, Refused
from edge.access.passes import FIELD_LOW, REFUSED
from edge.clock import Clock
from edge.delivery.story import Delivery
from edge.errors import BadRequest
from edge.server.exchange import Exchange
from edge.server.request import Request
from edge.words import Refusal

LOOP_DETECTED = 508  # RFC 5842 section 7.2, and RFC 8586 section 2


class Certified(Protocol):
    """A connection that knows its client's certificate."""

    @property
    def certified(self) -> frozenset[str] | None: ...


class Admitting:
    """Hands on to `delivery` what `admission` lets in. `sites`: those that are guarded, by name; none: all."""

    def __init__(
        self,
        delivery: Delivery,
        admission: Admission,
        sites: Collection[str],
        clock: Clock,
        count: Callable[[Refusal], None],
    ) -> None:
        self._delivery = delivery
        self._admission = admission
        self._sites = frozenset(sites)
        self._clock = clock
        self._count = count

    def handle(self, exchange: Exchange) -> None:
        """See `Delivery.handle`."""
        request = exchange.request
        if self._sites and not self._guarded(request):
            self._delivery.handle(exchange)
            return
        connection: Certified = request.connection  # type: ignore[assignment] # the server's own; opaque to others
        try:
            request.vouched = self._admission.admit(
                request.method,
                request.target,
                request.get_all(FIELD_LOW),
                request.peer,
                connection.certified,
                wall=self._clock.wall(),
                monotonic=self._clock.monotonic(),
            )
        except Refused as refused:
            self._count(refused.refusal)
            status = LOOP_DETECTED if refused.refusal is Refusal.HOPS else 403
            self._delivery.turn_away(exchange, status, f"not admitted: {refused.refusal.value}", REFUSED)
        else:
            self._delivery.handle(exchange)

    def _guarded(self, request: Request) -> bool:
        try:
            place = self._delivery.places.find(request.host, request.target)
        except BadRequest:
            return False  # it is refused anyway
        return place.rules.name in self._sites
