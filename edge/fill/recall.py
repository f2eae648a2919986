"""What a flight takes for covered and is there no more: evicted, or dropped since it was bad.

A flight lasts for as long as a film is read, and most of what it counts on is in packs: of before, or its own. Its
reader cannot tell what has gone from what has not come yet, and would wait for ever; that it waits, twice at the same
byte, is the sign by which it is looked for. So is one who comes for a byte that is there as far as the flight knows,
and that none of its own pieces has: he has not found it.
"""

from dataclasses import replace

from edge.fill.finding import wanted
from edge.fill.flight import Flight
from edge.fill.messages import Fetch
from edge.fill.pieces import PackPiece, Piece
from edge.fill.spans import Spans
from edge.store.record import Flag
from edge.store.volume import Volume


def recall(flight: Flight, volume: Volume) -> None:
    """See what is there still; what has gone is brought again for who waits for it, or he asks for it anew."""
    record = flight.record
    if record is None or flight.over:
        return
    if not flight.ranges and not (record.generation and record.flags & Flag.STRONG):
        return  # who asked anew could not go on with it
    flight.pieces = [piece for piece in flight.pieces if _is_there(piece, volume)]
    there = Spans(*((piece.start, piece.start + piece.length) for piece in flight.pieces))
    stored = volume.lookup(flight.name)
    if stored is None or stored.generation != record.generation:
        stored = replace(record, first=None)  # what its name had is another's, or nobody's
    for extent in volume.extents(stored):
        there.add(extent.start, extent.end)
    if not flight.ranges:  # what has come through scratch is there no more once it is read
        for run in flight.runs.under_way:
            for start, end in flight.covered:
                there.add(max(start, run.start), min(end, run.position))
    flight.covered.become(there)
    for reader in list(flight.readers):
        flight.look_after(reader)
        flight.send_back(reader)


def recall_for(fetch: Fetch, flight: Flight, volume: Volume) -> None:
    """Somebody is about to join: is what he asks for there, if the flight thinks so?"""
    start, _ = wanted(fetch, flight.total)
    if flight.ranges and flight.covered.reach(start) > start:
        brought = (piece for piece in flight.pieces if piece.start <= start < piece.start + piece.length)
        if not any(_is_there(piece, volume) for piece in brought):
            recall(flight, volume)


def _is_there(piece: Piece, volume: Volume) -> bool:
    return not isinstance(piece, PackPiece) or piece.pack in volume.packs.all
