"""The volume against a model: any order of puts, deletes, evictions, flushes, stops, kills and lost indexes."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge.words import KIB, Eviction
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
        if fresh or version == 0:
            self.version += 1
            version, starts = self.version, set()
        start = slice_ * 64 * KIB
        if start in starts:
            return
        put(self.volume, key, version, min(64 * KIB, TOTAL - start), start=start, total=TOTAL)
        self.known[key] = version, starts | {start}

    @rule(key=st.sampled_from(KEYS))
    def delete(self, key: str) -> None:
        self.volume.delete(name(self.volume, key), None, Eviction.PURGE)
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

    @rule()
    def lose_the_index(self) -> None:
        self.volume.close()
        for path in (self.directory / "v").glob("index-*"):
            shutil.rmtree(path)
        self.volume = open_volume(self.directory)
        while self.volume.rebuild_step():
            pass

    @invariant()
    def what_is_there_is_right_and_what_was_committed_is_there(self) -> None:
        if not hasattr(self, "volume"):
            return
        for key in KEYS:
            found = prove(self.volume, key)
            version, starts = self.known.get(key, (0, set()))
            if found is None:
                assert not starts or self.evicted
                continue
            record = self.volume.lookup(name(self.volume, key))
            assert record is not None
            assert record.etag == b'"%d"' % version, "an old version is back"
            assert set(found) <= starts
            assert set(found) == starts or self.evicted

    def teardown(self) -> None:
        if hasattr(self, "volume"):
            self.volume.close()
            shutil.rmtree(self.directory, ignore_errors=True)


VolumeModel.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestVolumeModel = VolumeModel.TestCase
