"""A bounded memory for the hit path: two dictionaries, the older one dropped when the newer one is full.

What was asked for lately is in the newer one. A look-up costs one dictionary access (0.1 us; an LRU cache in Python
costs 1.5), and at most twice the limit is held. What is only offered gets in when it comes a second time: most objects
are asked for once, and remembering them would strew short-lived memory among that of what stays.
"""

from array import array
from typing import Final, Generic, TypeVar

DOORS: Final = 1 << 15  # hashes of what was offered, each in the place that follows from it: the last one there

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers at least the last `limit` keys that were put or found."""

    __slots__ = ("_limit", "_new", "_offered", "_old")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._offered = array("q")  # made when something is

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def get(self, key: K) -> V | None:
        """The value of a key, None when it is not remembered."""
        found = self._new.get(key)
        if found is None and (found := self._old.pop(key, None)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, {}
        self._new[key] = value

    def offer(self, key: K, value: V) -> None:
        """Put it, if it was offered before: that is known for some 30,000 other offers, more or less."""
        mark = hash(key)
        if not self._offered:
            self._offered = array("q", bytes(8 * DOORS))
        if self._offered[mark & (DOORS - 1)] == mark:
            self.put(key, value)
        else:
            self._offered[mark & (DOORS - 1)] = mark
