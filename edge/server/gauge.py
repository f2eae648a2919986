"""Does a reader take what it is sent? Judged over spans, from how far it has got."""


class DrainGauge:
    """Fed at every sweep while data waits for the client; speaks once per span.

    `position` is how many bytes the client's kernel has acknowledged: what waits in our own send queue does
    not count as taken, and the kernel's habit of waking a writer only when a third of its queue is free does
    not make a steady reader look stuck.
    """

    __slots__ = ("_mark", "_since")

    def __init__(self, position: int, now: float) -> None:
        self._mark = position
        self._since = now

    def __repr__(self) -> str:
        return f"<DrainGauge since={self._since} mark={self._mark}>"

    def too_slow(self, position: int, now: float, rate: int, span: float) -> bool:
        """Were fewer than `rate` bytes a second taken over a whole span? A good span begins the next."""
        elapsed = now - self._since
        if elapsed < span:
            return False
        if position - self._mark < rate * elapsed:
            return True
        self._mark, self._since = position, now
        return False
