"""A purge that the disk does not take: nobody is served what it names, and it is done when it can be."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.fill import purging
from edge.fill.asking import Asker
from edge.fill.messages import NO_NAME, Bad, Hello
from edge.policy.purges import Purge, Scope
from edge.store.disk import Disk
from edge.store.health import OFF_AFTER, READ_ONLY_AFTER
from edge.store.names import name_of
from edge.store.record import Flag
from edge.store.settings import VolumeHello
from edge.store.version import Versions
from edge.words import Reason
from tests.support.fillbench import FillBench, fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.reading import reader_beside
from tests.support.volumes import FailingDisk, HangingDisk


async def origin(asked: Asked, wire: Wire) -> None:
    more = "Cache-Control: max-age=1000", "Surrogate-Key: t"
    if asked.fields.get("if-none-match") == '"v1"':
        await wire.send(f'HTTP/1.1 304 Same\r\nETag: "v1"\r\n{more[0]}\r\n\r\n'.encode())
        return
    await wire.send(answer(asked, asked.target.encode() * 1000, *more))


class Worker:
    """What a worker of the bench sees, by the hellos that come."""

    def __init__(self, bench: FillBench, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reader = reader_beside(bench.volume, SystemClock(), monkeypatch)
        self._moved = asyncio.Event()
        self._asker = Asker(str(directory / "link"), self._hear)
        self._asker.connect()

    def _hear(self, hello: Hello) -> None:
        self.reader.reopen(VolumeHello.from_json(hello.volume))
        self._moved.set()

    async def until(self, *, hidden: bool) -> None:
        async with asyncio.timeout(20):
            while bool(self.reader.hello.unmet) is not hidden:
                self._moved.clear()
                await self._moved.wait()

    def seen(self, path: str) -> str:
        record = self.reader.lookup(name_of(b"default" + path.encode(), self.reader.hello.secret))
        return "nothing" if record is None else "stale" if record.flags & Flag.STALE else "fresh"

    def close(self) -> None:
        self._asker.close()
        self.reader.close()


class Bench:
    """A keeper with two objects, and a worker beside it."""

    def __init__(self, bench: FillBench, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keeper, self.worker = bench, Worker(bench, directory, monkeypatch)
        self.store, self.volume = bench.store, bench.volume
        self.versions = bench.volume._versions = Versions()
        bench.volume._cell = 0
        self.store.on_trust = lambda _: bench.desk.greet_all()  # as the keeper has it

    async def forget(self, what: Purge, *, owed: bool = False) -> str:
        return (await self.keeper.asker.forget(what, owed=owed)).error


async def benches(directory: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async with RawServer(origin) as server, fill_bench(directory, server.url, disk=disk) as bench:
        for path in ("/a.ts", "/b.ts"):
            await bench.get(path)
        made = Bench(bench, directory, monkeypatch)
        await made.worker.until(hidden=False)
        assert made.worker.seen("/a.ts") == made.worker.seen("/b.ts") == "fresh"
        yield made
        made.worker.close()


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk(0, where="purges")


@pytest.fixture
async def bench(tmp_path: Path, disk: FailingDisk, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    async for made in benches(tmp_path, disk, monkeypatch):
        yield made


NAMES_A = [
    Purge(Scope.KEY, b"default/a.ts"),
    Purge(Scope.PATH, b"default/a.ts"),
    Purge(Scope.PREFIX, b"default/a"),
    Purge(Scope.TAG, b"t", b"default"),
    Purge(Scope.PREFIX, b""),
]


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("what", NAMES_A, ids=lambda what: f"{what.scope} {what.text.decode()}")
async def test_what_cannot_be_noted_is_hidden_from_workers_and_keeper_and_is_done_once_it_can_be(
    bench: Bench, disk: FailingDisk, what: Purge, soft: bool
) -> None:
    what = Purge(what.scope, what.text, what.site, soft)
    other = "nothing" if what.scope is Scope.TAG or not what.text else "fresh"
    disk.for_ever = True
    assert "hidden until it can be done" in await bench.forget(what)
    await bench.worker.until(hidden=True)
    assert bench.worker.seen("/a.ts") == ("stale" if soft else "nothing")
    assert bench.worker.seen("/b.ts") == (other if other == "fresh" or not soft else "stale")
    got = await bench.keeper.get("/a.ts")
    assert got.failed is None
    assert not got.again, "the keeper does not take it for stored either"
    disk.for_ever = False
    assert await bench.forget(what) == ""
    await bench.worker.until(hidden=False)
    record = bench.keeper.stored("/a.ts")
    assert record is None or (soft and record.flags & Flag.STALE)


async def test_a_volume_that_is_not_written_to_any_more_is_not_asked_to_and_hides_what_is_purged(bench: Bench) -> None:
    what = Purge(Scope.KEY, b"default/a.ts")
    for _ in range(READ_ONLY_AFTER + 1):
        bench.store.disk_failed()
    assert "not written to" in await bench.forget(what)
    await bench.worker.until(hidden=True)
    assert not bench.worker.reader.hello.writable
    assert bench.worker.seen("/a.ts") == "nothing"
    assert bench.worker.seen("/b.ts") == "fresh"
    bench.volume.health.works()
    assert await bench.forget(what) == ""
    await bench.worker.until(hidden=False)
    assert bench.worker.seen("/a.ts") == "nothing"
    assert bench.keeper.stored("/a.ts") is None


async def test_one_that_was_off_has_all_asked_about_when_it_is_good_again(bench: Bench) -> None:
    for _ in range(OFF_AFTER + 1):
        bench.store.disk_failed()
    assert bench.volume.hello.off
    bench.versions.leave(0)  # as workers do that have another volume
    await bench.store.call(bench.store._try_disk)
    await bench.worker.until(hidden=True)
    assert not bench.worker.reader.hello.off
    assert bench.worker.seen("/a.ts") == bench.worker.seen("/b.ts") == "stale"
    await bench.keeper.get("/a.ts")
    assert bench.worker.seen("/a.ts") == "fresh", "it is as the origin has it"
    assert bench.worker.seen("/b.ts") == "stale"


async def test_one_that_nobody_has_left_since_there_is_no_other_keeps_what_it_has(bench: Bench) -> None:
    bench.keeper.asker.tell(Bad(NO_NAME, 0, 0, 0, Reason.STORE_FAILED))
    for _ in range(OFF_AFTER + 1):
        bench.store.disk_failed()
    await bench.store.call(bench.store._try_disk)
    assert not bench.volume.hello.off
    assert not bench.versions.take_left(0)
    assert bench.volume.hello.unmet == ()


async def test_a_disk_that_does_not_answer_keeps_nothing_from_being_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "HANG_SECONDS", 0.5)
    disk = HangingDisk("purges")
    async for bench in benches(tmp_path, disk, monkeypatch):
        bench.store.be_late_after(0.1)
        disk.hang()
        asked = asyncio.ensure_future(bench.forget(Purge(Scope.KEY, b"default/a.ts")))
        await bench.worker.until(hidden=True)
        assert bench.worker.seen("/a.ts") == "nothing"
        assert not asked.done()
        disk.go_on()
        assert await asked == ""
        await bench.worker.until(hidden=False)
        assert bench.worker.seen("/a.ts") == "nothing"


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
async def test_what_is_owed_and_fails_again_leaves_alone_what_has_come_since_it_was_hidden(
    bench: Bench, disk: FailingDisk, soft: bool
) -> None:
    what = Purge(Scope.PREFIX, b"", soft=soft)
    disk.for_ever = True
    assert "hidden" in await bench.forget(what, owed=True)
    await bench.worker.until(hidden=True)
    assert bench.worker.seen("/a.ts") == ("stale" if soft else "nothing")
    await bench.keeper.get("/a.ts")
    assert bench.worker.seen("/a.ts") == "fresh"
    number = bench.volume.purges.unmet_number
    assert "hidden" in await bench.forget(what, owed=True)
    assert bench.volume.purges.unmet_number == number, "nor do workers forget what they remember"
    assert bench.worker.seen("/a.ts") == "fresh"
    assert "hidden" in await bench.forget(what), "an operator who asks anew means what there is now"
    assert bench.volume.purges.unmet_number != number


async def test_a_purge_that_waits_behind_a_long_one_is_hidden_meanwhile(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "HANG_SECONDS", 0.05)
    async with bench.keeper.desk._purger._turn:
        asked = asyncio.ensure_future(bench.forget(Purge(Scope.KEY, b"default/a.ts")))
        await bench.worker.until(hidden=True)
        assert bench.worker.seen("/a.ts") == "nothing"
        assert bench.worker.seen("/b.ts") == "fresh"
        assert not asked.done()
    assert await asked == ""
    await bench.worker.until(hidden=False)
    assert bench.keeper.stored("/a.ts") is None
