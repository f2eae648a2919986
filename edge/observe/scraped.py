"""A scrape's text back into a reading, for who is not the process that made it."""

from collections.abc import Iterable
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from edge.observe.catalogue import BY_NAME
from edge.observe.metric import Metric, Type
from edge.observe.overview import Reading
from edge.observe.slots import Labels, Value


def read(text: str) -> Reading:
    """By metric and label values; what this version's catalogue does not know is left out. ValueError: no scrape."""
    reading: dict[str, dict[Labels, Value]] = {}
    for family in text_string_to_metric_families(text):
        metric = BY_NAME.get(family.name) or BY_NAME.get(family.name + "_total")
        if metric is None:
            continue
        if metric.type is Type.HISTOGRAM:
            reading[metric.name] = _histograms(metric, family.samples)
        else:
            reading[metric.name] = {_labels(metric, sample): sample.value for sample in family.samples}
    return reading


def _labels(metric: Metric, sample: Sample) -> Labels:
    return tuple(sample.labels.get(name, "") for name in metric.label_names)


def _histograms(metric: Metric, samples: Iterable[Sample]) -> dict[Labels, Value]:
    buckets: dict[Labels, list[float]] = {}
    sums: dict[Labels, float] = {}
    for sample in samples:
        labels = _labels(metric, sample)
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, [0.0]).append(sample.value)
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    return {
        labels: (*(high - low for low, high in pairwise(upto)), sums.get(labels, 0.0))
        for labels, upto in buckets.items()
        if len(upto) == metric.width
    }
