"""What a flight takes for covered and is there no more: evicted, or dropped since it was bad.

A flight lasts for as long as a film is read, and most of what it counts on is in packs: of before, or its own. Its
reader cannot tell what has gone from what has not come yet, and would wait for ever; that it waits, twice at the same
byte, is the sign by which it is looked for.
"""

from dataclasses import replace

from edge.fill.flight import Flight
from edge.fill.pieces import PackPiece
from edge.fill.spans import Spans
from edge.store.volume import Volume


def recall(flight: Flight, volume: Volume) -> None:
    """See what is there still; what has gone is brought again for who waits for it."""
    record = flight.record
    if record is None or not flight.ranges or flight.over:
        return
    packs = volume.packs.all
    flight.pieces = [piece for piece in flight.pieces if not isinstance(piece, PackPiece) or piece.pack in packs]
    there = Spans(*((piece.start, piece.start + piece.length) for piece in flight.pieces))
    stored = volume.lookup(flight.name)
    if stored is None or stored.generation != record.generation:
        stored = replace(record, first=None)  # what its name had is another's, or nobody's
    for extent in volume.extents(stored):
        there.add(extent.start, extent.end)
    flight.covered.become(there)
    for reader in list(flight.readers):
        flight.look_after(reader)
