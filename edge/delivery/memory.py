"""A bounded memory for the hit path: two dictionaries, the older one dropped when the newer one is full.

What was asked for lately is in the newer one. A look-up costs one dictionary access (0.1 us; an LRU cache in Python
costs 1.5), and at most twice the limit is held. What is only offered gets in when it comes a second time.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from edge.store.doorkeeper import Doorkeeper

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers at least the last `limit` keys that were put or found."""

    __slots__ = ("_door", "_limit", "_new", "_old")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._door: Doorkeeper | None = None  # made when something is offered

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
        """Put it, if it was offered before."""
        if self._door is None:
            self._door = Doorkeeper()
        if self._door.admits(key):
            self.put(key, value)
