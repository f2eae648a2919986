"""Warm jobs where the disk is full, or gives a bad sector: they go on, and end."""

import asyncio
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import SystemClock
from edge.control.asks import WarmAsk
from edge.control.fetching import Brought, Fetching, Pace
from edge.control.warm import Warmth
from edge.control.warmjob import Job, State
from edge.errors import StoreError
from edge.policy.rules import SiteRules

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
ASK = WarmAsk(urls=("http://films.example/a", "http://films.example/b"))


async def at_once(_: int) -> None:
    pass


async def bring(_url: str, _pace: Pace) -> Brought:
    return Brought(200, 10, 10, kept=True)


async def read(_url: str) -> bytes:
    return b""


@pytest.mark.parametrize("made", [True, False])
async def test_a_job_that_cannot_be_written_down_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, made: bool
) -> None:
    def full(*_: object, **__: object) -> None:
        raise FULL

    if not made:
        monkeypatch.setattr(Path, "mkdir", full)
    monkeypatch.setattr(Job, "save", full)
    warmth = Warmth(tmp_path / "warm", bring, read, SystemClock())
    warmth.start()
    job = warmth.add(ASK)
    async with asyncio.timeout(10):
        while job.state is not State.DONE:
            await asyncio.sleep(0)
    assert (job.fetched, job.failed) == (2, 0)
    await warmth.close()


async def test_what_the_disk_does_not_give_is_an_error_like_others() -> None:
    record = SimpleNamespace(status=200, total=10, fresh_until=2.0, flags=0)

    async def read_verified(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    reader: Any = SimpleNamespace(
        lookup=lambda _: record, extent_at=lambda *_: SimpleNamespace(end=10), read_verified=read_verified
    )
    place: Any = SimpleNamespace(rules=SiteRules(), name=b"n" * 16)
    volume: Any = SimpleNamespace(reader=reader)
    fetching = Fetching(volume, place, b"edge", b"edge", wanted=True, pace=at_once)
    with pytest.raises(StoreError, match="Input/output error"):
        await fetching.run(1.0)
