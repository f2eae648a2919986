"""An index whose table of readers is full: what cannot be looked at now is an error of the store, and no other one."""

from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.fill.purging import Purger
from edge.policy.purges import Purge, Scope
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from tests.support.volumes import name, open_volume, put

A = Purge(Scope.KEY, b"/a")


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    monkeypatch.setattr("edge.store.tables.MAX_READERS", 1)
    made = open_volume(tmp_path)
    put(made, "/a", 1, 1000)
    return made


def test_whatever_is_asked_of_it_is_told_as_such(volume: Volume) -> None:
    record = volume.lookup(name(volume, "/a"))
    assert record is not None
    with volume.index._tables.env.begin():
        for ask in (lambda: volume.lookup(name(volume, "/a")), lambda: volume.extents(record), volume.index.objects):
            with pytest.raises(StoreError, match="READERS_FULL"):
                ask()
    assert volume.lookup(name(volume, "/a")) == record
    volume.close()


async def test_a_purge_that_cannot_look_is_told_as_failed_and_what_it_names_is_hidden(volume: Volume) -> None:
    """It was neither: the operator waited for two minutes, and players were served."""
    store = StoreThread(volume)
    store.start()
    purger = Purger(store, lambda: (), lambda _: None, lambda: None)
    with volume.index._tables.env.begin(), pytest.raises(StoreError, match="hidden until"):
        await purger.purge([A])
    record = await store.call(volume.lookup, name(volume, "/a"))
    assert record is not None
    assert purger.judged(record, live=False) is None
    assert (await purger.purge([A])).objects == 1
    assert not volume.purges.unmet.entries
    await store.close()
