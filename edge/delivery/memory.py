"""A bounded memory for the hit path: two dictionaries, the older one dropped when the newer one is full.

What was asked for lately is in the newer one. A look-up costs one dictionary access (0.1 us; an LRU cache in Python
costs 1.5), and at most twice the limit is held. What is only offered gets in when it comes a second time: most objects
are asked for once, and remembering them would strew short-lived memory among that of what stays.
"""

from typing import Final, Generic, TypeVar

DOORS: Final = 1 << 17  # marks of what was offered once: with 20,000 of them one in seven finds another's
_DOOR: Final = DOORS - 1

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers at least the last `limit` keys that were put or found."""

    __slots__ = ("_limit", "_new", "_offered", "_old", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._seen = bytearray()  # made when something is offered
        self._offered = 0  # marks in it

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
        """Put it, if it was offered before: among the last `limit` others that were offered for the first time."""
        door = hash(key) & _DOOR
        if self._offered and self._seen[door]:
            self.put(key, value)
            return
        if self._offered >= self._limit or not self._seen:
            self._seen, self._offered = bytearray(DOORS), 0
        self._seen[door] = 1
        self._offered += 1
