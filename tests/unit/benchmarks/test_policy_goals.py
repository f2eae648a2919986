"""What the default policy is to reach on the published workloads, and that the referee repeats published figures."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import policy
from benchmarks.policies import charts, published
from benchmarks.policies.referee import POLICIES, Referee, Requests
from benchmarks.policies.workload import SEED, UNIT, Law, generate

GAP, BELOW, WRITTEN, LOST = 0.40, 0.005, 1.8, 0.02
SHARES = ("0.01", "0.03", "0.1")
SEEDS = (SEED, 1, 2)


def test_two_published_figures_are_repeated_by_the_referee() -> None:
    found = published.repeat(0.8)
    assert set(found) == {"LRU", "FIFO"}
    for figures in found.values():
        assert figures["measured"] == pytest.approx(figures["published"], abs=0.003)
    assert found["LRU"]["published"] == pytest.approx(0.345, abs=0.001)
    assert found["FIFO"]["published"] == pytest.approx(0.308, abs=0.001)


def test_each_policy_of_the_referee_is_another_one_and_the_one_that_knows_the_future_is_the_best() -> None:
    rng = np.random.default_rng(1)
    objects = rng.zipf(1.2, 60_000) % 3000
    sizes = rng.integers(1, 9, 3000)[objects] * UNIT
    with Referee(Requests(objects, sizes)) as referee:
        found = {name: float(referee.run(name, 600 * UNIT, np.array([0, 20_000, 60_000]))[1]) for name in POLICIES}
    assert set(found) == {"FIFO", "LRU", "SIEVE", "S3-FIFO", "W-TinyLFU", "Belady"}
    assert len(set(found.values())) == len(found), found
    assert max(found, key=lambda name: found[name]) == "Belady"
    assert found["FIFO"] < found["LRU"] < min(found["SIEVE"], found["S3-FIFO"], found["W-TinyLFU"])


def test_the_referee_counts_bytes_of_each_window_by_itself() -> None:
    objects, sizes = np.array([0, 1, 0, 2, 0, 1]), np.array([6, 1, 6, 3, 6, 1]) * UNIT
    with Referee(Requests(objects, sizes)) as referee:
        found = referee.run("LRU", 100 * UNIT, np.array([0, 3, 6]))
        by_requests = referee.run("LRU", 100 * UNIT, np.array([0, 3, 6]), by_bytes=False)
    assert found == pytest.approx([6 / 13, 7 / 10])
    assert by_requests == pytest.approx([1 / 3, 2 / 3])


@pytest.mark.timeout(300)  # numba compiles for half a minute of CPU the first time
def test_the_goals_are_met_at_every_size_on_the_law_with_the_fewest_requests() -> None:
    ratios, written = policy.compare(generate(policy.shape_of(Law.ZIPF11, full=False)), ("LRU", "Belady"))
    assert set(ratios) == set(written) == {"0.001", "0.003", *SHARES, "0.3"}
    assert min(policy.closed(ratios[share], "ours") for share in SHARES) >= GAP
    assert all(row["ours"] >= row["LRU"] - BELOW for row in ratios.values())
    assert max(written.values()) <= WRITTEN


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("law", list(Law))
def test_the_goals_are_met_at_every_size_and_the_gap_on_the_mean_of_three_seeds_too(law: Law) -> None:
    gaps = []
    for seed in SEEDS:
        ratios, written = policy.compare(generate(policy.shape_of(law, full=False, seed=seed)), ("LRU", "Belady"))
        assert all(row["ours"] >= row["LRU"] - BELOW for row in ratios.values())
        assert max(written.values()) <= WRITTEN
        gaps.append([policy.closed(ratios[share], "ours") for share in SHARES])
    assert min(gaps[0]) >= GAP  # as published
    assert min(np.mean(gaps, axis=0)) >= GAP


@pytest.mark.timeout(300)
def test_after_a_crawler_no_more_than_two_points_are_lost() -> None:
    found = policy.scanned(full=False)
    assert policy.SCAN == 0.01
    assert found["with"] != found["without"]
    assert len(found["lost_after"]) == 4, "nights of the second half"
    assert max(found["lost_after"]) <= LOST


def test_a_picture_is_drawn_for_each_law_and_one_of_the_nights(tmp_path: Path) -> None:
    row = {"LRU": 0.1, "Belady": 0.4, "ours": 0.2}
    found = {
        "ratios": {Law.BENT: {"0.01": row, "0.1": row}},
        "scan": {"share": 0.1, "without": [0.3, 0.4], "with": [0.2, 0.4]},
    }
    drawn = charts.draw(found, tmp_path)
    assert [path.name for path in drawn] == ["policy-bent.png", "policy-scan.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
