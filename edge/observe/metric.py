"""What a metric is: the shape of one entry of the catalogue."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """`values` = all that it ever has; empty for one whose values are operators' names or HTTP codes."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A label given as a plain word is one whose values only a running edge knows.

    `shared`: every process says the same, or the worst one counts: the highest value holds, not the sum. `lasting`
    marks a gauge that stays true while its process is being replaced.
    """

    name: str
    type: Type
    help: str
    given: tuple[Label | str, ...] = ()
    buckets: tuple[float, ...] = ()
    shared: bool = False
    lasting: bool = False

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(Label(label) if isinstance(label, str) else label for label in self.given)

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @property
    def open_labels(self) -> tuple[str, ...]:
        """The labels whose values only a running edge knows."""
        return tuple(label.name for label in self.labels if not label.values)

    @property
    def real(self) -> bool:
        """Its cells hold f64; u64 otherwise, which counts exactly however large it grows."""
        return self.type is Type.GAUGE or self.name.endswith("_seconds_total")

    @property
    def width(self) -> int:
        """Cells of one series: a histogram has one a bucket, one for +Inf, and one (f64) for the sum."""
        return len(self.buckets) + 2 if self.type is Type.HISTOGRAM else 1

    def combinations(self, known: tuple[str, ...] = ()) -> tuple[tuple[str, ...], ...]:
        """All label values, with `known` for the open labels, in their order."""
        given = iter(known)
        return tuple(product(*(label.values or (next(given),) for label in self.labels)))
