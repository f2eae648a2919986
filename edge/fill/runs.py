"""Which runs of a flight are under way, and which begin: for its readers, and for leases. Decides, starts nothing.

For a reader they begin hole by hole, as far as it may be read ahead for. What a lease wants waits in a line of its own
while too many are under way. What has failed is not begun again for who needs something else first.
"""

from edge.fill.leases import By, Leases
from edge.fill.messages import UNKNOWN
from edge.fill.readers import Reader, Run
from edge.fill.settings import FillSettings
from edge.fill.spans import Spans


class Runs:
    """Of one flight; `covered` is what has come. Runs that are returned count as under way: they are to be started."""

    def __init__(self, settings: FillSettings, slice_size: int, covered: Spans) -> None:
        self._settings = settings
        self._slice_size = slice_size
        self._covered = covered
        self._leases = Leases()
        self._failed = Spans()  # what runs have not brought
        self.under_way: list[Run] = []

    def __repr__(self) -> str:
        return f"<Runs {self.under_way} {self._leases}>"

    def add(self, run: Run) -> None:
        """One that begins without being asked for here: the first one."""
        self.under_way.append(run)

    def serve(self, reader: Reader, total: int) -> list[Run]:
        """Runs for the holes before a reader that no run brings, and that are near enough.

        What has failed is begun again for who needs it next, and fails with it; for who needs something else first it
        would be begun again and again until that has come.
        """
        begun: list[Run] = []
        first = gap = reader.missing(self._covered)
        while gap is not None:
            start, end = gap
            if gap is not first and self._failed.reach(start) > start:
                break
            if not reader.may_have(start, self._settings) or len(self.under_way) >= self._settings.runs_per_flight:
                break
            bringing = self._bringing(start)
            if bringing is None:
                bringing = self._begin(start, end, total, begun)
            if bringing.end == UNKNOWN or bringing.end >= reader.end:
                break
            gap = self._covered.gap(bringing.end, reader.end)
        return begun

    def lease(self, by: By, start: int, end: int, total: int) -> list[Run]:
        """A lease begins or goes on: in as few runs as there are holes; what is too much now comes after it."""
        self._leases.extend(by, start, end, self.under_way)
        return self.go_on(total)

    def withdraw(self, by: By) -> None:
        """A lease is over: what was brought for it alone is not asked for any further."""
        self._leases.withdraw(by, self.under_way)

    def go_on(self, total: int) -> list[Run]:
        """Runs for what leases want, as many as there may be."""
        begun: list[Run] = []
        for waiting in self._leases.waiting:
            while waiting:
                start, end = waiting[0]
                reached = self._begin_stretch(start, end, total, begun)
                if reached < end:
                    waiting[0] = reached, end
                    return begun
                waiting.popleft()
        return begun

    def failed(self, run: Run) -> None:
        """A run is broken for good."""
        if run.end != UNKNOWN:
            self._failed.add(run.position, run.end)
        if run.ahead:
            self._leases.failed(run)

    def ended(self, run: Run) -> None:
        """A run is over."""
        if run in self.under_way:
            self.under_way.remove(run)

    def ends_with(self, run: Run) -> bool:
        """Is this run the last one, as far as anybody knows?"""
        return self.under_way == [run] and not self._leases.waiting

    def _bringing(self, position: int) -> Run | None:
        return next((run for run in self.under_way if run.brings(position)), None)

    def _begin_stretch(self, start: int, end: int, total: int, begun: list[Run]) -> int:
        """Have it brought; returns up to where, as there may be too many runs. What fails is not begun anew for it."""
        gap = self._covered.gap(start, min(end, total))
        while gap is not None:
            low = gap[0]
            bringing = self._bringing(low)
            if bringing is None:
                if len(self.under_way) >= self._settings.runs_per_flight // 2:
                    return low
                bringing = self._begin(*gap, total, begun, ahead=True)
            if bringing.end == UNKNOWN:
                break
            gap = self._covered.gap(bringing.end, min(end, total))
        return end

    def _begin(self, start: int, end: int, total: int, begun: list[Run], *, ahead: bool = False) -> Run:
        low = max(start - start % self._slice_size, self._covered.before(start))
        high = min(end + -end % self._slice_size, total, low + self._settings.run_max)
        for run in self.under_way:
            if run.start > start:
                high = min(high, run.start)
            else:
                low = max(low, run.end)
        beyond = self._covered.gap(start, high)
        if beyond is not None:
            high = min(high, beyond[1])
        run = Run(low, high, ahead=ahead)
        self.under_way.append(run)
        begun.append(run)
        return run
