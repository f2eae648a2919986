"""Where the live edge is: the directories in which live playlists have come lately.

What is missing beside or below one will come, and a player that asks for a segment there is at the live edge.
"""

from typing import Final

from edge.clock import Clock

LIVE_SECONDS: Final = 60.0  # a live playlist changes every few seconds
DIRECTORIES_MOST: Final = 4096
LEVELS: Final = 4  # directories up from a segment in which its playlist may lie


class LiveDirectories:
    """Plain look-ups, at most `LEVELS` of them: each miss of a segment asks. The ones noted longest ago go first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noted: dict[tuple[str, bytes], float] = {}

    def __repr__(self) -> str:
        return f"<LiveDirectories {len(self._noted)}>"

    def note(self, site: str, path: bytes) -> None:
        """A live playlist has come."""
        place = site, path.rpartition(b"/")[0]
        self._noted.pop(place, None)
        self._noted[place] = self._clock.monotonic()
        if len(self._noted) > DIRECTORIES_MOST:
            del self._noted[next(iter(self._noted))]

    def has(self, site: str, path: bytes) -> bool:
        """Does a path lie beside or below a live playlist? Those of another volume are another keeper's to know."""
        if not self._noted:
            return False
        for _ in range(LEVELS):
            path = path.rpartition(b"/")[0]
            noted_at = self._noted.get((site, path))
            if noted_at is not None and self._clock.monotonic() - noted_at < LIVE_SECONDS:
                return True
        return False
