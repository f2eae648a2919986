"""Is the store's thread held up in one call? A disk that does not answer is as bad as one that fails.

The thread says when a call begins and ends; the loop asks at regular times. What counts is how often it has asked
during the same call, not what the clock says: a machine that stood still, or a loop that was late itself, has seen
nothing of the disk.
"""

from typing import Final

LATE_SECONDS: Final = 2.0  # a first byte has 9.5: enough is left for another way
LOOKS: Final = 8  # within that time


class Patience:
    """Of one thread."""

    def __init__(self) -> None:
        self._begun = self._ended = 0  # calls; the thread writes, the loop reads
        self._seen = -1
        self._looks = 0

    def __repr__(self) -> str:
        return f"<Patience call {self._begun} looks={self._looks}>"

    def __enter__(self) -> None:
        """The thread goes into a call."""
        self._begun += 1

    def __exit__(self, *_: object) -> None:
        self._ended = self._begun

    @property
    def call(self) -> int:
        """The number of the one that is under way, or was the last."""
        return self._begun

    @property
    def over(self) -> bool:
        """Does the call under way take too long?"""
        return self._looks >= LOOKS and self._begun == self._seen != self._ended

    def look(self) -> bool:
        """Once in LATE_SECONDS / LOOKS. True when it is over, and again each time that so much has passed."""
        same = self._begun == self._seen != self._ended
        self._looks = self._looks + 1 if same else 0
        self._seen = self._begun
        return self.over and self._looks % LOOKS == 0
