"""What a volume counts, until it is taken for the metrics."""

from collections import Counter as Tally


class Tallies:
    """Counters since the last `take_*`; written in the store thread only."""

    def __init__(self) -> None:
        self.evictions: Tally[str] = Tally()  # extents and objects that left, by reason
        self.evicted_bytes = 0
        self.admissions = 0
        self.rewritten_bytes = 0

    def __repr__(self) -> str:
        return f"<Tallies evictions={dict(self.evictions)} admissions={self.admissions}>"

    def take_evictions(self) -> dict[str, int]:
        """Evictions by reason since the last call."""
        taken, self.evictions = self.evictions, Tally()
        return dict(taken)

    def take_counts(self) -> dict[str, int]:
        """Other counters since the last call, by metric."""
        taken = {
            "edge_cache_evicted_bytes_total": self.evicted_bytes,
            "edge_cache_admissions_total": self.admissions,
            "edge_cache_rewritten_bytes_total": self.rewritten_bytes,
        }
        self.evicted_bytes = self.admissions = self.rewritten_bytes = 0
        return taken
