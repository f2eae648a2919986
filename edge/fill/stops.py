"""How far a run goes: to its end for those who wait for it, else no further than a slice's border or what is cheap."""

import asyncio

from edge.fill.flight import Flight
from edge.fill.keeping import Keeping
from edge.fill.messages import UNKNOWN
from edge.fill.readers import Run
from edge.fill.shop import Shop
from edge.fill.spread import Spread


class Stop:
    """Of one run. `reached`: it has stopped short of its end, since nobody wants more; that is no break."""

    def __init__(self, shop: Shop, flight: Flight, run: Run, keeping: Keeping) -> None:
        self._flight, self._run, self._keeping = flight, run, keeping
        self._settings = shop.settings
        self.reached = False
        self.bringing: Spread | None = None  # pieces, of which those that were asked for still come
        self._yields = False  # nobody has read for long: to the next border, and no further

    def __repr__(self) -> str:
        return f"<Stop of {self._run} at {self._run.stop_at} reached={self.reached}>"

    async def wait(self) -> None:
        """Stay within `ahead` of the furthest reader; with nobody left, see whether to finish or to stop."""
        flight, run = self._flight, self._run
        while True:
            run.moved.clear()
            if self.look() or self._yields or flight.may_go_on(run):
                return
            try:
                async with asyncio.timeout(self._settings.pause_limit):
                    await run.moved.wait()
            except TimeoutError:
                self._give_back()

    def look(self) -> bool:
        """Does nobody want more of it than has come? Then it stops here."""
        run = self._run
        self._set()
        if run.stop_at == UNKNOWN or run.position < run.stop_at:
            return False
        self.reached = not run.done
        return True

    def _give_back(self) -> None:
        """Its readers do not read: the connection is wanted elsewhere, and they get another run when they read on.

        Pieces have given theirs back already, and what has come of them would be asked for again.
        """
        run = self._run
        if self._flight.ranges and run.end != UNKNOWN and self.bringing is None:
            run.stop_at, self._yields = self._next_border(), True

    def until(self) -> int:
        """Up to where more may be asked for now."""
        if self._run.withdrawn:
            self._set()
            return self._run.stop_at
        return self._run.end

    def _set(self) -> None:
        flight, run, keep = self._flight, self._run, self._keeping.keep
        if self._yields:
            return
        goes_on = (run.ahead and keep) or (flight.background and (keep or not flight.unasked))
        goes_on = goes_on or (flight.gathers and keep and run.end == flight.total)  # the other pieces come
        if not goes_on and run.withdrawn:
            run.stop_at = self._wanted_of_withdrawn()
            return
        if goes_on or next(flight.readers_of(run), None) is not None:
            run.stop_at = run.end
            return
        if run.end == UNKNOWN or not keep:
            run.stop_at = run.position
            return
        left, length = run.end - run.position, run.end - run.start
        # Without ranges a stopped fill is lost and the next one begins anew: that wastes more.
        little = left <= flight.slice_size or left <= length * self._settings.finish_share
        if little or (not flight.ranges and left <= self._settings.run_max):
            run.stop_at = run.end
        elif run.stop_at == run.end:
            run.stop_at = self._next_border() if flight.ranges else run.position

    def _wanted_of_withdrawn(self) -> int:
        """A lease has ended: what is asked for comes, and what its readers want, to the ends of the slices."""
        run, size = self._run, self._flight.slice_size
        asked = self.bringing.asked if self.bringing is not None else run.position
        wanted = max(self._next_border(), asked - asked % size)
        for reader in self._flight.readers_of(run):
            wanted = run.end if reader.end == UNKNOWN else max(wanted, reader.end + -reader.end % size)
        return min(run.end, wanted)

    def _next_border(self) -> int:
        run, size = self._run, self._flight.slice_size
        return min(run.end, run.position + -run.position % size)
