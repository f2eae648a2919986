"""Checksums of a stretch while it is being written, block by block, in whatever chunks the bytes come."""

import xxhash


class Summing:
    """XXH3-64 of each block from object position `start` on; bytes must come in order.

    Blocks end at multiples of `slice_size` in the object (DESIGN section 9), the last one where `cut` says.
    """

    __slots__ = ("_at", "_hash", "_opened", "_slice_size", "sums")

    def __init__(self, start: int, slice_size: int) -> None:
        self._at = start
        self._opened = start
        self._slice_size = slice_size
        self._hash = xxhash.xxh3_64()
        self.sums: list[int] = []

    def add(self, data: memoryview) -> None:
        """Take the next bytes in order."""
        while data:
            border = self._at - self._at % self._slice_size + self._slice_size
            part = data[: border - self._at]
            self._hash.update(part)
            self._at += len(part)
            data = data[len(part) :]
            if self._at == border:
                self._close_block()

    def cut(self) -> tuple[int, ...]:
        """The stretch ends here: close the block under way and return all sums."""
        if self._at > self._opened:
            self._close_block()
        return tuple(self.sums)

    def _close_block(self) -> None:
        self.sums.append(self._hash.intdigest())
        self._hash = xxhash.xxh3_64()
        self._opened = self._at
