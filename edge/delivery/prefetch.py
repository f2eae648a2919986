"""Fetching the next segments before they are asked for: what they are, and the keepers told of them.

A player that was given a segment from far away, or one that was fetched ahead for it, will ask for the next one. What
that is goes by (1) its own word in CMCD, (2) the playlist or manifest that is cached here and names the segment, (3)
the file's number, where the number before it was asked for a moment ago. Nothing here is on a hit's way: it begins
when a fill has ended, or at the first use of what was fetched ahead.

A keeper fetches it only over a far path and within its budget (`fill.ahead`). A wish is withdrawn when nobody has
come for two of the segment's durations: a player that goes on renews it with each segment.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge.delivery.memory import Memory
from edge.delivery.places import Place
from edge.errors import BadRequest
from edge.fill.messages import UNKNOWN, Fetch, Mode, Pin
from edge.http.target import authority_of
from edge.media.cmcd import FIELDS, of_query
from edge.media.upcoming import Upcoming, after_in_playlist, after_number, at_site, directory, said, start_of
from edge.media.upcoming_dash import after_in_manifest
from edge.policy.decide import Decision, decide
from edge.server.request import Request
from edge.store.packfile import CorruptExtent
from edge.store.record import Flag, Record
from edge.words import KIB, SECONDS, Kind

if TYPE_CHECKING:
    from edge.delivery.story import Delivery

LEADING: Final = frozenset({Kind.SEGMENT, Kind.MP4})  # what others follow; a file only if it is read in ranges
FOLLOWING: Final = frozenset({Kind.SEGMENT, Kind.MP4, Kind.INIT})
LIST_MOST: Final = 256 * KIB  # bytes of a list that is read; a larger one would hold the worker's loop for too long
WISHES_MOST: Final = 512  # not yet used or withdrawn
USUAL: Final = 6 * SECONDS  # that a segment plays for, where nobody says
IDLE: Final = 2.0  # durations without a request, after which a player counts as gone
NUMBERS: Final = 4096  # files with a number that were asked for last


class Prefetch:
    """Of one worker."""

    def __init__(self, delivery: "Delivery") -> None:
        self._delivery = delivery
        self._wishes: dict[bytes, tuple[Fetch, int, asyncio.TimerHandle]] = {}
        self._numbers: Memory[bytes, bool] = Memory(NUMBERS)

    def __repr__(self) -> str:
        return f"<Prefetch wishes={len(self._wishes)}>"

    def leads(self, request: Request, place: Place) -> bool:
        """Is this a request after which others are expected? Not one of a cache of ours, which looks ahead itself."""
        if not place.rules.prefetch or place.kind not in LEADING or request.method != b"GET":
            return False
        ranged = request.get(b"range") is not None
        return (place.kind is Kind.SEGMENT or ranged) and request.get(b"edge-pass") is None

    def go_on(self, request: Request, place: Place) -> None:
        """An answer that leads has been brought, or fetched ahead and used."""
        self._withdraw(place.name, tell=False)
        volume = self._delivery.volumes[place.volume]
        volume.tasks.spawn(self._go_on(request, place), "prefetch")

    async def _go_on(self, request: Request, place: Place) -> None:
        count = place.rules.prefetch
        upcoming = self._told(request, place) or await self._listed(request, place)
        if upcoming is None:
            upcoming = self._numbered(request, place)
        segments = 0
        for next_ in upcoming:
            found = self._place(request, place, next_)
            if found is None:
                continue
            segments += not next_.init
            if segments > count:
                return
            await self._delivery.volumes[found.volume].reader.bring(found.name)
            self._wish(request, found, next_)

    # -- what is next ----------------------------------------------------------------------------

    def _told(self, request: Request, place: Place) -> list[Upcoming]:
        """What the player announces: of its own word only neighbours of what it may ask for anyway."""
        text = ",".join([of_query(request.target), *(_text(request.get(name)) for name in FIELDS)])
        if "n" not in text or ("nor=" not in text and "nrr=" not in text):
            return []
        own = request.target if request.target.startswith(b"/") else place.target
        found = said(text, lambda reference: at_site(reference, own, _hosts(request, place)), own)
        return [each for each in found if self._is_neighbour(request, place, each.target)]

    def _is_neighbour(self, request: Request, place: Place, target: bytes) -> bool:
        """In the same directory, and the same to the origin but for the file."""
        found = self._found(request, target)
        if found is None or directory(found.path) != directory(place.path):
            return False
        return found.key.partition(b"?")[2] == place.key.partition(b"?")[2]

    async def _listed(self, request: Request, place: Place) -> list[Upcoming] | None:
        """By the first list that names it; None if none does that is here."""
        places, start = self._delivery.places, start_of(request.get(b"range"))
        for target in places.lists.near(place.rules.name, place.path):
            listing = self._found(request, target)
            if listing is None or listing.rules.name != place.rules.name:
                continue
            body = await self._body(listing)
            if body is None:
                continue
            read = after_in_manifest if listing.kind is Kind.MANIFEST else after_in_playlist
            hosts = _hosts(request, place)

            def to(reference: str, base: bytes = listing.target, hosts: frozenset[str] = hosts) -> bytes | None:
                found = at_site(reference, base, hosts)
                known = self._found(request, found) if found is not None else None
                return None if known is None else known.target

            found = read(body, to, place.target, start, place.rules.prefetch)
            if found is not None:
                return found
        return None

    def _numbered(self, request: Request, place: Place) -> list[Upcoming]:
        """By name, one at most, and only after the neighbour before it: what is guessed wrong costs a request."""
        next_ = after_number(place.target) if place.kind is Kind.SEGMENT and request.get(b"range") is None else None
        if next_ is None:
            return []
        in_order = self._numbers.get(place.key) is not None
        following = self._found(request, next_.target)
        if following is not None:
            self._numbers.put(following.key, True)
        return [next_] if in_order else []

    # -- places ----------------------------------------------------------------------------------

    def _found(self, request: Request, target: bytes) -> Place | None:
        """The place of a target by the rules of the site that the request is of."""
        try:
            return self._delivery.places.find(authority_of(request.target, request.host), target)
        except BadRequest:
            return None

    def _place(self, request: Request, place: Place, next_: Upcoming) -> Place | None:
        """Where the next object lies, if it may be fetched ahead: by the same site's rules, and a part of the film."""
        found = self._found(request, next_.target)
        if found is None or found.rules.name != place.rules.name or not found.rules.prefetch:
            return None
        if found.kind not in FOLLOWING or (found.kind is Kind.MP4 and not next_.ranged and not next_.init):
            return None
        return found

    async def _body(self, listing: Place) -> bytes | None:
        """What is stored of a list, whole, and not stale beyond use; None if that is not at hand."""
        reader = self._delivery.volumes[listing.volume].reader
        live = reader.lookup_live(listing.name)
        if live is not None:
            return live[1] if len(live[1]) <= LIST_MOST else None
        await reader.bring(listing.name)
        record = reader.lookup(listing.name)
        if record is None or record.status != 200 or not 0 < record.total <= LIST_MOST:
            return None
        extent = reader.extent_at(record, 0)
        if extent is None or extent.end < record.total:
            return None
        data = reader.small(record, extent, 0, record.total)
        if data is not None:
            return data
        try:
            return await reader.read_verified(record, extent, 0, record.total)
        except (CorruptExtent, OSError):
            return None  # who asks for the list itself will find and report it

    # -- wishes ----------------------------------------------------------------------------------

    def _wish(self, request: Request, place: Place, next_: Upcoming) -> None:
        """Have its keeper fetch what is not here, for as long as somebody is likely to come for it."""
        delivery, end = self._delivery, UNKNOWN if next_.end < 0 else next_.end
        known = self._wishes.get(place.name)
        if known is not None:
            fetch, _, timer = known
            timer.cancel()
        else:
            if len(self._wishes) >= WISHES_MOST or self._stored(place, next_):
                return
            pin = self._pin(place)
            if pin is not None and end == UNKNOWN:
                end = pin.total
            asker = delivery.volumes[place.volume].asker
            fetch = delivery.fetch_of(
                request, place, start=next_.start, end=end, ranged=next_.ranged, pin=pin, mode=Mode.AHEAD
            )
            fetch = replace(fetch, patient=True, method=b"GET")
            asker.tell(fetch)
        seconds = IDLE * (next_.seconds or USUAL)
        timer = asyncio.get_running_loop().call_later(seconds, self._withdraw, place.name)
        self._wishes[place.name] = fetch, place.volume, timer

    def _pin(self, place: Place) -> Pin | None:
        """Of an object of which a part is here, the rest has to be of the same version."""
        record = self._delivery.volumes[place.volume].reader.lookup(place.name)
        if record is None or not record.flags & Flag.STRONG or not self._fresh(record):
            return None
        return Pin(record.generation, record.total, record.etag)

    def _stored(self, place: Place, next_: Upcoming) -> bool:
        reader = self._delivery.volumes[place.volume].reader
        if reader.lookup_live(place.name) is not None:
            return True
        record = reader.lookup(place.name)
        if record is None or record.flags & Flag.VARIES or not self._fresh(record):
            return record is not None and bool(record.flags & Flag.VARIES)  # which variant will be asked for?
        position = next_.start
        end = record.total if next_.end < 0 else min(next_.end, record.total)
        while position < end and (extent := reader.extent_at(record, position)) is not None:
            position = extent.end
        return position >= end

    def _fresh(self, record: Record) -> bool:
        told = bool(record.flags & Flag.MUST_REVALIDATE), bool(record.flags & (Flag.NO_CACHE | Flag.STALE))
        now = self._delivery.clock.wall()
        decision = decide(record.fresh_until, record.stale_while_revalidate, *told, now)
        return decision is not Decision.REVALIDATE

    def _withdraw(self, name: bytes, *, tell: bool = True) -> None:
        """It has been used, or the time is over in which somebody would have come."""
        known = self._wishes.pop(name, None)
        if known is None:
            return
        fetch, volume, timer = known
        timer.cancel()
        if tell:
            self._delivery.volumes[volume].asker.withdraw(fetch)


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1")


def _hosts(request: Request, place: Place) -> frozenset[str]:
    """Authorities that mean this very site."""
    asked = authority_of(request.target, request.host).decode("latin-1").lower()
    return frozenset({asked, *(host.lower() for host in place.rules.hosts)})
