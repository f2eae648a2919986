"""Fetches on the node's own behalf: through the keepers, as a worker asks them, with nobody at the other end."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from edge.delivery.places import Place
from edge.delivery.serving import Volume
from edge.errors import OriginError, StoreError, why
from edge.fill.asking import Asking, AskListener, Bytes, InlineBytes, PackBytes
from edge.fill.messages import UNKNOWN, Fetch, Head, HeadFlag, Mode
from edge.policy.upstream_fields import request_fields
from edge.store.reader import Reader
from edge.store.record import Flag, Record, decode_record
from edge.words import MIB, Reason

LOOKS: Final = 5  # times that a keeper may say "look again"
LIST_MOST: Final = 16 * MIB  # bytes of a playlist or manifest; a larger one is none
STEP: Final = MIB  # a keeper is told so often how far we have read
SILENCE: Final = 60.0  # seconds without a new byte, after which a fetch is given up

Pace = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Brought:
    """`fetched` bytes came from upstream; `body` only where it was wanted."""

    status: int
    total: int
    fetched: int
    kept: bool
    body: bytes = b""


def complete(reader: Reader, record: Record) -> bool:
    """Is every byte of an object stored?"""
    position = 0
    while position < record.total:
        extent = reader.extent_at(record, position)
        if extent is None:
            return False
        position = extent.end
    return True


def stored(reader: Reader, name: bytes) -> tuple[Record | None, bytes | None]:
    """The record of a name, and its body if it is short-lived."""
    record = reader.lookup(name)
    if record is not None:
        return record, None
    live = reader.lookup_live(name)
    return live if live is not None else (None, None)


class Fetching(AskListener):
    """One ask; `run` returns when all has come. OriginError: it did not."""

    def __init__(self, volume: Volume, place: Place, node: bytes, mark: bytes, *, wanted: bool, pace: Pace) -> None:
        self._volume, self._place = volume, place
        self._fields = request_fields((), place.rules, node=node, mark=mark)
        self._wanted, self._pace = wanted, pace
        self._moved = asyncio.Event()
        self._head: Head | None = None
        self._record: Record | None = None
        self._over = self._again = False
        self._failed: OriginError | None = None
        self._parts: dict[int, bytes] = {}
        self._fetched = 0

    async def run(self, now: float) -> Brought:
        """Look in the index, ask for what is missing or stale, read on until its end.

        OriginError: it cannot be had. StoreError: what is stored cannot be read.
        """
        try:
            return await self._run(now)
        except OSError as error:
            raise StoreError(f"what is stored cannot be read: {why(error)}") from error

    async def _run(self, now: float) -> Brought:
        reader, name = self._volume.reader, self._place.name
        for _ in range(LOOKS):
            record, body = stored(reader, name)
            if record is not None and now < record.fresh_until and not record.flags & (Flag.NO_CACHE | Flag.STALE):
                if body is not None:
                    return Brought(record.status, record.total, 0, True, body)
                if complete(reader, record):
                    return Brought(record.status, record.total, 0, True, await self._stored_body(record))
            await self._ask()
            if not self._again:
                return await self._told()
        raise OriginError(Reason.INTERNAL, "the cache and its keeper do not agree")

    async def _ask(self) -> None:
        place = self._place
        self._over = self._again = False
        fetch = Fetch(
            self._volume.asker.next_id(), Mode.FILL, place.rules.name, b"GET", place.target, place.key, place.path,
            place.kind, self._fields, patient=not self._wanted,
        )  # fmt: skip
        asking = self._volume.asker.ask(fetch, self)
        try:
            await self._read_on(asking)
        finally:
            asking.cancel()
        if self._failed is not None:
            raise self._failed

    async def _read_on(self, asking: Asking) -> None:
        position = 0
        while True:
            self._moved.clear()
            before = position
            while (end := self._reached(asking, position)) > position:
                position = end
            if position > before:
                await self._pace(position - before)
                asking.read(position, STEP)
            if self._over:
                return
            try:
                async with asyncio.timeout(SILENCE):  # wait_for swallows a cancellation in the moment of the event
                    await self._moved.wait()
            except TimeoutError:
                raise OriginError(Reason.STALLED, f"nothing for {SILENCE:g} s") from None

    def _reached(self, asking: Asking, position: int) -> int:
        piece = asking.at(position)
        if piece is not None:
            if self._wanted and position < LIST_MOST:
                self._parts[position] = self._bytes_of(piece, position)
            self._fetched += piece.end - position
            return piece.end
        if self._record is None or (self._head is not None and not self._head.flags & HeadFlag.STORED):
            return position
        extent = self._volume.reader.extent_at(self._record, position)
        return extent.end if extent is not None else position

    def _bytes_of(self, piece: Bytes, position: int) -> bytes:
        at = position - piece.start
        if isinstance(piece, InlineBytes):
            return piece.data[at:]
        if isinstance(piece, PackBytes):
            file = self._volume.reader.pack_file(piece.pack)
            return os.pread(file.fileno(), piece.end - position, piece.offset + at) if file is not None else b""
        return os.pread(piece.file.fileno(), piece.end - position, at)

    async def _told(self) -> Brought:
        head, record = self._head, self._record
        assert head is not None
        assert record is not None
        kept = bool(head.flags & HeadFlag.STORED)
        total = record.total if head.total == UNKNOWN else head.total
        body = b"".join(data for _, data in sorted(self._parts.items()))
        if self._wanted and not body and kept:
            body = await self._stored_body(record)
        return Brought(record.status, total, self._fetched, kept, body)

    async def _stored_body(self, record: Record) -> bytes:
        if not self._wanted or record.total > LIST_MOST:
            return b""
        reader, parts, position = self._volume.reader, [], 0
        while position < record.total and (extent := reader.extent_at(record, position)) is not None:
            parts.append(await reader.read_verified(record, extent, position, extent.end - position))
            position = extent.end
        return b"".join(parts)

    # -- AskListener -----------------------------------------------------------------------------

    def on_head(self, head: Head) -> None:
        self._head, self._record = head, decode_record(head.record)
        self._moved.set()

    def on_bytes(self) -> None:
        self._moved.set()

    def on_end(self, total: int) -> None:
        self._over = True
        self._moved.set()

    def on_again(self) -> None:
        self._over = self._again = True
        self._moved.set()

    def on_fail(self, status: int, reason: Reason, detail: str) -> None:
        self._over, self._failed = True, OriginError(reason, detail)
        self._moved.set()

    def on_lost(self) -> None:
        self._over, self._failed = True, OriginError(Reason.KEEPER_DOWN, "the keeper has died")
        self._moved.set()
