"""Two published results that need no trace, repeated by the referee: if these fail, no other figure is to be trusted.

- LRU under independent requests: the characteristic time (Che, Tung, Wang: "Hierarchical Web caching systems",
  IEEE JSAC 2002; its precision: Fricker, Robert, Roberts, ITC 2012).
- FIFO hits as often as random replacement (Gelenbe, IEEE Transactions on Computers 1973), which the same time tells
  (Martina, Garetto, Leonardi, INFOCOM 2014).
"""

import numpy as np

from benchmarks.policies.referee import Referee, Requests
from benchmarks.policies.workload import UNIT, Floats

OBJECTS, REQUESTS, SHARE = 20_000, 1_500_000, 0.05


def _solve(weights: Floats, size: float, *, lru: bool) -> float:
    """The hit ratio at which the expected content fills the cache; the time is found by halving."""
    low, high = 0.0, 1e12
    for _ in range(200):
        time = (low + high) / 2
        held = 1 - np.exp(-weights * time) if lru else weights * time / (1 + weights * time)
        low, high = (time, high) if held.sum() < size else (low, time)
    return float((weights * held).sum())


def repeat(exponent: float, seed: int = 1) -> dict[str, dict[str, float]]:
    """Per policy: what is published, and what the referee finds."""
    weights = np.arange(1, OBJECTS + 1, dtype=float) ** -exponent
    weights /= weights.sum()
    objects = np.random.default_rng(seed).choice(OBJECTS, REQUESTS, p=weights).astype(np.int64)
    size = int(SHARE * OBJECTS)
    marks = np.array([0, REQUESTS // 3, REQUESTS])
    found = {}
    with Referee(Requests(objects, np.full(REQUESTS, UNIT))) as referee:
        for policy in ("LRU", "FIFO"):
            published = _solve(weights, size, lru=policy == "LRU")
            measured = float(referee.run(policy, size * UNIT, marks)[1])
            found[policy] = {"published": published, "measured": measured}
    return found
