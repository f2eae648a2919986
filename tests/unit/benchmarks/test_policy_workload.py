"""The synthetic video workload is what it says it is: each number of its generator, found again in what it makes.

Tolerances are four standard deviations of what is measured, from the size of its sample; each test says how.
"""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import policy
from benchmarks.policies import workload
from benchmarks.policies.workload import (
    CHURN_MEMORY,
    DAY,
    EARLY_SEGMENTS,
    HOUR,
    RENDITION_BYTES,
    RENDITION_SHARE,
    SEED,
    SEGMENT_SECONDS,
    UNIT,
    Floats,
    Ints,
    Law,
    Shape,
    Trace,
    churn_of_top_tenth,
    generate,
    popularity,
)

WEEK = Shape()  # the published one
SIGMAS = 4


@cache
def made(law: Law = Law.BENT, scan: float = 0.0, seed: int = SEED) -> Trace:
    """What `python -m benchmarks.policy` goes by."""
    return generate(policy.shape_of(law, full=False, seed=seed, scan=scan))


@cache
def sessions(law: Law) -> tuple[Ints, Floats, Ints, Ints, Ints]:
    """Of a week: lengths of titles, hourly weights; title, first segment and segments watched of each session."""
    shape = Shape(law, WEEK.titles, WEEK.requests, restless=policy.RESTLESS[law])
    lengths = workload._lengths(shape.titles, np.random.default_rng(1))
    weights = workload._hourly_weights(shape, np.random.default_rng(2))
    _, title, first, count = workload._sessions(shape, lengths, np.random.default_rng(2))
    return lengths, weights, title, first, count


# -- popularity --------------------------------------------------------------------------------------


def exponents(weights: Floats) -> Floats:
    """Between each rank and the next."""
    ranks = np.arange(1, len(weights) + 1)
    return -np.diff(np.log(weights)) / np.diff(np.log(ranks))


