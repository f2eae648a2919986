"""Our volume without the bytes, compiled: packs, re-appends, counters and rows as `edge.store` has them.

Modelled exactly: two rows of append-only packs that are deleted whole; the counters' buckets with their collisions;
titles' means, ratios of renditions and file names, level and credit, and how all of it fades; the order of what stays.
Not modelled: the time a fill takes, several volumes, a bound on daily writes, and objects of more than one extent (an
object here is one segment). The rule's numbers are the edge's own.
"""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from benchmarks.policies.workload import Floats, Ints, Trace, key_of
from edge.store import eviction, hits, popularity, traits
from edge.store.pack import pack_size_for

RING = 1024  # packs a row can have


class Rule(NamedTuple):
    """What `edge.store.eviction` and `popularity` do; the defaults are the edge's."""

    rows: bool = True  # False: one row, half of a pack stays if it was hit ("fifo")
    new_share: float = eviction.NEW_SHARE
    keep_share: float = eviction.KEEP_SHARE
    least: float = eviction.LEAST
    margin: float = eviction.MARGIN
    half_life: float = popularity.HALF_LIFE
    half_life_most: float = popularity.HALF_LIFE_MOST
    turns: float = popularity.TURNS  # 0: always the shortest half-life
    steps: int = popularity.STEPS
    learn: float = popularity.LEARN
    prior: float = traits.PRIOR
    earned: float = popularity.EARNED
    smooth: float = popularity.SMOOTH
    expected: float = popularity.EXPECTED  # 0: a segment's own counter only


OURS = Rule()
ONE, FULL = hits.ONE, hits.FULL
TURN_PART, TURN_SMOOTH = popularity.TURN_PART, popularity.TURN_SMOOTH
LIKE_LEAST, LIKE_MOST = popularity.LIKE_LEAST, popularity.LIKE_MOST
HIT, SAVED = eviction.HIT, popularity.SAVED
FIFO = Rule(rows=False)


class _Store(NamedTuple):
    """Rows of packs are rings of slots; a pack's extents are a list through `follows`."""

    count: npt.NDArray[np.uint8]
    slot: Ints  # of each object, -1 = not stored
    follows: Ints
    head: Ints
    tail: Ints
    used: Ints
    first: Ints  # per row: number of the oldest pack, and one past the newest
    last: Ints
    row_bytes: Ints
    means: npt.NDArray[np.float32]
    ratios: Floats  # of renditions: found, expected; of file names: the same
    numbers: Floats  # level, credit, bytes written


class _Objects(NamedTuple):
    sizes: Ints
    buckets: Ints
    titles: Ints  # these three as the edge's buckets
    renditions: Ints
    files: Ints


@numba.njit(cache=True)
def _append(store, row, entry, size, pack):  # type: ignore[no-untyped-def]
    slot = row * RING + (store.last[row] - 1) % RING
    if store.last[row] == store.first[row] or store.used[slot] + size > pack:
        slot = row * RING + store.last[row] % RING
        store.last[row] += 1
        store.head[slot] = store.tail[slot] = -1
        store.used[slot] = 0
    store.follows[entry] = -1
    if store.tail[slot] >= 0:
        store.follows[store.tail[slot]] = entry
    else:
        store.head[slot] = entry
    store.tail[slot] = entry
    store.slot[entry] = slot
    store.used[slot] += size
    store.row_bytes[row] += size
    store.numbers[2] += size


@numba.njit(cache=True)
def _touch(store, bucket):  # type: ignore[no-untyped-def]
    store.count[bucket] = min(int(store.count[bucket]) + ONE, FULL)


@numba.njit(cache=True)
def _observe(store, objects, rule, entry):  # type: ignore[no-untyped-def]
    count, title = store.count[objects.buckets[entry]] / ONE, objects.titles[entry]
    rendition, file = objects.renditions[entry], objects.files[entry]
    mean = float(store.means[title])
    by_rendition = (store.ratios[0, rendition] + rule.prior) / (store.ratios[1, rendition] + rule.prior)
    by_file = (store.ratios[2, file] + rule.prior) / (store.ratios[3, file] + rule.prior)
    store.ratios[0, rendition] += count
    store.ratios[1, rendition] += mean * by_file
    store.ratios[2, file] += count
    store.ratios[3, file] += mean * by_rendition
    like = min(max(by_rendition * by_file, LIKE_LEAST), LIKE_MOST)
    store.means[title] += (count - mean * like) * rule.learn / max(like, 1.0)
    return (count + rule.expected * store.means[title] * like) / (1 + rule.expected)


@numba.njit(cache=True)
def _fade(store, left):  # type: ignore[no-untyped-def]
    store.numbers[0] *= left
    store.means[:] *= left
    store.ratios[:] *= left
    store.count[:] = (store.count * left).astype(np.uint8)


@numba.njit(cache=True)
def _oldest(store, rule, capacity):  # type: ignore[no-untyped-def]
    """The row whose oldest sealed pack goes."""
    if not rule.rows:
        return 0
    new, kept = store.last[0] - store.first[0] > 1, store.last[1] - store.first[1] > 1
    if new and store.row_bytes[0] > rule.new_share * capacity:
        return 0
    return 1 if kept else 0


@numba.njit(cache=True)
def _scores(store, objects, rule, slot):  # type: ignore[no-untyped-def]
    entries = []
    entry = store.head[slot]
    while entry >= 0:
        entries.append(entry)
        entry = store.follows[entry]
    members = np.array(entries, dtype=np.int64)
    scores = np.empty(len(members))
    for at, entry in enumerate(members):
        scores[at] = _observe(store, objects, rule, entry) if rule.rows else store.count[objects.buckets[entry]] / ONE
    return members, scores


