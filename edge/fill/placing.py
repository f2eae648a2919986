"""What becomes of an answer that was judged: under which name it is kept, and where its body goes."""

from dataclasses import replace
from typing import Protocol

from edge.errors import StoreError
from edge.fill import plan
from edge.fill.carry import Carrier
from edge.fill.flight import Flight
from edge.fill.manner import Manner
from edge.fill.messages import UNKNOWN, Head, HeadFlag, Mode
from edge.fill.readers import Reader, Run
from edge.fill.records import Layout, record_of, without
from edge.fill.shop import Shop
from edge.fill.sinks import MemorySink, PackSink, ScratchSink, Sink
from edge.http import fields as header
from edge.http.fields import Fields
from edge.origin.response import UpstreamResponse
from edge.policy.judge import Head as AnswerHead
from edge.policy.judge import Verdict
from edge.policy.rules import SiteRules
from edge.policy.tags import surrogate_tags
from edge.policy.variants import selection
from edge.store.names import name_of
from edge.store.record import Flag, Record, encode_record
from edge.store.variants import note_variant
from edge.words import CacheStatus, Eviction, Kind

PARTIAL = 206


class Tower(Protocol):
    """Who knows all flights."""

    def separate(self, flight: Flight, others: list[Reader]) -> None:
        """The answer is its leader's alone: each of the others asks for itself."""

    def redirect(self, flight: Flight, others: list[Reader]) -> None:
        """The answer was chosen by what these did not say alike: they look for theirs anew."""

    def rename(self, flight: Flight, name: bytes) -> None:
        """The flight brings a variant, not what every request for the key gets."""

    def doom(self, name: bytes) -> None:
        """What is on its way under this name is out of date."""

    def recheck(self, flight: Flight, record: Record) -> None:
        """What the flight brings is known now: doom it if a purge has named that since it asked."""


