"""Which playlists and manifests a site has, by directory: where to look for what follows a segment."""

from collections.abc import Iterator
from typing import Final

from edge.delivery.memory import Memory
from edge.media.upcoming import directory

DIRECTORIES: Final = 2048  # of lists that were asked for lately: twice as many are held at most
LISTS_MOST: Final = 4  # of one directory: its renditions, or one list with several queries
TARGET_MOST: Final = 1024  # bytes: with what is longer players could fill a worker's memory
LEVELS: Final = 3  # directories upwards in which a segment's list is looked for


class Lists:
    """Of one worker: it knows the lists that players have asked it for."""

    def __init__(self) -> None:
        self._known: Memory[tuple[str, bytes], list[bytes]] = Memory(DIRECTORIES)

    def __repr__(self) -> str:
        return f"<Lists in {len(self._known)} directories>"

    def note(self, site: str, target: bytes) -> None:
        """A list was asked for; called when a target is resolved, not for each request."""
        if len(target) > TARGET_MOST:
            return
        key = site, directory(target)
        known = self._known.get(key) or []
        others = [each for each in known if each != target]
        self._known.put(key, [target, *others][:LISTS_MOST])

    def near(self, site: str, target: bytes) -> Iterator[bytes]:
        """Lists that may name a segment: those of its directory, the latest first, then of those above it."""
        place = directory(target)
        for _ in range(LEVELS):
            yield from self._known.get((site, place)) or ()
            if len(place) <= 1:
                return
            place = directory(place[:-1])