def test_the_bent_law_has_the_published_exponents_at_the_top_in_the_middle_and_in_the_tail() -> None:
    titles = WEEK.titles
    local = exponents(popularity(Law.BENT, titles))
    assert local[: titles // 100 - 1] == pytest.approx(0.48)
    assert local[titles // 100 : titles // 10 - 1] == pytest.approx(0.7)
    tail = local[titles // 10 :]
    assert tail[0] == pytest.approx(1.3, abs=0.01)
    assert tail[-1] == pytest.approx(2.7, abs=0.01)
    assert (np.diff(tail) > 0).all()


@pytest.mark.parametrize(("law", "exponent"), [(Law.ZIPF08, 0.8), (Law.ZIPF11, 1.1)])
def test_a_zipf_law_has_its_exponent_everywhere(law: Law, exponent: float) -> None:
    weights = popularity(law, WEEK.titles)
    assert exponents(weights) == pytest.approx(exponent)
    assert weights.sum() == pytest.approx(1)


def spread_of_a_week(restless: float) -> float:
    """Relative standard deviation of a title's popularity over a week, from its hourly factor exp(restless z).

    Of it, the variance is e^(restless^2) - 1 and the correlation k hours apart (e^(restless^2 memory^k) - 1) of that;
    hours weigh as the day's curve, 1 + 0.6 sin, has it.
    """
    square, hours = restless**2, WEEK.days * 24
    variance = np.expm1(square)
    correlated = 1 + 2 * sum(np.expm1(square * CHURN_MEMORY**k) / variance for k in range(1, 48))
    return float(np.sqrt(variance * correlated * (1 + 0.6**2 / 2) / hours))


@pytest.mark.parametrize("law", list(Law))
@pytest.mark.parametrize("band", [(0.0, 0.01), (0.01, 0.1), (0.1, 0.3), (0.3, 1.0)])
def test_what_is_watched_in_a_week_falls_with_the_rank_as_its_law_says(law: Law, band: tuple[float, float]) -> None:
    """Likelihood's estimate of how much steeper than its law, p(r) times r^-d, a band of ranks is: d = 0.

    With N sessions, V = the variance of log r under p, d has the variance 1 / NV from the sample and, because a week
    does not even a title's hours out, s^2 sum(p^2 (log r - mean)^2) / V^2. Premieres are above any law.
    """
    _, hourly, title, _, _ = sessions(law)
    premiere = (hourly == 0).any(axis=0)
    ranks = np.arange(1, WEEK.titles + 1)
    chosen = (ranks > band[0] * WEEK.titles) & (ranks <= band[1] * WEEK.titles) & ~premiere
    counts = np.bincount(title, minlength=WEEK.titles)[chosen]
    p = popularity(law, WEEK.titles)[chosen]
    p /= p.sum()
    logs = np.log(ranks[chosen])
    mean = float((p * logs).sum())
    variance = float((p * (logs - mean) ** 2).sum())
    steeper = (mean - float((counts * logs).sum() / counts.sum())) / variance
    of_sample = 1 / (counts.sum() * variance)
    of_titles = spread_of_a_week(policy.RESTLESS[law]) ** 2 * float((p**2 * (logs - mean) ** 2).sum()) / variance**2
    tolerance = SIGMAS * float(np.sqrt(of_sample + of_titles))
    assert tolerance < 0.3, "else it would say nothing"
    assert abs(steeper) < tolerance


def test_premieres_are_as_many_as_said_and_unknown_before_their_release() -> None:
    _, hourly, title, _, _ = sessions(Law.BENT)
    premiere = np.flatnonzero((hourly == 0).any(axis=0))
    assert len(premiere) == round(0.0015 * WEEK.titles * WEEK.days)
    assert np.isin(premiere, title).all(), "each is watched"
    gone = (hourly[:, premiere] > 0).argmax(axis=0)
    assert all((hourly[:at, one] == 0).all() for one, at in zip(premiere, gone, strict=True))


# -- sessions ----------------------------------------------------------------------------------------


def near(measured: float, expected: float, count: int) -> bool:
    """A share of so many independent draws: its standard deviation is sqrt(p (1 - p) / n)."""
    return abs(measured - expected) < SIGMAS * np.sqrt(expected * (1 - expected) / count)


@pytest.mark.parametrize("law", list(Law))
@pytest.mark.parametrize("resumed", [False, True])
def test_35_percent_of_sessions_end_within_three_minutes_20_percent_run_to_the_end(law: Law, resumed: bool) -> None:
    """In what is watched, not in what was drawn: no session is both, and the other 45 % end in between."""
    lengths, _, title, first, count = sessions(law)
    chosen = (first > 0) == resumed
    watched, left = count[chosen], (lengths[title] - first)[chosen]
    within, to_the_end = watched <= EARLY_SEGMENTS, watched == left
    assert EARLY_SEGMENTS * 10 == 3 * 60
    assert not (within & to_the_end).any()
    for measured, expected in ((within, 0.35), (to_the_end, 0.20), (~within & ~to_the_end, 0.45)):
        assert abs(float(measured.mean()) - expected) < 0.02
        assert near(float(measured.mean()), expected, len(watched))


def test_those_that_end_within_minutes_or_in_between_end_anywhere_there() -> None:
    """Uniform: of n values the variance is (n^2 - 1) / 12."""
    lengths, _, title, first, count = sessions(Law.BENT)
    left = lengths[title] - first
    within, between = count <= EARLY_SEGMENTS, (count > EARLY_SEGMENTS) & (count < left)
    for segments in (1, 3, 6, 12):
        assert near(float((count[within] <= segments).mean()), segments / EARLY_SEGMENTS, int(within.sum())), segments
    places, place = (left - EARLY_SEGMENTS - 1)[between], (count - EARLY_SEGMENTS - 1)[between]
    off = place - (places - 1) / 2
    assert abs(off.sum()) < SIGMAS * np.sqrt(((places.astype(float) ** 2 - 1) / 12).sum())
    assert near(float((place < places // 4).mean()), float((places // 4 / places).mean()), len(places))


def test_there_are_as_many_sessions_as_make_the_requests_that_are_asked_for() -> None:
    """A hundredth to five of them are not taken: what a session is expected to watch is what it does."""
    _, _, _, _, count = sessions(Law.BENT)
    assert 1.01 < count.sum() / WEEK.requests < 1.05


def test_one_session_in_ten_goes_on_where_somebody_had_stopped_with_more_than_three_minutes_left() -> None:
    """Those that draw the first segment look like new ones."""
    lengths, _, title, first, count = sessions(Law.BENT)
    expected = 0.1 * float((1 - 1 / (lengths[title] - EARLY_SEGMENTS - 1)).mean())
    assert near(float((first > 0).mean()), expected, len(first))
    assert (lengths[title] - first > EARLY_SEGMENTS + 1).all()
    assert ((first + count <= lengths[title]) & (count >= 1)).all()


def test_one_title_in_twenty_is_a_film_whatever_the_rank() -> None:
    """Five to twelve minutes, 25 to 50: uniform, of n values the variance is (n^2 - 1) / 12."""
    lengths, *_ = sessions(Law.BENT)
    films = lengths >= 150
    assert set(films.reshape(-1, 20).sum(axis=1)) == {1}
    for some, least, most in ((lengths[~films], 30, 72), (lengths[films], 150, 300)):
        assert (some.min(), some.max()) == (least, most)
        deviation = np.sqrt(((most - least + 1) ** 2 - 1) / 12 / len(some))
        assert abs(some.mean() - (least + most) / 2) < SIGMAS * deviation


def test_a_session_asks_for_segments_in_order_each_in_its_time_and_changes_its_rendition_once_at_most() -> None:
    """Sessions so few that a title has one as a rule: another one within it begins at another fraction of a second."""
    trace = generate(Shape(law=Law.ZIPF08, titles=3000, requests=6000, days=1))
    objects, fractions = trace.objects, np.round(trace.times % SEGMENT_SECONDS, 6)
    sessions = np.unique(np.stack([trace.titles[objects], fractions]), axis=1, return_inverse=True)[1].ravel()
    changed = 0
    for session in range(sessions.max() + 1):
        mine = sessions == session
        assert np.diff(trace.times[mine]) == pytest.approx(SEGMENT_SECONDS)
        assert (np.diff(trace.places[objects[mine]]) == 1).all()
        rendition = trace.groups[objects[mine]] % len(RENDITION_BYTES)
        steps = np.diff(rendition) % len(RENDITION_BYTES)
        assert sorted(steps)[-2:] in ([], [0], [1], [0, 0], [0, 1])
        changed += int(steps.sum())
    assert sessions.max() > 100
    assert 0.03 < changed / (sessions.max() + 1) < 0.25, "15 % do, those that end with their first segment cannot"


# -- segments ----------------------------------------------------------------------------------------


def test_there_are_five_renditions_of_every_title_and_their_segments_have_their_sizes() -> None:
    """A size wobbles by exp(0.2 z), so that its mean is e^0.02 of the rendition's, and is rounded up to 16 KiB."""
    trace = made()
    renditions = trace.groups % len(RENDITION_BYTES)
    assert len(np.unique(trace.groups)) == 5 * 750
    assert len(RENDITION_BYTES) == 5
    for number, nominal in enumerate((500_000, 1_000_000, 2_000_000, 4_000_000, 7_500_000)):
        sizes = trace.sizes[renditions == number]
        mean, deviation = nominal * np.exp(0.02), nominal * np.exp(0.02) * np.sqrt(np.expm1(0.04))
        assert (sizes % UNIT == 0).all()
        assert abs(sizes.mean() - UNIT / 2 - mean) < SIGMAS * deviation / np.sqrt(len(sizes))


def test_renditions_are_asked_for_in_their_shares() -> None:
    """15 % of the sessions go over to the next one, on the mean half way.

    Whole sessions are drawn, not requests: a share's standard deviation is that of n sessions that differ in length.
    """
    _, _, _, _, count = sessions(Law.BENT)
    mean, square = float(count.mean()), float((count.astype(float) ** 2).mean())
    trace = made()
    renditions = trace.groups[trace.objects] % len(RENDITION_BYTES)
    after = 0.15 * (mean + 1) / (2 * mean)  # of all requests
    number = len(trace.objects) / mean * mean**2 / square
    assert sum(RENDITION_SHARE) == pytest.approx(1)
    for one, share in enumerate((0.10, 0.15, 0.30, 0.30, 0.15)):
        expected = share * (1 - after) + RENDITION_SHARE[one - 1] * after
        assert near(float((renditions == one).mean()), expected, int(number)), one


# -- hours and days ----------------------------------------------------------------------------------


SEEDS = (SEED, 1, 2, 3)


@pytest.mark.parametrize("law", list(Law))
def test_two_thirds_of_an_hours_top_tenth_are_not_in_the_next_hours(law: Law) -> None:
    """Of each seed; the mean of four, more closely. A seed's own top is a few titles, long ones or short ones."""
    found = [churn_of_top_tenth(made(law, seed=seed)) for seed in SEEDS]
    assert found == pytest.approx([2 / 3] * len(SEEDS), abs=0.03)
    assert np.mean(found) == pytest.approx(2 / 3, abs=0.015)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("law", list(Law))
def test_two_thirds_of_the_top_tenth_go_in_the_full_workload_too(law: Law) -> None:
    found = [churn_of_top_tenth(generate(policy.shape_of(law, full=True, seed=seed))) for seed in SEEDS]
    assert found == pytest.approx([2 / 3] * len(SEEDS), abs=0.035)
    assert np.mean(found) == pytest.approx(2 / 3, abs=0.015)


def test_a_crawler_reads_a_hundredth_of_the_library_each_night_in_order_and_nothing_twice() -> None:
    """Exact but for the segment in which a night ends."""
    trace = made(scan=0.01)
    objects, times = trace.objects[trace.crawled], trace.times[trace.crawled]
    assert (np.diff(objects) == 1).all()
    assert objects[0] == 0
    nights = (times // DAY).astype(int)
    assert set(nights) == set(range(trace.shape.days))
    since = times % DAY
    assert ((since >= 3 * HOUR) & (since <= 5 * HOUR)).all()
    for night in set(nights):
        read = trace.sizes[objects[nights == night]].sum()
        assert abs(read - 0.01 * trace.sizes.sum()) <= trace.sizes.max()
    assert (trace.objects[~trace.crawled] == made().objects).all(), "players ask for what they ask for without it"


def test_the_same_seed_makes_the_same_requests_and_another_one_others() -> None:
    shape = Shape(titles=200, requests=30_000, days=2, scan=0.01)
    one, two = generate(shape), generate(shape)
    for field in ("times", "objects", "crawled", "sizes", "groups", "titles"):
        assert np.array_equal(getattr(one, field), getattr(two, field)), field
    other = generate(Shape(titles=200, requests=30_000, days=2, scan=0.01, seed=1))
    assert not np.array_equal(one.objects, other.objects)
    assert all(before <= after for before, after in pairwise(one.times))