class Placing:
    """For one flight; `stored` is what its name has in the index."""

    def __init__(
        self, shop: Shop, flight: Flight, stored: Record | None, tower: Tower, rules: SiteRules, manner: Manner
    ) -> None:
        self._shop = shop
        self._flight = flight
        self._fetch = flight.fetch
        self._stored = stored
        self._tower = tower
        self._rules = rules
        self._manner = manner

    async def begin(
        self,
        answer: AnswerHead,
        response: UpstreamResponse,
        run: Run,
        kind: Kind,
        verdict: Verdict,
        etag: bytes,
        total: int,
        *,
        alone: bool,
        opaque: bool = False,
        for_get: bool = False,
    ) -> Carrier:
        """Tell the readers the head, and who brings the body. `for_get`: an answer to POST that is one to GET."""
        flight, shop, stored = self._flight, self._shop, self._stored
        stored_name = flight.name
        keep = verdict.store and not alone and (self._fetch.method == b"GET" or for_get)
        if flight.unasked and answer.status != 200:
            keep = False  # what is not there yet may be when somebody asks
        layout = Layout(etag, 0, total, shop.slice_size)
        now = shop.clock.wall()
        told = record_of(self._fetch, kind, answer, verdict, layout, self._rules, now=now, opaque=opaque)
        self._tower.recheck(flight, told)
        keep = keep and not flight.doomed and surrogate_tags(answer.fields) is not None
        if not alone and (verdict.vary or (keep and self._varied())):
            keep = await self._vary(told, verdict, keep=keep)
        elif keep:
            self._tower.rename(flight, name_of(self._fetch.key, shop.secret))
        continues = stored is not None and plan.same_version(stored, etag, total) and flight.name == stored_name
        if self._fetch.mode is Mode.SOLO:
            # Who fills the stored one may be at work on the same part.
            keep, continues = keep and not (continues and response.status == PARTIAL), False
        if keep:
            generation = stored.generation if continues and stored else shop.store.volume.new_generation()
            told = replace(told, generation=generation)
            shop.alone.pop(name_of(self._fetch.key, shop.secret), None)
        record = without(told, verdict.withheld)
        if continues and keep and stored is not None:
            for extent in shop.store.volume.extents(stored):
                flight.covered.add(extent.start, extent.end)
        combined = bool(etag) and total != UNKNOWN and response.status in (200, PARTIAL)
        # A part that has come shows more than what is remembered of its place, perhaps since it was asked for.
        had = response.status == PARTIAL or not shop.rangeless.at(response.member, self._fetch)
        flight.ranges = keep and combined and had
        flags = (HeadFlag.STORED if keep else HeadFlag(0)) | (HeadFlag.ALONE if alone else HeadFlag(0))
        flags |= HeadFlag.PARTIAL if response.status == PARTIAL else HeadFlag(0)
        flags |= aged(response.fields) if not (self._manner.completes and continues) else HeadFlag.AGED
        ttfb = response.response_time - response.request_time
        sink = self._sink(run, kind, verdict, total, keep=keep)
        if self._fetch.mode is Mode.SOLO and keep and stored is not None:
            await shop.store.attempt(shop.store.volume.delete, flight.name, None, Eviction.REPLACED)
        if told is not record:
            flight.leaders_record = encode_record(told)
        word = self._word(alone=alone)
        if isinstance(sink, PackSink) and response.received:  # else space would be spent where no byte ever comes
            sink.begin()  # from here on nothing is waited for until there is a carrier, who lets it go again
        flight.set_head(Head(0, flags, word, total, response.member, ttfb, encode_record(record)), record, total)
        if self._fetch.method == b"HEAD":
            flight.end_all()
        return Carrier(shop, flight, run, sink, record, kind, self._rules, keep=keep)

    def _varied(self) -> bool:
        """Have other answers of this object varied? Then this one, which does not, is kept beside them."""
        index = self._shop.store.volume.lookup(name_of(self._fetch.key, self._shop.secret))
        return index is not None and bool(index.flags & Flag.VARIES)

    async def _vary(self, record: Record, verdict: Verdict, *, keep: bool) -> bool:
        """The answer is one of several: it is kept under a name of its own, and waiters who said otherwise leave."""
        shop, fetch, flight = self._shop, self._fetch, self._flight
        mine = selection(verdict.vary, fetch.fields)
        if keep:
            base = name_of(fetch.key, shop.secret)
            generation, most = shop.store.volume.new_generation(), self._rules.variants_most
            volume = shop.store.volume
            try:
                noted = note_variant, volume, base, record, verdict.vary, mine, generation, most
                name = await shop.store.call(*noted)
                self._tower.rename(flight, name)
            except (StoreError, OSError):
                keep = False
        others = [reader for reader in flight.readers if selection(verdict.vary, reader.fetch.fields) != mine]
        if not keep:
            flight.joinable = False
        self._tower.redirect(flight, others)
        return keep

    def _word(self, *, alone: bool) -> CacheStatus:
        if (self._fetch.mode is Mode.PASS or alone) and not self._flight.borrowed:
            return CacheStatus.BYPASS
        return CacheStatus.MISS if self._stored is None or self._manner.completes else CacheStatus.EXPIRED

    def _sink(self, run: Run, kind: Kind, verdict: Verdict, total: int, *, keep: bool) -> Sink:
        flight, shop, settings = self._flight, self._shop, self._shop.settings
        if not keep:
            if total != UNKNOWN and total <= settings.inline_limit:
                return MemorySink(flight, run.start)
            return ScratchSink(flight, shop.scratch, run.start)
        # A plain cache has use for what is stale: it is validated, or stands in when nobody answers.
        short = verdict.fresh_until - shop.clock.wall() < settings.live_below and self._rules.lists_by_content
        listing = kind in (Kind.PLAYLIST, Kind.MANIFEST)
        fits = total <= settings.memory_limit  # UNKNOWN fits until it has shown that it does not
        if fits and run.start == 0 and (total in (UNKNOWN, run.end)) and (short or listing or total == UNKNOWN):
            return MemorySink(flight)
        end = None if run.end == UNKNOWN else run.end
        return PackSink(flight, shop.store, run.start, end, flight.whose, inline=shop.settings.inline_limit)


def aged(given: Fields) -> HeadFlag:
    """Was the answer made before it was asked for (RFC 9111 section 5.1)?"""
    return HeadFlag(0) if header.first(given, b"age") is None else HeadFlag.AGED