@numba.njit(cache=True)
def _evict(store, objects, rule, capacity, pack):  # type: ignore[no-untyped-def]
    row = _oldest(store, rule, capacity)
    slot = row * RING + store.first[row] % RING
    store.first[row] += 1
    members, scores = _scores(store, objects, rule, slot)
    budget, least, target = pack * 0.5, HIT, 0
    if rule.rows:
        budget = min(store.numbers[1], pack * (rule.keep_share if row else 1.0))
        least, target = 0.0 if row else max(rule.least, store.numbers[0]), 1
    lowest = -1.0
    for at in np.argsort(-scores, kind="mergesort"):
        entry = members[at]
        size = objects.sizes[entry]
        if scores[at] < least or size > budget:
            store.slot[entry] = -1
            continue
        budget -= size
        store.numbers[1] -= size
        lowest = scores[at]
        _append(store, target, entry, size, pack)
        if not rule.rows:
            store.count[objects.buckets[entry]] >>= 1
    if row and lowest >= 0:
        store.numbers[0] += (lowest - store.numbers[0]) * rule.smooth
    store.row_bytes[row] -= store.used[slot]


@numba.njit(cache=True)
def _fill(store, objects, rule, entry, capacity, pack):  # type: ignore[no-untyped-def]
    size = objects.sizes[entry]
    while store.row_bytes.sum() > capacity - 4096:
        _evict(store, objects, rule, capacity, pack)
    score = _observe(store, objects, rule, entry)
    store.numbers[1] = min(store.numbers[1] + rule.earned * size, SAVED * pack)
    row = 1 if rule.rows and score >= rule.least and score + rule.margin > store.numbers[0] else 0
    _append(store, row, entry, size, pack)
    _touch(store, objects.buckets[entry])


@numba.njit(cache=True)
def _replay(store, objects, rule, requests, times, capacity, pack, marks):  # type: ignore[no-untyped-def]
    """Per window between marks: bytes asked for, hit, filled, written."""
    bytes_of = np.zeros((4, len(marks) - 1))
    window, aged, since, filled, turn = 0, 0.0, 0.0, 0.0, 0.0
    for at in range(marks[0], marks[-1]):
        while at >= marks[window + 1]:
            window += 1
        entry, now = requests[at], times[at]
        size = objects.sizes[entry]
        step = min(max(rule.turns * turn, rule.half_life), rule.half_life_most) / rule.steps
        due = int((now - aged) / step)
        if due:
            aged += due * step
            _fade(store, 0.5 ** (due / rule.steps))
        bytes_of[0, window] += size
        if store.slot[entry] >= 0:
            bytes_of[1, window] += size
            _touch(store, objects.buckets[entry])
            continue
        before = store.numbers[2]
        _fill(store, objects, rule, entry, capacity, pack)
        bytes_of[2, window] += size
        bytes_of[3, window] += store.numbers[2] - before
        filled += size
        if filled >= capacity * TURN_PART:
            turn += ((now - since) / TURN_PART - turn) * (TURN_SMOOTH if turn else 1.0)
            since, filled = now, 0.0
    return bytes_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """Per window: byte hit ratio, and disk bytes written for each byte filled."""

    ratios: Floats
    written: Floats


def buckets_of_keys(trace: Trace) -> Ints:
    """Where the edge would count each object's title, rendition and file name (rows)."""
    groups, of_group = np.unique(trace.groups, return_index=True)
    told = np.array([traits.traits_of(key_of(trace, entry).encode()) for entry in of_group.tolist()])
    titles, renditions, _ = told[np.searchsorted(groups, trace.groups)].T
    longest = int(np.argmax(trace.places))  # its title and rendition have a segment of each place
    first = longest - int(trace.places[longest])
    files = [traits.traits_of(key_of(trace, entry).encode()).file for entry in range(first, longest + 1)]
    return np.array([titles, renditions, np.array(files)[trace.places]])


def run(
    trace: Trace, capacity: int, marks: Ints, rule: Rule = OURS, buckets: Ints | None = None, pack: int = 0
) -> Outcome:
    """Replay a trace; `buckets` = the counter of each object (by default as if by a hash)."""
    assert marks[-1] <= len(trace.objects), "compiled code does not check it"
    if buckets is None:
        seed = zlib.crc32(b"buckets")
        buckets = np.random.default_rng(seed).integers(0, hits.BUCKETS, len(trace.sizes))
    count, slots = len(trace.sizes), 2 * RING
    store = _Store(
        np.zeros(hits.BUCKETS, np.uint8), np.full(count, -1), np.full(count, -1), np.full(slots, -1),
        np.full(slots, -1), np.zeros(slots, np.int64), np.zeros(2, np.int64), np.zeros(2, np.int64),
        np.zeros(2, np.int64), np.zeros(traits.TITLES, np.float32), np.zeros((4, traits.LIKENESSES)), np.zeros(3),
    )  # fmt: skip
    objects = _Objects(trace.sizes, buckets, *buckets_of_keys(trace))
    pack = pack or pack_size_for(capacity)
    asked, hit, filled, written = _replay(
        store, objects, rule, trace.objects, trace.times, float(capacity), float(pack), np.asarray(marks)
    )
    return Outcome(hit / asked, written / filled)
