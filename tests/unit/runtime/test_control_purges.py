"""What an operator is told of a purge: nothing is well that nobody has done, and nobody will remember."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.config.schema import Settings
from edge.control.asks import PurgeAsk
from edge.policy.purges import Purge, Scope
from edge.runtime.control import ControlPlane
from edge.store.hits import create_hits_file


@pytest.mark.parametrize("written", [True, False])
async def test_what_a_volume_that_is_away_owes_and_nobody_can_write_down_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    paths = [{"path": str(path), "size": "1GB"} for path in (here, away)]
    supervisor: Any = SimpleNamespace(
        settings=Settings.model_validate({"volume": paths}), meters=SimpleNamespace(count=lambda *_, **__: None)
    )
    link = SimpleNamespace(volume=0, path="")
    holdings: Any = SimpleNamespace(state_dir=str(tmp_path), links=[link], hits_fd=create_hits_file())
    if written:
        here.mkdir()
    plane = ControlPlane(supervisor, holdings, None)

    async def links() -> None:
        pass

    async def purged(number: int, _whats: object, *, dry: bool) -> tuple[str, int, int, str]:
        return str(number), 1, 1000, ""

    monkeypatch.setattr(plane, "_links", links)
    monkeypatch.setattr(plane, "_purge_on", purged)
    told = await plane.purge_these([Purge(Scope.KEY, b"/a")], PurgeAsk(url="http://h/a"), 0.0)
    assert told.objects == 1
    assert list(told.failed) == ([] if written else [str(away)])
    await plane.close(stays=False)
    os.close(holdings.hits_fd)
