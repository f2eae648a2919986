"""What a member has served lately: what a check asks for while nobody else does.

Not what was asked for last: that is what failed when the breaker opened, and one URL that hangs or says 503 would keep
a member away for ever. Not one URL either: what was served an hour ago may be what fails now (a packager that has
died), so checks go round, over directories and the root.
"""

from typing import Final

from edge.origin.settings import UpstreamRequest

MOST: Final = 4  # directories: with the root five checks go round, half a minute while pauses grow
ROOT: Final = UpstreamRequest(b"GET", b"/")


class Served:
    """The last request that was answered of each of the last few directories."""

    __slots__ = ("_lately",)

    def __init__(self) -> None:
        self._lately: dict[bytes, UpstreamRequest] = {}  # by directory, the last one at the end

    def __repr__(self) -> str:
        return f"<Served {[request.target for request in self._lately.values()]}>"

    def __bool__(self) -> bool:
        """Is anything known to be served?"""
        return bool(self._lately)

    def note(self, request: UpstreamRequest) -> None:
        """A player's GET was answered."""
        directory = request.target.partition(b"?")[0].rpartition(b"/")[0]
        self._lately.pop(directory, None)
        self._lately[directory] = request
        if len(self._lately) > MOST:
            del self._lately[next(iter(self._lately))]

    def after(self, checks: int) -> UpstreamRequest:
        """What the next check asks for after so many that failed: what was served last at first, the root at last."""
        round_ = (*reversed(self._lately.values()), ROOT)
        return round_[checks % len(round_)]
