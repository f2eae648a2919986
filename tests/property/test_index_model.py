"""The volume against a model: any order of puts, deletes, purges, evictions, flushes, stops, kills and lost indexes.

A lost index is rebuilt step by step or by a builder, and anything may happen before that is over.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from edge.policy.purges import Purge, Scope
from edge.words import KIB, Eviction
from tests.support.building import use_builder
from tests.support.rebuilding import lose_index
from tests.support.volumes import name, open_volume, prove, put

KEYS = [f"/{n}" for n in range(6)]
TOTAL = 400 * KIB


class VolumeModel(RuleBasedStateMachine):
    """`known` = what may be there: key -> version and stretches. Eviction may take anything, nothing else may."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="edge-model-"))
        self.volume = open_volume(self.directory)
        self.known: dict[str, tuple[int, set[int]]] = {}
        self.version = 0
        self.evicted = False

    @rule(key=st.sampled_from(KEYS), slice_=st.integers(0, 5), fresh=st.booleans())
    def store_a_slice(self, key: str, slice_: int, fresh: bool) -> None:
        version, starts = self.known.get(key, (0, set()))
        volume = self.volume
        if fresh or version == 0 or volume.lookup(name(volume, key)) is None:
            self.version += 1
            version, starts = self.version, set()
        start = slice_ * 64 * KIB
        record = volume.lookup(name(volume, key))
        if start in starts and record is not None and start in {extent.start for extent in volume.extents(record)}:
            return
        put(self.volume, key, version, min(64 * KIB, TOTAL - start), start=start, total=TOTAL)
        self.known[key] = version, starts | {start}

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        self.volume.delete(name(self.volume, key), None, Eviction.PURGE)
        self.known.pop(key, None)

    @rule(key=st.sampled_from(KEYS))
    def purge(self, key: str) -> None:
        self.volume.purges.do_now(Purge(Scope.KEY, key.encode()))
        self.known.pop(key, None)

    @rule()
    def evict(self) -> None:
        if self.volume.evict_step():
            self.evicted = True

    @rule()
    def flush(self) -> None:
        self.volume.flush_journals()

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.volume.close(clean=clean)
        self.volume = open_volume(self.directory)

    @rule(built=st.booleans(), steps=st.sampled_from([0, 1, 2, 3, 5, 8, 1000]))
    def lose_the_index(self, built: bool, steps: int) -> None:
        self.volume.close()
        lose_index(self.directory)
        with pytest.MonkeyPatch.context() as monkeypatch:
            if built:
                use_builder(monkeypatch)
            self.volume = open_volume(self.directory)
        self.rebuild(steps)

    @rule(steps=st.sampled_from([1, 2, 1000]))
    def rebuild(self, steps: int) -> None:
        while steps and self.volume.rebuild_step():
            steps -= 1

    @invariant()
    def what_is_there_is_right_and_what_was_committed_is_there(self) -> None:
        if not hasattr(self, "volume"):
            return
        for key in KEYS:
            found = prove(self.volume, key)
            version, starts = self.known.get(key, (0, set()))
            if found is None:
                assert not starts or self.evicted or self.volume.rebuilding
                continue
            record = self.volume.lookup(name(self.volume, key))
            assert record is not None
            assert record.etag == b'"%d"' % version, "an old version is back"
            assert set(found) <= starts
            assert set(found) == starts or self.evicted or self.volume.rebuilding

    def teardown(self) -> None:
        if hasattr(self, "volume"):
            self.volume.close()
            shutil.rmtree(self.directory, ignore_errors=True)


SETTINGS = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
VolumeModel.TestCase.settings = SETTINGS
TestVolumeModel = VolumeModel.TestCase


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_long_histories() -> None:
    run_state_machine_as_test(VolumeModel, settings=settings(SETTINGS, max_examples=400, stateful_step_count=60))
