"""Which objects are asked for most, by looking now and then at what was just answered: the hit path pays nothing."""

from typing import Final

KEPT: Final = 2000  # counters; the rarest half goes when they are full
KEY_MOST: Final = 300  # bytes of a key that are told


class Busiest:
    """Counts of samples, fading: what was busy an hour ago is not busy now."""

    def __init__(self) -> None:
        self._counts: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def saw(self, key: bytes) -> None:
        self._counts[key] = self._counts.get(key, 0.0) + 1.0
        if len(self._counts) > KEPT:
            self._counts = dict(self._ranked()[: KEPT // 2])

    def fade(self, share: float) -> None:
        """Keep a share of each count; what is less than a tenth is forgotten."""
        self._counts = {key: count * share for key, count in self._counts.items() if count * share >= 0.1}

    def top(self, count: int) -> list[tuple[str, float]]:
        """(cache key, its share of the samples), the busiest first."""
        total = sum(self._counts.values()) or 1.0
        return [(key[:KEY_MOST].decode("latin-1"), seen / total) for key, seen in self._ranked()[:count]]

    def _ranked(self) -> list[tuple[bytes, float]]:
        return sorted(self._counts.items(), key=lambda entry: (-entry[1], entry[0]))
