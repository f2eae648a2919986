"""What all processes have counted, as one summary for people: `edge stats`, `edge top`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from edge.observe.slots import SlotReader

FROM_CACHE: Final = ("hit", "stale", "updating", "revalidated")


def summed(readers: Sequence[SlotReader]) -> dict[str, dict[tuple[str, ...], float]]:
    """metric -> labels -> value; histograms are left out."""
    found: dict[str, dict[tuple[str, ...], float]] = defaultdict(lambda: defaultdict(float))
    for reader in readers:
        for metric, labels, value in reader:
            if not isinstance(value, tuple):
                found[metric.name][labels] += value
    return found


def summary(readers: Sequence[SlotReader]) -> dict[str, Any]:
    """Totals since the server's start, sizes as they are now."""
    cells = summed(readers)
    statuses = by_label(cells["edge_cache_requests_total"], 1)
    length = by_label(cells["edge_cache_response_bytes_total"], 1)
    codes = by_label(cells["edge_http_requests_total"], 1)
    fetched = sum(cells["edge_upstream_bytes_total"].values())
    sent = sum(length.values())
    requests = sum(statuses.values())
    hits = sum(statuses.get(status, 0) for status in FROM_CACHE)
    return {
        "requests": int(requests),
        "hit_ratio": round(hits / requests, 4) if requests else None,
        "bytes": int(sent),
        "upstream_bytes": int(fetched),
        "byte_offload": round(1 - fetched / sent, 4) if sent else None,
        "statuses": {name: int(count) for name, count in sorted(statuses.items())},
        "codes": {name: int(count) for name, count in sorted(codes.items())},
        "connections": {state: int(n) for (state,), n in cells["edge_http_connections"].items()},
        "fills": int(sum(cells["edge_flights"].values())),
        "volumes": {
            volume: {
                "bytes": int(size),
                "max_bytes": int(cells["edge_cache_max_size_bytes"].get((volume,), 0)),
                "objects": int(cells["edge_cache_objects"].get((volume,), 0)),
            }
            for (volume,), size in cells["edge_cache_size_bytes"].items()
        },
        "sites": sites(cells),
    }


def by_label(series: dict[tuple[str, ...], float], at: int) -> dict[str, float]:
    """A family's series, summed by one of its labels."""
    found: dict[str, float] = defaultdict(float)
    for labels, value in series.items():
        found[labels[at]] += value
    return found


def sites(cells: dict[str, dict[tuple[str, ...], float]]) -> dict[str, dict[str, Any]]:
    """Requests, hit ratio and bytes of each site, the busiest first."""
    requests, hits = defaultdict[str, float](float), defaultdict[str, float](float)
    for (site, status, _), count in cells["edge_cache_requests_total"].items():
        requests[site] += count
        hits[site] += count if status in FROM_CACHE else 0
    length = by_label(cells["edge_cache_response_bytes_total"], 0)
    return {
        site: {
            "requests": int(count),
            "hit_ratio": round(hits[site] / count, 4) if count else None,
            "bytes": int(length.get(site, 0)),
        }
        for site, count in sorted(requests.items(), key=lambda entry: -entry[1])
    }
