"""The reference of all metrics, rendered from the catalogue: `python -m edge.observe.reference > deploy/METRICS.md`."""

import sys
from collections.abc import Iterator
from typing import Final

from edge.observe.catalogue import CACHE, CATALOGUE, EXPERIENCE, PLAYERS, PROCESSES, UPSTREAMS
from edge.observe.metric import Label, Metric, Type

INTRO: Final = """\
# Metrics

Rendered from the catalogue in `edge/observe/catalogue.py`. One scrape of the admin listener's `/metrics` has the
figures of all processes together; counters go on when a process is replaced. A family of at most 100 series starts
at 0, a larger one appears series by series. `site`, `upstream`, `member` and `volume` are names from the
configuration (beyond 100 sites: `other`), `code` is the exact status; where a node stands and what it is called
are labels of the scrape's target.
"""
CHAPTERS: Final = (
    ("Players", PLAYERS),
    ("Cache", CACHE),
    ("Upstreams", UPSTREAMS),
    ("What players tell of themselves (CMCD)", EXPERIENCE),
    ("Processes", PROCESSES),
)


def render() -> str:
    """The text of `deploy/METRICS.md`."""
    return "\n".join((INTRO, *_chapters()))


def _chapters() -> Iterator[str]:
    for title, metrics in CHAPTERS:
        yield f"## {title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|"
        for metric in metrics:
            labels = ", ".join(f"`{label.name}`" for label in metric.labels) or "-"
            yield f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |"
        yield ""
    yield "## Label values and buckets\n\n| label | of | values |\n|---|---|---|"
    for label, names in _closed().items():
        values = ", ".join(f"`{value}`" for value in label.values)
        yield f"| `{label.name}` | {', '.join(f'`{name}`' for name in names)} | {values} |"
    yield "\n| histogram | upper bounds |\n|---|---|"
    for metric in CATALOGUE:
        if metric.type is Type.HISTOGRAM:
            yield f"| `{metric.name}` | {', '.join(f'{bound:,g}' for bound in metric.buckets)} |"
    yield ""


def _closed() -> dict[Label, list[str]]:
    """Each set of label values, with the metrics that have it."""
    found: dict[Label, list[str]] = {}
    for metric in CATALOGUE:
        for label in metric.labels:
            if label.values:
                found.setdefault(label, []).append(_short(metric))
    return found


def _short(metric: Metric) -> str:
    return metric.name.removeprefix("edge_")


if __name__ == "__main__":
    sys.stdout.write(render())
