"""Builders of an index for tests: at work in this process, or failing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import StoreError
from edge.store import opening, renewal
from edge.store.bulk.building import build
from edge.store.bulk.order import Answer, Order


class BuilderHere:
    """Builds at once, and says so when it is asked for the second time: all that happens before comes after."""

    def __init__(self, base: Path, order: Order) -> None:
        self.directory = base / "rebuild-here"
        self.directory.mkdir()
        replace(order, processes=1).write(self.directory)
        self.progress = 0.0
        self.asked = 0
        build(self.directory, self._told)

    def poll(self) -> Answer | None:
        self.asked += 1
        if self.asked < 2:
            return None
        return Answer.read(self.directory)

    def _told(self, share: float) -> None:
        self.progress = share

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class BuilderThatFails(BuilderHere):
    def poll(self) -> Answer | None:
        if super().poll() is None:
            return None
        raise StoreError("no")


def use_builder(monkeypatch: pytest.MonkeyPatch, builder: type[BuilderHere] | None = BuilderHere) -> None:
    """Have all but the newest journal read by a builder; None: by a real one."""

    def failed(_renewal: object, error: Exception) -> None:
        raise error

    monkeypatch.setattr(renewal, "NEWEST_BYTES", 0)
    if builder is BuilderHere:
        monkeypatch.setattr(renewal.Renewal, "_give_up", failed)
    if builder is not None:
        monkeypatch.setattr(opening, "Builder", builder)
