"""Which series exist before their first event.

`rate()` needs two points: a counter that appears with its first event hides that event. A small family therefore
starts at 0, for all its label values that are known: closed labels from the catalogue, and for each volume and
upstream those that any series has named. Gauges are left to their owners: a 0 that nobody measured would be a lie.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from edge.observe.catalogue import ZERO_LIMIT
from edge.observe.metric import Metric, Type

Labels = tuple[str, ...]
# Sets of open labels whose values, once seen together, let other families start. Not the sites: they are many.
NAMES: Final[tuple[Labels, ...]] = (("volume",), ("upstream",), ("upstream", "member"))


def known_names(series: Mapping[Metric, Iterable[Labels]]) -> dict[Labels, set[Labels]]:
    """The values that were seen of each set of NAMES, and the one (empty) value of no names at all."""
    known: dict[Labels, set[Labels]] = {(): {()}}
    for names in NAMES:
        seen = known[names] = set()
        for metric, found in series.items():
            if set(names) <= set(metric.label_names):
                places = [metric.label_names.index(name) for name in names]
                seen.update(tuple(labels[place] for place in places) for labels in found)
    return known


def starting_at_zero(metric: Metric, known: Mapping[Labels, set[Labels]]) -> list[Labels]:
    """The label values with which a family starts; none where it is a gauge, too large, or of unknown names."""
    if metric.type is Type.GAUGE:
        return []
    names = known.get(metric.open_labels, set())
    start = [labels for values in names for labels in _starts(metric, values)]
    return start if len(start) <= ZERO_LIMIT else []


@lru_cache(maxsize=10_000)
def _starts(metric: Metric, values: Labels) -> tuple[Labels, ...]:
    """Asked at each scrape; as many as there are volumes, upstreams and members."""
    return metric.combinations(values)
