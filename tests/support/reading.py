"""A worker's view of a volume that is open in the same process: what the volume has open is read."""

import threading
from pathlib import Path

import pytest

from edge.clock import Clock
from edge.store.hits import Shared
from edge.store.looking import NoIndex, ReadIndex
from edge.store.reader import Reader
from edge.store.settings import VolumeHello
from edge.store.volume import Volume


def reader_beside(
    volume: Volume, clock: Clock, monkeypatch: pytest.MonkeyPatch, shared: Shared | None = None
) -> Reader:
    """A process opens an environment of LMDB once, and no short-lived answers are read."""

    class Looking(ReadIndex):
        def __init__(self, path: Path, map_bytes: int, _bus: object) -> None:
            self.unreadable = False
            tables = volume.index._tables
            self._env, self._begin, self._path = tables.env, tables.env.begin, path
            self._names, self._extents = tables.names, tables.extents
            self._lock, self._closing = threading.Lock(), False

        def close(self) -> None:
            pass

    monkeypatch.setattr("edge.store.reader.ReadIndex", Looking)
    monkeypatch.setattr("edge.store.reader.LiveTable", lambda *_, **__: NoIndex())
    return Reader(VolumeHello.from_json(volume.hello.to_json()), clock, shared)
