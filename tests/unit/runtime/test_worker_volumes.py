"""Which volumes objects live on: those whose keeper is there and whose disk is good; never none."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.config.schema import Settings
from edge.fill.messages import NO_NAME, Bad
from edge.runtime import volumes as waiting
from edge.runtime.volumes import FALLS, GONE_SECONDS, LATE_SECONDS, UNSTEADY_SECONDS, Volumes
from edge.store.version import Versions
from edge.words import Reason

FAILED = Bad(NO_NAME, 0, 0, 0, Reason.STORE_FAILED)
SETTINGS = Settings.model_validate({"volume": [{"path": f"/v{n}", "size": f"{n + 1}GB"} for n in range(3)]})


@pytest.fixture
async def volumes() -> Any:
    """Three volumes whose keepers have said hello."""
    clock = FakeClock()
    shared = SimpleNamespace(versions=Versions())
    made = Volumes(SETTINGS, (), clock, shared, None)  # type: ignore[arg-type]
    made.clock = clock  # type: ignore[attr-defined]
    for number in range(3):
        reader = SimpleNamespace(hello=SimpleNamespace(secret=b"s%d" % number, off=False), unreadable=False)
        made.serving[number] = SimpleNamespace(reader=reader, asker=SimpleNamespace(up=True, losses=0))  # type: ignore[assignment]
    made.homes()
    return made


async def test_each_has_its_size_as_weight_and_an_identity_of_its_own(volumes: Any) -> None:
    homes = volumes.homes()
    assert [homes[number].weight for number in range(3)] == [1e9, 2e9, 3e9]
    assert len({home.identity for home in homes.values()}) == 3


async def test_a_keeper_may_be_gone_for_a_while_and_is_back_at_once(volumes: Any) -> None:
    volumes.serving[1].asker.up = False
    volumes.clock.advance(GONE_SECONDS - 0.1)
    assert set(volumes.homes()) == {0, 1, 2}
    volumes.clock.advance(0.2)
    volumes.homes()
    assert set(volumes.homes()) == {0, 2}
    volumes.serving[1].asker.up = True
    assert set(volumes.homes()) == {0, 1, 2}


async def test_one_that_says_its_disk_is_bad_is_out_at_once(volumes: Any) -> None:
    volumes.serving[2].reader.hello.off = True
    assert set(volumes.homes()) == {0, 1}


async def test_the_last_one_is_never_out(volumes: Any) -> None:
    for volume in volumes.serving.values():
        volume.reader.hello.off = True
    assert set(volumes.homes()) == {0}


async def test_one_whose_index_cannot_be_read_is_out_until_it_is_opened_anew(volumes: Any) -> None:
    volumes.serving[0].reader.unreadable = True
    assert set(volumes.homes()) == {1, 2}
    volumes.serving[0].reader.unreadable = False
    assert set(volumes.homes()) == {0, 1, 2}


async def test_one_whose_keepers_die_one_after_the_other_is_out_for_a_while(volumes: Any) -> None:
    for _ in range(FALLS):
        assert set(volumes.homes()) == {0, 1, 2}
        volumes.clock.advance(1)
        volumes.serving[0].asker.losses += 1
    assert set(volumes.homes()) == {1, 2}
    volumes.clock.advance(UNSTEADY_SECONDS - FALLS)
    assert set(volumes.homes()) == {1, 2}
    volumes.clock.advance(FALLS)
    assert set(volumes.homes()) == {0, 1, 2}


@pytest.mark.parametrize(("damaged", "said"), [(True, Bad(NO_NAME, 7, 0, 0, Reason.CORRUPT)), (False, FAILED)])
async def test_a_keeper_is_told_once_which_index_is_damaged_or_that_its_disk_has_failed(
    volumes: Any, damaged: bool, said: Bad
) -> None:
    told: list[Bad] = []
    volume = volumes.serving[0]
    volume.asker.tell = told.append
    volume.reader.unreadable, volume.reader.damaged, volume.reader.hello.epoch = True, damaged, 7
    volumes._look_after_index(0, volume)
    volumes._look_after_index(0, volume)
    assert told == [said]


def left(volumes: Any) -> list[int]:
    """The volumes that were left since the last call."""
    return [number for number in range(3) if volumes._shared.versions.take_left(number)]


async def watched(volumes: Any, places: Any) -> None:
    """`watch` as far as its first pause."""
    watching = asyncio.ensure_future(volumes.watch(places))
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_only_a_volume_that_objects_live_on_no_more_is_said_to_be_left_and_once(volumes: Any) -> None:
    places = SimpleNamespace(settle=lambda homes: None)
    await watched(volumes, places)
    volumes.serving[1].asker.up = False
    volumes.serving[1].asker.losses += 1
    volumes.clock.advance(GONE_SECONDS - 0.1)
    volumes.settle(places)
    assert left(volumes) == [], "its keeper may be back in time, however long that takes"
    for number in (0, 2):
        volumes.serving[number].asker.up = True
    volumes.clock.advance(0.2)
    volumes.homes()
    volumes.settle(places)
    assert left(volumes) == [1]
    volumes.settle(places)
    volumes.serving[1].asker.up = True
    volumes.settle(places)
    assert left(volumes) == []


async def test_one_that_a_worker_begins_without_is_left(volumes: Any) -> None:
    volumes._askers = dict.fromkeys(range(3))
    del volumes.serving[2]
    await watched(volumes, None)
    assert left(volumes) == [2]


async def test_the_only_volume_of_a_server_is_never_left(volumes: Any) -> None:
    volumes._askers = {0: None}
    volumes.serving = {0: volumes.serving[0]}
    await watched(volumes, None)
    volumes.serving[0].asker.up = False
    volumes.serving[0].reader.hello.off = True
    volumes.clock.advance(1000)
    volumes.settle(None)
    assert left(volumes) == []


async def test_a_worker_that_begins_waits_for_late_keepers_as_long_as_one_that_serves(
    volumes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One big volume that takes 8 s to start is not to be left at each restart."""
    waited = []

    over = asyncio.timeout

    def timeout(seconds: float) -> asyncio.Timeout:
        waited.append(seconds)
        return over(0)

    monkeypatch.setattr(waiting.asyncio, "timeout", timeout)
    volumes._first.set()
    await volumes.greeted()
    await volumes.greeted(1.0)
    assert waited == [LATE_SECONDS, 1.0]
    assert LATE_SECONDS >= GONE_SECONDS
