"""How much a disk may be written in a day: an SSD wears out by it."""

from edge.errors import NotAdmitted
from edge.store.popularity import Popularity

DAY_SECONDS = 86400
OFF_DAYS = 31  # that a node may be off; after more it is the clock that is wrong
SPENT = b"spent"  # in the index's table `meta`: `mark`, written with each commit
_DAY = 1 << 56  # more bytes than a day has room for


class WriteBudget:
    """Counts a UTC day's bytes (in `Popularity`, so that a restart does not forget them); 0 = no bound."""

    def __init__(self, daily: int, popularity: Popularity) -> None:
        self._daily, self._popularity = daily, popularity
        self._seen: float | None = None  # the clock, when it was last looked at

    def __repr__(self) -> str:
        return f"<WriteBudget {self._popularity.spent:.0f} of {self._daily}>"

    def spend(self, length: int, now: float) -> None:
        self._turn(now)
        self._popularity.spent += length

    def written(self, now: float) -> float:
        """Bytes of the day so far."""
        self._turn(now)
        return self._popularity.spent

    def _turn(self, now: float) -> None:
        """A new day begins with nothing; one to which the clock was set goes on with what was written."""
        day, known = int(now // DAY_SECONDS), self._popularity.day
        if day != known:
            self._popularity.day = day
            if self._is_over(day, known, now):
                self._popularity.spent = 0.0
        self._seen = now

    def _is_over(self, day: int, known: int, now: float) -> bool:
        if self._seen is None:  # nobody knows how long this was off
            return not known or 0 <= day - known <= OFF_DAYS
        return 0 <= now - self._seen <= DAY_SECONDS

    @property
    def mark(self) -> int:
        """Day and bytes in one number, for `recall`."""
        return self._popularity.day * _DAY + int(self._popularity.spent)

    def recall(self, mark: int) -> None:
        """What was written down at a commit; the file of popularity is up to an hour older, or newer."""
        if mark > self.mark:
            self._seen = None
            self._popularity.day, self._popularity.spent = mark // _DAY, float(mark % _DAY)

    def tightness(self, now: float) -> float:
        """0 until half of the day's bytes are written, then rising to 1 = all of them."""
        return min(1.0, max(0.0, 2 * self.written(now) / self._daily - 1)) if self._daily else 0.0

    def check(self, score: float, now: float) -> None:
        """NotAdmitted: what is wanted so little is not worth a write today."""
        tight = self.tightness(now)
        if tight and (tight == 1.0 or score + 1 <= max(1.0, self._popularity.level) * tight / (1 - tight)):
            raise NotAdmitted("the day's bytes for writing are nearly used up")
