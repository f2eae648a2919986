"""Seeded video workloads: titles in five renditions, watched in sessions, segment by segment.

Rules of the generator, each a number below:
- A title's popularity falls with its rank, by a plain Zipf law or bent as published viewing hours are (local
  exponents 0.48 among the first hundredth of the titles, 0.7 up to the first tenth, then 1.3 rising to 2.7).
- It moves by the hour (log-normal, autoregressive); the day has a curve. Two thirds of the titles in one hour's top
  tenth are not in the next hour's, most of it because few sessions make an hour's order: titles and requests of a
  shape must be chosen for it, as `benchmarks/policy.py` does.
- Some titles are released during the trace and begin with a premiere that fades away.
- 35 % of the sessions end within three minutes, 20 % run to the end, the others end in between, anywhere. The shortest
  title has five minutes: at three, a session that ends early is none that runs to the end.
- One session in ten is a resumption; it has more than three minutes left, so that all of this is true of it as well.
- A session keeps its rendition, 15 % change once to the next one; segments of ten seconds are asked for in order.
- Optionally a crawler reads 1 % of the library's bytes a day in one go, in title order, each segment once.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

HOUR = 3600.0
DAY = 24 * HOUR
SEGMENT_SECONDS = 10.0
PAGE = 4096  # what a pack is cut into
UNIT = 16 * 1024  # sizes are multiples of it, so that the referee can count in smaller numbers
RENDITION_BYTES = (500_000, 1_000_000, 2_000_000, 4_000_000, 7_500_000)  # 0.4 to 6 Mbit/s
RENDITION_SHARE = (0.10, 0.15, 0.30, 0.30, 0.15)
EARLY_END, TO_THE_END = 0.35, 0.20
EARLY_SEGMENTS = 18  # three minutes
LEAST_SEGMENTS = EARLY_SEGMENTS + 2  # that are left when a session begins
FILM_EVERY = 20
SWITCHING = 0.15
RESUMED = 0.10
PREMIERES_PER_DAY = 0.0015  # of all titles
PREMIERE_FADE = 36 * HOUR
PREMIERE_RANK = 3  # a premiere begins as popular as the title of this rank
SCAN_HOUR, SCAN_HOURS = 3.0, 2.0
SEED = 20261123  # the published one


class Law(StrEnum):
    BENT = "bent"
    ZIPF08 = "zipf-0.8"
    ZIPF11 = "zipf-1.1"


CHURN_MEMORY = 0.55  # of the hourly log-normal factor


@dataclass(frozen=True, slots=True)
class Shape:
    """What is asked for; the defaults are the published workload."""

    law: Law = Law.BENT
    titles: int = 6000
    requests: int = 4_000_000
    days: int = 7
    seed: int = SEED
    restless: float = 0.5  # spread of the hourly factor: a title is typically e^restless times up or down
    scan: float = 0.0  # share of the library's bytes that a crawler reads each day


@dataclass(frozen=True)
class Trace:
    """Requests in order of time. `objects` are dense numbers; `sizes`, `groups` and `titles` are per object."""

    shape: Shape
    times: Floats  # seconds
    objects: Ints
    crawled: npt.NDArray[np.bool_]  # per request: the crawler's
    sizes: Ints  # bytes
    groups: Ints  # title and rendition
    titles: Ints

    @property
    def footprint(self) -> int:
        """Bytes of all different segments that players asked for."""
        return int(self.sizes[np.unique(self.objects[~self.crawled])].sum())

    @cached_property
    def places(self) -> Ints:
        """Of each object: which segment of its title and rendition it is."""
        begins = np.flatnonzero(np.diff(self.groups, prepend=-1))
        return np.arange(len(self.groups)) - np.repeat(begins, np.diff(np.append(begins, len(self.groups))))


def key_of(trace: Trace, entry: int) -> str:
    """What an edge would be asked for."""
    return f"/{trace.titles[entry]}/{trace.groups[entry] % len(RENDITION_BYTES)}/{trace.places[entry]}.m4s"


def reduced(trace: Trace, divisor: int, *, seconds: float | None = None) -> Trace:
    """The same requests for objects of a fraction of the size (whole pages); in `seconds`, if they are given."""
    sizes = -(-trace.sizes // divisor // PAGE) * PAGE
    times = trace.times if seconds is None else trace.times * (seconds / trace.times[-1])
    return replace(trace, sizes=sizes, times=times)


def popularity(law: Law, titles: int) -> Floats:
    """Weights by rank, falling, sum 1."""
    ranks = np.arange(1, titles + 1, dtype=float)
    if law is Law.BENT:
        bends = np.log([1.0, titles * 0.01, titles * 0.1, titles])
        middle = (np.log(ranks[1:]) + np.log(ranks[:-1])) / 2
        tail = 1.3 + 1.4 * np.clip((middle - bends[2]) / (bends[3] - bends[2]), 0, 1)
        slope = np.where(middle < bends[1], 0.48, np.where(middle < bends[2], 0.7, tail))
        weights = np.exp(-np.concatenate(([0.0], np.cumsum(slope * np.diff(np.log(ranks))))))
    else:
        weights = ranks ** -(0.8 if law is Law.ZIPF08 else 1.1)
    return np.asarray(weights / weights.sum())


def _hourly_weights(shape: Shape, rng: np.random.Generator) -> Floats:
    """Popularity of each title (column) in each hour (row), rows sum to 1."""
    base = popularity(shape.law, shape.titles)
    hours = shape.days * 24
    noise = np.empty((hours, shape.titles))
    noise[0] = rng.standard_normal(shape.titles)
    fresh = np.sqrt(1 - CHURN_MEMORY**2)
    for hour in range(1, hours):
        noise[hour] = CHURN_MEMORY * noise[hour - 1] + fresh * rng.standard_normal(shape.titles)
    weights = base * np.exp(shape.restless * noise)
    count = max(1, round(PREMIERES_PER_DAY * shape.titles * shape.days))
    chosen = rng.choice(shape.titles, count, replace=False)
    released = np.sort(rng.uniform(0, shape.days * DAY, count))
    at = (np.arange(hours)[:, None] + 0.5) * HOUR - released[None, :]
    fade = base[min(PREMIERE_RANK, shape.titles - 1)] * np.exp(-np.maximum(at, 0) / PREMIERE_FADE)
    weights[:, chosen] = np.where(at < 0, 0.0, weights[:, chosen] + fade * np.exp(shape.restless**2 / 2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _lengths(titles: int, rng: np.random.Generator) -> Ints:
    """Segments of each title: cartoons of 5 to 12 minutes, one in twenty a film of 25 to 50.

    Films are evenly spread over the ranks: by chance, one would be second with one seed and fortieth with another, and
    with it goes how many requests the top has, and how often it changes.
    """
    lengths = rng.integers(30, 73, titles)
    films = slice(FILM_EVERY // 2, None, FILM_EVERY)
    lengths[films] = rng.integers(150, 301, len(lengths[films]))
    return np.asarray(lengths, dtype=np.int64)


def _sessions(shape: Shape, lengths: Ints, rng: np.random.Generator) -> tuple[Floats, Ints, Ints, Ints]:
    """(start time, title, first segment, segments watched) of each session, until there are enough requests."""
    weights = _hourly_weights(shape, rng)
    hours = shape.days * 24
    curve = 1 + 0.6 * np.sin((np.arange(hours) % 24 - 14) / 24 * 2 * np.pi)
    total = int(shape.requests / _watched_mean(lengths) * 1.03)  # a little more than is taken
    per_hour = rng.multinomial(total, curve / curve.sum())
    title = np.concatenate([rng.choice(shape.titles, n, p=weights[hour]) for hour, n in enumerate(per_hour)])
    start = np.concatenate([hour * HOUR + rng.random(n) * HOUR for hour, n in enumerate(per_hour)])
    spare = lengths[title] - LEAST_SEGMENTS  # where a session may begin, at the latest
    first = np.where(rng.random(total) < RESUMED, (rng.random(total) * (spare + 1)).astype(np.int64), 0)
    left = lengths[title] - first
    kind = rng.random(total)
    early = 1 + (rng.random(total) * EARLY_SEGMENTS).astype(np.int64)
    between = EARLY_SEGMENTS + 1 + (rng.random(total) * (left - EARLY_SEGMENTS - 1)).astype(np.int64)
    count = np.where(kind < EARLY_END, early, np.where(kind < EARLY_END + TO_THE_END, left, between))
    return start, title, first, count


def _watched_mean(lengths: Ints) -> float:
    """Segments of a session, on the mean over titles (which are as long whatever their rank)."""
    left = float(lengths.mean()) - RESUMED * float((lengths - LEAST_SEGMENTS).mean()) / 2
    between = 1 - EARLY_END - TO_THE_END
    return EARLY_END * (EARLY_SEGMENTS + 1) / 2 + TO_THE_END * left + between * (EARLY_SEGMENTS + left) / 2


def _crawl(shape: Shape, sizes: Ints) -> tuple[Floats, Ints]:
    """Requests of a crawler: each night the next stretch of the library, every segment once."""
    ends = np.cumsum(sizes)
    nights = np.arange(shape.days)
    bounds = np.searchsorted(ends, np.append(nights, shape.days) * shape.scan * ends[-1])
    objects = np.arange(bounds[-1])
    night = np.searchsorted(bounds[1:], objects, side="right")
    share = (objects - bounds[night]) / np.maximum(1, np.diff(bounds))[night]
    return night * DAY + (SCAN_HOUR + SCAN_HOURS * share) * HOUR, objects


def generate(shape: Shape) -> Trace:
    """The same shape gives the same trace, everywhere and always."""
    rng = np.random.default_rng(shape.seed)
    lengths = _lengths(shape.titles, rng)
    renditions = len(RENDITION_BYTES)
    order = rng.permutation(shape.titles)  # where a title lies in the library says nothing about its rank
    begins = np.empty(shape.titles, dtype=np.int64)
    begins[order] = np.concatenate(([0], np.cumsum(lengths[order] * renditions)[:-1]))
    start, title, first, count = _sessions(shape, lengths, rng)
    rendition = rng.choice(renditions, len(title), p=RENDITION_SHARE)
    switch_at = np.where(rng.random(len(title)) < SWITCHING, (rng.random(len(title)) * count).astype(np.int64), 1 << 40)
    which = np.repeat(np.arange(len(title)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    now = np.where(step >= switch_at[which], (rendition[which] + 1) % renditions, rendition[which])
    objects = begins[title[which]] + now * lengths[title[which]] + first[which] + step
    times = start[which] + step * SEGMENT_SECONDS
    taken = np.argsort(times, kind="stable")[: shape.requests]
    times, objects = times[taken], objects[taken]
    groups = np.repeat(
        (order[:, None] * renditions + np.arange(renditions)).ravel(), np.repeat(lengths[order], renditions)
    )
    wobble = np.exp(0.2 * rng.standard_normal(len(groups)))
    sizes = np.ceil(np.asarray(RENDITION_BYTES)[groups % renditions] * wobble / UNIT).astype(np.int64) * UNIT
    crawled = np.zeros(len(objects), dtype=bool)
    if shape.scan:
        extra_times, extra = _crawl(shape, sizes)
        times, objects = np.concatenate((times, extra_times)), np.concatenate((objects, extra))
        crawled = np.concatenate((crawled, np.ones(len(extra), dtype=bool)))
        taken = np.argsort(times, kind="stable")
        times, objects, crawled = times[taken], objects[taken], crawled[taken]
    return Trace(shape, times, objects, crawled, sizes, groups, groups // renditions)


def churn_of_top_tenth(trace: Trace) -> float:
    """Share of the titles in one hour's top tenth that are not in the next hour's, mean over the hours."""
    hour = (trace.times // HOUR).astype(np.int64)
    titles = trace.titles[trace.objects]
    tops: list[set[int]] = []
    for at in range(int(hour.max()) + 1):
        seen, counts = np.unique(titles[(hour == at) & ~trace.crawled], return_counts=True)
        tops.append(set(seen[np.argsort(-counts, kind="stable")[: max(1, len(seen) // 10)]].tolist()))
    gone = [len(one - two) / len(one) for one, two in pairwise(tops)]
    return float(np.mean(gone))
