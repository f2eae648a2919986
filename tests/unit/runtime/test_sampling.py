"""What a worker sees of what it answers: the busiest first, and it looks seldom while it answers nothing."""

import asyncio
import itertools
from pathlib import Path

import pytest

from edge.delivery.answer import HIT
from edge.delivery.places import Home, Places
from edge.delivery.serving import Told
from edge.policy.rules import SiteRules
from edge.runtime import sampling

PLACES = Places([SiteRules(name="default")], {0: Home(b"s" * 32)})


def told(path: str) -> Told:
    return Told(PLACES.find(b"cdn.example", path.encode()), 200, HIT)


async def looks(answers: "itertools.cycle[Told]", path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often it looked until it had looked for as long as it does before it lays down what it saw."""
    count, passed = 0, 0.0

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds
        if passed > sampling.LAY_DOWN_SECONDS + 1:
            raise asyncio.CancelledError

    def last() -> Told:
        nonlocal count
        count += 1
        return next(answers)

    monkeypatch.setattr("edge.runtime.sampling.asyncio.sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await sampling.sample(last, path)
    return count


async def test_a_worker_that_answers_nothing_looks_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sampling.path_of(str(tmp_path), 0)
    busy = await looks(itertools.cycle(told(name) for name in ("/a.ts", "/b.ts", "/a.ts")), path, monkeypatch)
    top = sampling.gathered([path], 2)
    assert [entry["key"].rpartition("/")[2] for entry in top] == ["a.ts", "b.ts"]
    assert top[0]["share"] == pytest.approx(2 / 3, abs=0.02)
    idle = await looks(itertools.cycle([told("/a.ts")]), path, monkeypatch)
    assert 0 < idle < busy / 3
