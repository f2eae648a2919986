"""What a member of an upstream was seen to do, counted."""

from collections import Counter

from edge.origin.client import Unobserved


class Counting(Unobserved):
    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def resume(self) -> None:
        self.seen["resume"] += 1

    def repeat(self) -> None:
        self.seen["repeat"] += 1

    def pause(self) -> None:
        self.seen["pause"] += 1
