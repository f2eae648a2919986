"""How `edge warm` shows a job in one line."""

from typing import Any

import pytest

from edge.cli.warm import line


def job(**said: object) -> dict[str, Any]:
    usual = {"id": "j1", "state": "running", "total": 40, "done": 10, "present": 1, "fetched": 8, "refused": 0}
    more = {"failed": 1, "length": 12_000_000, "seconds": 60.0, "mbit_per_second": 1.6, "eta": 180.0, "failures": []}
    return {**usual, **more, **said}


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (
            {},
            ("j1 [########......................]  25% 10/40 running", "8 fetched (12.0 MB, 1.6 Mbit/s)", "180 s left"),
        ),
        ({"total": None, "done": 0, "eta": None}, ("[..............................]   0% listing running",)),
        ({"done": 40, "state": "done", "eta": None}, ("[##############################] 100% 40/40 done",)),
        ({"total": 0, "done": 0, "state": "done", "eta": None}, ("100% 0/0 done",)),
    ],
)
def test_a_job_has_its_bar_its_counts_and_the_time_it_will_take(
    said: dict[str, object], parts: tuple[str, ...]
) -> None:
    shown = line(job(**said))
    assert "\n" not in shown
    for part in parts:
        assert part in shown
    assert ("left" in shown) == (job(**said)["eta"] is not None)
