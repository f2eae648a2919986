"""Whatever call of the disk fails while a cache starts, rebuilds or is scrubbed: nothing wrong, nothing lost.

The Nth call fails, once or for ever after, for N = 1.. (a part of them; all with --long). A start may fail by that; the
next one on a good disk does not. What had been made durable is in the journals all the time.
"""

import errno
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from edge.clock import FakeClock
from edge.errors import StoreError
from edge.store.scrub import BadExtent, Scrubber, ScrubSettings
from edge.store.volume import Volume
from edge.words import KIB
from tests.support.rebuilding import finish_rebuild, lose_index
from tests.support.volumes import FailingDisk, name, open_volume, prove, put

SIZE = 40_000
MORE = {"pack_size": 256 * KIB}
FLUSHED = [f"/{n}" for n in range(14)]
LATE = ["/late", "/later"]  # in the index, not yet in a journal
NEVER = 1 << 60
PART = 9  # of all calls, in the usual run


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot be read is tried again without a pause."""
    monkeypatch.setattr("edge.store.rebuild.AGAIN_SECONDS", 0.0)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache whose keeper was killed."""
    directory = tmp_path_factory.mktemp("killed")
    volume = open_volume(directory, **MORE)
    for key in FLUSHED:
        put(volume, key, 1, SIZE)
    volume.delete(name(volume, "/13"), None, "invalidated")  # type: ignore[arg-type]
    put(volume, "/13", 2, SIZE)
    volume.flush_journals()
    for key in LATE:
        put(volume, key, 1, SIZE)
    volume.close(clean=False)
    return directory


def copied(killed: Path, directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(killed / "v", directory / "v")
    return directory


def start(directory: Path, boot: str, disk: FailingDisk | None = None) -> Volume:
    volume = open_volume(directory, boot=boot, disk=disk, **MORE)
    try:
        finish_rebuild(volume)
    except BaseException:
        volume.close(clean=False)
        raise
    return volume


def is_right(volume: Volume, keys: list[str]) -> int:
    """How many of them are there, every byte compared, and none in an older version."""
    found = 0
    for key in keys:
        proven = prove(volume, key)
        assert proven in (None, {}, {0: SIZE}), key
        found += bool(proven)
        record = volume.lookup(name(volume, key))
        assert record is None or key != "/13" or record.etag == b'"2"'
    return found


def nothing_is_lost(directory: Path) -> None:
    """The next start is one, and the journals have all that was flushed."""
    volume = start(directory, "boot-1")
    is_right(volume, FLUSHED + LATE)
    volume.close()
    lose_index(directory)
    volume = start(directory, "boot-9")
    assert is_right(volume, FLUSHED) == len(FLUSHED)
    volume.close()


def calls(config: pytest.Config, total: int) -> range:
    return range(1, total + 1, 1 if config.getoption("--long") else max(1, total // PART))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("lost", [False, True], ids=["journals are completed", "the index is rebuilt"])
def test_a_call_fails_while_it_starts(
    tmp_path: Path, killed: Path, pytestconfig: pytest.Config, *, for_ever: bool, number: int, lost: bool
) -> None:
    disk = FailingDisk(NEVER)
    directory = copied(killed, tmp_path / "c")
    if lost:
        lose_index(directory)
    start(directory, "boot-1", disk).close(clean=False)
    total = NEVER - disk.left
    assert total > 20
    started = 0
    for nth in calls(pytestconfig, total):
        directory = copied(killed, tmp_path / "c")
        if lost:
            lose_index(directory)
        disk = FailingDisk(nth, number=number, for_ever=for_ever)
        with suppress(OSError, StoreError):
            volume = start(directory, "boot-1", disk)
            started += 1
            is_right(volume, FLUSHED + LATE)
            put_one_more(volume)
            volume.close(clean=False)
        assert disk.failed
        nothing_is_lost(directory)
    assert started or for_ever


def put_one_more(volume: Volume) -> None:
    """A disk that has failed once may do so again, and nothing comes of it but that."""
    with suppress(OSError, StoreError):
        put(volume, "/more", 1, SIZE)
        volume.flush_journals()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_a_call_fails_while_it_is_scrubbed(
    tmp_path: Path, killed: Path, pytestconfig: pytest.Config, *, for_ever: bool
) -> None:
    def scrub(volume: Volume) -> list[BadExtent]:
        found: list[BadExtent] = []
        mend: list[int] = []
        scrubber = Scrubber(
            volume.inspector(), volume.index, lambda: list(volume.packs.all),
            ScrubSettings(1 << 40, 86400.0, lambda now: 0.0), FakeClock(), found.append, volume.mending.note_scrubbed,
            mend=mend.append,
        )  # fmt: skip
        try:
            scrubber.run_pass()
        finally:
            scrubber.close()
            for bad in found:
                volume.mending.found_bad(bad)
            for pack in mend:
                with suppress(OSError):
                    volume.mending.mend_journal(pack)
        return found

    disk = FailingDisk(NEVER)
    volume = start(copied(killed, tmp_path / "c"), "boot-1", disk)
    before = disk.left
    assert scrub(volume) == []
    total = before - disk.left
    volume.close(clean=False)
    for nth in calls(pytestconfig, total):
        directory, disk = copied(killed, tmp_path / "c"), FailingDisk(NEVER, for_ever=for_ever)
        volume = start(directory, "boot-1", disk)
        disk.arm(nth)
        with suppress(OSError):
            found = scrub(volume)
            assert for_ever or len(found) <= 1
        assert disk.failed
        disk.for_ever = False
        is_right(volume, FLUSHED + LATE)
        volume.close(clean=False)
        nothing_is_lost(directory)
