"""A disk that does not answer holds up nobody, counts as one that fails, and does what it was asked when it is back."""

import asyncio
import threading
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.origin.settings import OriginSettings
from edge.store.health import Trust
from edge.store.patience import LATE_SECONDS, LOOKS, Patience
from edge.store.thread import StoreThread
from tests.support.volumes import HangingDisk, name, open_volume

SOON = 0.04  # seconds, as long as a call is known to hang: on a busy machine a good one takes longer


def test_patience_is_over_when_the_same_call_was_seen_often_enough_and_again_as_often() -> None:
    patience = Patience()
    assert not any(patience.look() for _ in range(3 * LOOKS)), "nothing is under way"
    with patience:
        seen = [patience.look() for _ in range(3 * LOOKS + 1)]
        assert [at for at, over in enumerate(seen) if over] == [LOOKS, 2 * LOOKS, 3 * LOOKS]
        assert patience.over
    assert not patience.over
    assert not patience.look()


def test_who_is_told_that_the_disk_does_not_answer_has_time_for_another_way() -> None:
    """Also behind others, where it takes twice as long (`StoreThread`)."""
    budget = OriginSettings("http://origin").total_first_byte
    assert budget >= 2 * (2 * LATE_SECONDS)


def test_patience_is_not_over_while_calls_come_and_go() -> None:
    patience = Patience()
    for _ in range(5 * LOOKS):
        with patience:
            assert not patience.look()
            assert not patience.over


async def held(disk: HangingDisk) -> None:
    assert await asyncio.to_thread(disk.held.wait, 10)


async def answers(store: StoreThread) -> None:
    """Until it does again."""
    while not await store.attempt(store.volume.needs_room):
        await asyncio.sleep(0.02)


async def test_all_who_wait_are_told_and_who_comes_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.thread.QUEUE_BYTES", 150)  # the second write has origins held back
    disk = HangingDisk()
    volume = open_volume(tmp_path, disk=disk)
    store = StoreThread(volume)
    store.start()
    place = await store.call(volume.reserve, 1000)
    written: list[Exception | None] = []
    disk.hang()
    for at in (0, 100):
        store.post_write(place, at, memoryview(b"x" * 100), written.append)
    await held(disk)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.room(), 0.001)
    store.be_late_after(SOON)
    waiting, patient = store.call(volume.reserve, 1000), store.call_patiently(volume.needs_room)
    with pytest.raises(StoreError, match="does not answer"):
        await waiting
    assert [str(error) for error in written] == ["the disk does not answer"] * 2
    with pytest.raises(StoreError, match="does not answer"):
        await store.call(volume.reserve, 1000)
    assert not await store.attempt(volume.delete, b"n" * 16, None, "replaced")
    store.post_write(place, 200, memoryview(b"x" * 100), written.append)
    await asyncio.sleep(0)
    assert [str(error) for error in written] == ["the disk does not answer"] * 3
    await asyncio.wait_for(store.room(), 10)
    assert not patient.done()
    store.be_late_after(LATE_SECONDS)
    disk.go_on()
    assert await patient is False
    await answers(store)
    await store.call(volume.needs_room)  # behind what was posted for reservations that nobody waited for
    pack = volume.packs.all[place.pack]
    assert pack.open_reservations == 1, "only the one that somebody has"
    assert len(written) == 3, "each is told once"
    assert volume.packs.written_bytes >= 200, "what was asked for is done"
    await store.close()


async def test_a_call_that_hangs_makes_the_volume_read_only_then_off_and_a_slow_try_does_not_make_it_good(
    tmp_path: Path,
) -> None:
    disk = HangingDisk()
    volume = open_volume(tmp_path, disk=disk)
    store = StoreThread(volume)
    told: asyncio.Queue[Trust] = asyncio.Queue()
    store.on_trust = told.put_nowait
    store.start()
    place = await store.call(volume.reserve, 1000)
    disk.hang()
    store.post_write(place, 0, memoryview(b"x"), lambda error: None)
    await held(disk)
    store.be_late_after(SOON)
    assert await asyncio.wait_for(told.get(), 10) is Trust.READ_ONLY
    assert await asyncio.wait_for(told.get(), 10) is Trust.OFF
    assert volume.hello.off
    assert volume.lookup(name(volume, "/a")) is None, "look-ups go on"
    disk._where = "disk-try"
    store.be_late_after(LATE_SECONDS)
    disk.go_on()
    await answers(store)
    errors = volume.health.errors
    disk.hang()
    trying = asyncio.create_task(store.attempt(store._try_disk))
    await held(disk)
    store.be_late_after(SOON)
    while volume.health.errors == errors:
        await asyncio.sleep(0.02)
    disk.go_on()
    await trying
    store.be_late_after(LATE_SECONDS)
    await answers(store)
    assert volume.health.trust is Trust.OFF
    assert await store.attempt(store._try_disk)
    assert await asyncio.wait_for(told.get(), 10) is Trust.GOOD
    await store.close()


async def test_who_waits_too_long_behind_others_is_told_as_well(tmp_path: Path) -> None:
    volume = open_volume(tmp_path)
    store = StoreThread(volume)
    store.start()
    slow = threading.Event()
    for _ in range(100):
        store.post(slow.wait, SOON / 2)  # none of them is late
    waiting = store.call(volume.reserve, 1000)
    store.be_late_after(SOON)
    with pytest.raises(StoreError, match="does not answer"):
        await waiting
    store.be_late_after(LATE_SECONDS)
    slow.set()
    await answers(store)
    await store.call(volume.needs_room)
    assert volume.packs.active is not None
    assert volume.packs.active.open_reservations == 0, "what nobody waited for was given back"
    await store.close()
