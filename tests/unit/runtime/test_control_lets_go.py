"""The supervisor reads lists of titles from packs, and keeps none on the disk that has been evicted."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.config.schema import Settings
from edge.runtime import control
from edge.runtime.control import ControlPlane
from edge.runtime.volumes import Volumes
from edge.store.hits import create_hits_file
from tests.support.reading import reader_beside
from tests.support.volumes import open_volume, put


@pytest.fixture
async def plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ControlPlane]:
    monkeypatch.setattr(control, "OWED_SECONDS", 0.01)
    settings = Settings.model_validate({"volume": [{"path": str(tmp_path / "v"), "size": "1GB"}]})
    supervisor: Any = SimpleNamespace(settings=settings, meters=None)
    holdings: Any = SimpleNamespace(state_dir=str(tmp_path), links=[], hits_fd=create_hits_file())
    made = ControlPlane(supervisor, holdings, None)
    made._volumes = Volumes(settings, (), made._clock, made._shared, made._tasks)
    yield made
    made._volumes.serving.clear()
    await made.close(stays=False)
    os.close(holdings.hits_fd)


async def test_a_pack_that_a_list_was_read_from_goes_from_the_disk_when_it_is_evicted(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = open_volume(tmp_path)
    reader = reader_beside(volume, FakeClock(), monkeypatch)
    record = put(volume, "/list.m3u8", 1, 1000)
    found = reader.lookup(volume.index.placed(1)[0].name)
    assert found is not None
    assert found.first is not None
    assert len(await reader.read_verified(found, found.first, 0, record.total)) == 1000
    assert plane._volumes is not None
    plane._volumes.serving[0] = SimpleNamespace(reader=reader)  # type: ignore[assignment]
    plane.start()
    volume.packs.seal_all()
    assert volume.evict_step(keep=False)
    async with asyncio.timeout(10):
        while any("(deleted)" in path for path in open_packs()):
            await asyncio.sleep(0.01)
    reader.close()
    volume.close()


def open_packs() -> list[str]:
    """What this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in found if ".pack" in path]
