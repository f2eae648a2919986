"""The sizes and limits of the fill, with the reason for each."""

from dataclasses import dataclass

from edge.words import KIB, MIB


@dataclass(frozen=True, slots=True)
class FillSettings:
    """Bounds of flights, runs and scratch; sizes in bytes, times in seconds."""

    run_max: int = 16 * MIB  # one origin request: several seconds of 4K video, and the most one extent holds
    ahead: int = 16 * MIB  # how far a fill may be past its furthest reader: BDP of 300 Mbit/s x 250 ms, twice
    ahead_most: int = 128 * MIB  # the same for a reader that waits for us, or is fast: one piece that lags is 2 s of it
    runs_per_flight: int = 8  # readers of one object that seek to different places
    memory_limit: int = 256 * KIB  # larger bodies of unknown length go to a pack
    live_below: float = 60.0  # shorter lives are kept in the shared-memory table
    inline_limit: int = 64 * KIB  # what one message may carry
    announce_bytes: int = 256 * KIB  # a reader hears of new bytes after so many ...
    announce_seconds: float = 0.005  # ... or after so long
    parallel_max: int = 96  # pieces of one run under way at a time, on a far path
    spread_total: int = 256 * MIB  # held in pieces by all fills together; beyond it each goes on with one
    resume_max: int = 3  # broken bodies in a row without 64 KiB of progress
    pause_limit: float = 10.0  # a run whose readers do not read gives its connection back
    scratch_window: int = 1 * MIB
    scratch_per_request: int = 4 * MIB
    scratch_total: int = 256 * MIB
    pass_memory: int = 10_000  # names known not to be shareable ...
    pass_seconds: float = 60.0  # ... for so long
    sibling_hits: int = 3  # from so many requests on ...
    sibling_window: float = 60.0  # ... within so long we keep what a sibling keeps: a live segment lasts about as long
    rangeless_seconds: float = 600.0
    flights_max: int = 20_000  # beyond it a new miss is refused with 503
    finish_share: float = 0.25  # nobody waits, but so little is left that stopping would waste more
