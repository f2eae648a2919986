"""Pure: in which phase a server is, and when a dead child is replaced."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STABLE_SECONDS: Final = 10.0  # a child that lived so long had started well: its successor comes at once
BACK_OFF_FIRST: Final = 0.1
BACK_OFF_MOST: Final = 5.0  # so that what heals by itself (a disk, a neighbour's port) is found soon
START_TRIES: Final = 3  # before anything was ever served: then an operator is better served by an error


class Phase(StrEnum):
    """One after the other, never back; a server that cannot start goes from STARTING to DRAINING."""

    STARTING = "starting"
    SERVING = "ready"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(slots=True)
class Restarts:
    """The deaths of one place's processes in a row, none of which lived long."""

    failures: int = 0

    def delay_after(self, lived: float) -> float:
        """Seconds to wait before the successor of a process that lived so long starts."""
        self.failures = 1 if lived >= STABLE_SECONDS else self.failures + 1
        if self.failures == 1:
            return 0.0
        doubled: float = BACK_OFF_FIRST * 2 ** min(self.failures - 1, 16)
        return min(doubled, BACK_OFF_MOST)

    @property
    def hopeless(self) -> bool:
        """True when a server that has never served should give up."""
        return self.failures >= START_TRIES
