"""A request whose name has to be looked up on the disk: who waits, for how long, and where it goes then."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edge.delivery import look_up
from edge.delivery.look_up import LookUp
from edge.store.record import Flag
from edge.tasks import Tasks


class Node:
    """A worker's delivery, as far as it is asked here; `here` is what the index has."""

    def __init__(self) -> None:
        self.brought: list[bytes] = []
        self.ends: list[tuple[str, object]] = []
        self.here: dict[bytes, Any] = {}
        self.answers = asyncio.Event()
        self.other: object = None
        reader = SimpleNamespace(bring=self._bring, lookup=self.here.get)
        self.tasks = Tasks("test")
        self.volumes = {0: SimpleNamespace(reader=reader, tasks=self.tasks)}
        self.place = SimpleNamespace(volume=0, name=b"name")
        self.exchange = SimpleNamespace(open=True, request=None, abort=lambda: self.ends.append(("abort", None)))

    async def _bring(self, name: bytes) -> None:
        self.brought.append(name)
        await self.answers.wait()

    def variants(self, *_: object) -> list[bytes]:
        return [b"one", b"two"]

    def elsewhere(self, *_: object) -> object:
        return self.other

    def look_again(self, _exchange: object, place: object, tries: int) -> None:
        assert tries == 0
        self.ends.append(("look", place))

    def fetch(self, _exchange: object, place: object) -> None:
        self.ends.append(("fetch", place))

    async def ask(self) -> None:
        LookUp(self, self.exchange, self.place).begin()  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert self.ends == []

    async def end(self) -> list[tuple[str, object]]:
        async with asyncio.timeout(10):
            while len(self.tasks):
                await asyncio.sleep(0)
        return self.ends


async def test_its_story_goes_on_when_the_pages_are_there() -> None:
    node = Node()
    await node.ask()
    node.answers.set()
    assert await node.end() == [("look", node.place)]
    assert node.brought == [b"name"]


async def test_of_answers_that_vary_the_variants_are_brought_too() -> None:
    node = Node()
    node.here[b"name"] = SimpleNamespace(flags=Flag.VARIES)
    await node.ask()
    node.answers.set()
    assert await node.end() == [("look", node.place)]
    assert node.brought == [b"name", b"one", b"two"]


@pytest.mark.parametrize("other", [None, SimpleNamespace(volume=1, name=b"there")])
async def test_a_disk_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch, other: object) -> None:
    monkeypatch.setattr(look_up, "LATE_SECONDS", 0.01)
    node = Node()
    node.other = other
    await node.ask()
    assert await node.end() == [("fetch", node.place) if other is None else ("look", other)]


async def test_nobody_is_answered_who_has_left() -> None:
    node = Node()
    await node.ask()
    node.exchange.open = False
    node.answers.set()
    assert await node.end() == []


async def test_what_goes_wrong_ends_the_connection_and_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    node = Node()
    node.look_again = None  # type: ignore[assignment, method-assign]
    await node.ask()
    node.answers.set()
    assert await node.end() == [("abort", None)]
    assert "look-up crashed" in caplog.text
