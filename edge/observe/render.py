"""`/metrics`: the cells of all processes, summed, in Prometheus' text format (by prometheus-client)."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.observe import catalogue
from edge.observe.catalogue import CATALOGUE, Type
from edge.observe.slots import SlotReader

Labels = tuple[str, ...]


class SlotCollector(Collector):
    """Sums the cells of all slot files at each scrape."""

    def __init__(self, readers: Sequence[SlotReader]) -> None:
        self._readers = readers

    def collect(self) -> Iterable[Metric]:
        counts: dict[str, dict[Labels, float]] = defaultdict(lambda: defaultdict(float))
        for reader in self._readers:
            for metric, labels, count, value in reader.cells():
                name, _, part = metric.partition(":")
                known = catalogue.BY_NAME.get(name)
                if known is not None:
                    as_float = known.type is Type.GAUGE or part == "s"
                    amount = value if as_float else count
                    if known.shared:
                        counts[metric][labels] = max(counts[metric][labels], amount)
                    else:
                        counts[metric][labels] += amount
        for metric_ in CATALOGUE:
            yield from _family(metric_, counts)


def _family(metric: catalogue.Metric, counts: dict[str, dict[Labels, float]]) -> Iterator[Metric]:
    if metric.type is Type.HISTOGRAM:
        yield _histogram(metric, counts)
        return
    series = counts.get(metric.name, {})
    for labels in metric.zero:
        series.setdefault(labels, 0.0)
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.type is Type.COUNTER:
        family = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(series.items()):
        family.add_metric(labels, value)
    yield family


def _histogram(metric: catalogue.Metric, counts: dict[str, dict[Labels, float]]) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    cells = counts.get(metric.name + ":b", {})
    bounds = (*metric.buckets, float("inf"))
    for labels in sorted({key[:-1] for key in cells}):
        total = 0.0
        buckets = []
        for bound in bounds:
            total += cells.get((*labels, repr(bound)), 0.0)
            buckets.append(("+Inf" if bound == float("inf") else repr(bound), total))
        family.add_metric(labels, buckets, counts.get(metric.name + ":s", {}).get(labels, 0.0))
    return family


class Scrape:
    """Renders all slot files."""

    def __init__(self, readers: Sequence[SlotReader]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(SlotCollector(readers))

    def render(self) -> bytes:
        return generate_latest(self._registry)
