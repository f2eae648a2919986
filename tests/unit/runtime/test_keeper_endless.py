"""A keeper whose volume never comes back from a call, nor from its start, ends, and says where it was."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from edge.config.schema import Settings
from edge.observe.slots import create_slot_file
from edge.runtime import keeper
from edge.runtime.charter import Charter
from edge.runtime.endless import endless
from edge.runtime.places import Place
from edge.store.hits import create_hits_file
from edge.store.volume import Volume

ROLES = "tests.unit.runtime.test_keeper_endless"


def go_round(*_: object, **__: object) -> NoReturn:
    while True:
        pass


async def never_opens(child):  # type: ignore[no-untyped-def]
    Volume.open = go_round  # type: ignore[method-assign, assignment]
    await keeper_with_little_patience(child)


async def never_comes_back(child):  # type: ignore[no-untyped-def]
    Volume.sweep_live = go_round  # type: ignore[method-assign, assignment]
    await keeper_with_little_patience(child)


async def keeper_with_little_patience(child):  # type: ignore[no-untyped-def]
    keeper.endless = partial(endless, look=0.05, most=0.5)  # type: ignore[attr-defined]
    await keeper.run_keeper(child)


@pytest.fixture
def charter(tmp_path: Path) -> Iterator[Charter]:
    said = {"cache": {"dir": str(tmp_path / "c"), "size": "64MiB"}, "origin": {"url": "http://127.0.0.1:9"}}
    with ExitStack() as stack:
        slot_fd, hits_fd = create_slot_file("slots"), create_hits_file()
        liveness = os.pipe()
        for fd in (slot_fd, hits_fd, *liveness):
            stack.callback(os.close, fd)
        link = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        link.bind(str(tmp_path / "link"))
        link.listen()
        settings, links = Settings.model_validate(said), ((0, str(tmp_path / "link")),)
        yield Charter("keeper", 0, settings, links, slot_fd, hits_fd, liveness[0], -1, link.fileno())


@pytest.mark.parametrize("role", ["never_opens", "never_comes_back"])
async def test_a_volume_that_goes_round_in_a_circle_ends_its_keeper(
    charter: Charter, capfd: pytest.CaptureFixture[str], role: str
) -> None:
    place = Place(replace(charter, entry=f"{ROLES}:{role}"))
    async with asyncio.timeout(50):
        code = await place.start(lambda: None, print).exited
    place.vacate(code)
    assert place.broken  # its successor leaves the index alone
    assert place.last_words.startswith("the volume's thread has used")
    assert "in go_round" in capfd.readouterr().err
