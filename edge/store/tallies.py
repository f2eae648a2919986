"""What a volume counts, until it is taken for the metrics."""

from collections import Counter as Tally

from edge.store.packs import Packs
from edge.words import Damage


class Tallies:
    """Counters since the last `take_*`; written in the store thread only."""

    def __init__(self) -> None:
        self.evictions: Tally[str] = Tally()  # extents and objects that left, by reason
        self.evicted_bytes: Tally[str] = Tally()
        self.admissions = 0  # parts of fills that were committed
        self.admitted_bytes = 0
        self.ages: list[float] = []  # of evicted packs, in seconds
        self.rewritten_bytes = 0
        self.refused = 0  # parts of fills, for the bound on daily writes
        self.damage: Tally[Damage] = Tally()  # what proved bad, by what is wrong with it

    def __repr__(self) -> str:
        return f"<Tallies evictions={dict(self.evictions)} admissions={self.admissions}>"

    def take_evictions(self) -> dict[str, int]:
        """Evictions by reason since the last call."""
        taken, self.evictions = self.evictions, Tally()
        return dict(taken)

    def take_damage(self) -> dict[Damage, int]:
        """What proved bad since the last call, but for what workers report."""
        taken, self.damage = self.damage, Tally()
        return dict(taken)

    def take_ages(self) -> list[float]:
        """How long ago each pack that was evicted since the last call had been written last, in seconds."""
        taken, self.ages = self.ages, []
        return taken

    def evicted(self, reason: str, count: int, length: int) -> None:
        """So many extents or objects have left, with so many bytes."""
        self.evictions[reason] += count
        self.evicted_bytes[reason] += length

    def take_counts(self, packs: Packs) -> dict[tuple[str, ...], int]:
        """Other counters since the last call, by metric and labels after the volume's."""
        counts = self.admissions, self.refused, self.admitted_bytes, self.rewritten_bytes
        self.admissions = self.refused = self.admitted_bytes = self.rewritten_bytes = 0
        gone, self.evicted_bytes = self.evicted_bytes, Tally()
        admitted, refused, admitted_bytes, rewritten_bytes = counts
        return {
            ("edge_cache_admissions_total", "admitted"): admitted,
            ("edge_cache_admissions_total", "refused"): refused,
            ("edge_cache_admitted_bytes_total",): admitted_bytes,
            ("edge_cache_written_bytes_total",): packs.take_written_bytes(),
            ("edge_cache_rewritten_bytes_total",): rewritten_bytes,
            **{("edge_cache_evicted_bytes_total", reason): count for reason, count in gone.items()},
        }
