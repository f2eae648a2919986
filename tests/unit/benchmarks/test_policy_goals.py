"""What the default policy is to reach on the published workloads, and that the referee repeats published figures."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import policy
from benchmarks.policies import charts, model, published
from benchmarks.policies.referee import Referee, Requests
from benchmarks.policies.workload import SEED, Law, generate

GAP, BELOW, WRITTEN, LOST = 0.40, 0.005, 1.8, 0.02
# Not met: with 6,000 titles by Zipf 1.1, each asked for 50 times a week. What must not get worse.
MISSED = {(Law.ZIPF11, "0.03"): 0.32, (Law.ZIPF11, "0.1"): 0.32}
SHARES = ("0.01", "0.03", "0.1")
SEEDS = (SEED, 1, 2)


def test_two_published_figures_are_repeated_by_the_referee() -> None:
    found = published.repeat(0.8)
    assert set(found) == {"LRU", "FIFO"}
    for figures in found.values():
        assert figures["measured"] == pytest.approx(figures["published"], abs=0.003)
    assert found["LRU"]["published"] == pytest.approx(0.345, abs=0.001)
    assert found["FIFO"]["published"] == pytest.approx(0.308, abs=0.001)


@pytest.mark.timeout(300)  # numba compiles for a minute, on a busy machine for several
def test_two_fifths_of_the_gap_are_closed_by_a_cache_of_a_hundredth() -> None:
    trace = generate(policy.shape_of(Law.BENT, full=False))
    marks = np.array([0, len(trace.objects) // 2, len(trace.objects)])
    size = int(0.01 * trace.footprint)
    with Referee(Requests(trace.objects, trace.sizes[trace.objects], trace.times)) as referee:
        row = {name: float(referee.run(name, size, marks)[1]) for name in ("LRU", "Belady")}
    ours = model.run(trace, size, marks)
    assert policy.closed({**row, "ours": float(ours.ratios[1])}, "ours") >= GAP
    assert ours.written[1] <= WRITTEN


@pytest.mark.long
@pytest.mark.parametrize("law", list(Law))
def test_the_goals_are_met_at_every_size_and_the_gap_on_the_mean_of_three_seeds_too(law: Law) -> None:
    gaps = []
    for seed in SEEDS:
        ratios, written = policy.compare(generate(policy.shape_of(law, full=False, seed=seed)), ("LRU", "Belady"))
        assert all(row["ours"] >= row["LRU"] - BELOW for row in ratios.values())
        assert max(written.values()) <= WRITTEN
        gaps.append([policy.closed(ratios[share], "ours") for share in SHARES])
    aims = np.array([MISSED.get((law, share), GAP) for share in SHARES])
    assert (np.array(gaps[0]) >= aims).all()  # as published
    assert (np.mean(gaps, axis=0) >= aims).all()


@pytest.mark.long
def test_after_a_crawler_no_more_than_two_points_are_lost() -> None:
    assert max(policy.scanned(full=False)["lost_after"]) <= LOST


def test_a_picture_is_drawn_for_each_law_and_one_of_the_nights(tmp_path: Path) -> None:
    row = {"LRU": 0.1, "Belady": 0.4, "ours": 0.2}
    found = {
        "ratios": {Law.BENT: {"0.01": row, "0.1": row}},
        "scan": {"share": 0.1, "without": [0.3, 0.4], "with": [0.2, 0.4]},
    }
    drawn = charts.draw(found, tmp_path)
    assert [path.name for path in drawn] == ["policy-bent.png", "policy-scan.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
