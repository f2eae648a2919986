"""What a child is given, and what it says and does: real processes, started by the test instead of a supervisor."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from edge.clock import FakeClock
from edge.config.schema import Settings
from edge.errors import StoreError
from edge.observe.slots import create_slot_file
from edge.runtime import keeper
from edge.runtime.charter import Charter
from edge.runtime.child import loop_factory, role_at
from edge.runtime.places import Place, launch
from edge.store.hits import Shared, create_hits_file
from edge.store.volume import Volume
from edge.tasks import Tasks

ROLES = "tests.unit.runtime.test_charter_and_child"


@pytest.fixture
def liveness() -> Iterator[tuple[int, BinaryIO]]:
    """The liveness pipe: its read end, and what a test closes in a supervisor's place."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb"), open(write_end, "wb") as writing:
        yield read_end, writing


@pytest.fixture
def charter(liveness: tuple[int, BinaryIO]) -> Iterator[Charter]:
    """With everything that a role may expect."""
    with ExitStack() as stack:
        slot_fd, hits_fd = create_slot_file("slots"), create_hits_file()
        stack.callback(os.close, slot_fd)
        stack.callback(os.close, hits_fd)
        yield Charter(
            "worker", 3, Settings(), ((0, "/run/link"),), slot_fd, hits_fd, liveness[0], -1, entry=f"{ROLES}:says_all"
        )


async def says_all(child):  # type: ignore[no-untyped-def]
    child.say(f"number {child.charter.number}\nand a second line")
    child.ready()
    await child.stop_requested.wait()
    child.say("stopping")


async def waits(child):  # type: ignore[no-untyped-def]
    child.ready()
    await asyncio.Event().wait()


async def breaks(child):  # type: ignore[no-untyped-def]
    raise OSError(28, "No space left on device")


def test_a_charter_survives_its_memfd() -> None:
    settings = Settings.model_validate(
        {
            "cache": {"size": "3GiB"},
            "origin": {"url": "https://o/b"},
            "site": [{"name": "a", "hosts": ["h"], "kinds": {"mp4": {"ttl": "1d"}}}],
            "tls": [{"cert": "c", "key": "k", "names": ["n"]}],
        }
    )
    charter = Charter(
        "worker", 7, settings, ((0, "/l"), (3, "/m")), 1, 2, 3, 4, 5, ((6, True), (8, False)), "m:f", "/r"
    )
    assert Charter.from_file(charter.to_file()) == charter
    assert charter.descriptors == (1, 2, 3, 4, 5, 6, 8)


def test_a_charter_of_ten_thousand_sites_survives_too() -> None:
    sites = [{"name": f"site{n}", "hosts": [f"h{n}.example"]} for n in range(10_000)]
    charter = Charter("keeper", 0, Settings.model_validate({"site": sites}), ((0, "/l"),), 1, 2, 3, 4)
    fd = charter.to_file()
    assert os.fstat(fd).st_size > 1_000_000
    assert Charter.from_file(fd) == charter


def test_of_the_keepers_that_there_are_one_fades_what_they_share(charter: Charter) -> None:
    """Also where the first volume cannot be used: else what was wanted once would be for ever."""
    for numbers in ((0,), (0, 1, 2), (1, 3), (3, 2)):
        links = tuple((number, f"/run/{number}") for number in numbers)
        keepers = [replace(charter, role="keeper", number=number, links=links) for number in numbers]
        assert [each.number for each in keepers if each.fades_hits] == [min(numbers)]


@pytest.mark.parametrize(("numbers", "fades"), [((0, 1, 2), False), ((1, 2), True)])
async def test_a_keeper_opens_its_volume_as_the_one_that_fades_or_not(
    charter: Charter, monkeypatch: pytest.MonkeyPatch, numbers: tuple[int, ...], fades: bool
) -> None:
    given = list[bool]()

    def opened(*_: object, shared: Shared, **__: object) -> Volume:
        given.append(shared.fades)
        raise StoreError("that is all")

    monkeypatch.setattr(keeper, "Bus", lambda: SimpleNamespace(install=lambda: None))
    monkeypatch.setattr(Volume, "open", opened)
    settings = Settings.model_validate({"volume": [{"path": f"/v{number}", "size": "1GB"} for number in range(3)]})
    links = tuple((number, f"/run/{number}") for number in numbers)
    child: Any = SimpleNamespace(
        charter=replace(charter, role="keeper", number=1, links=links, settings=settings), end_at_once=None
    )
    tasks = Tasks("test")
    with pytest.raises(StoreError, match="that is all"):
        await keeper._open_volume(child, FakeClock(), tasks)
    await tasks.close()
    assert given == [fades]


async def test_a_child_speaks_line_by_line_and_ends_when_told(charter: Charter) -> None:
    said: list[tuple[str, str]] = []
    ready = asyncio.Event()

    def on_line(word: str, text: str) -> None:
        said.append((word, text))
        if word == "ready":
            ready.set()

    process = launch(charter, on_line)
    async with asyncio.timeout(20):
        await ready.wait()
        process.signal(signal.SIGTERM)
        assert await process.exited == 0
    assert said == [("say", "number 3 and a second line"), ("ready", ""), ("say", "stopping")]
    process.signal(signal.SIGTERM)  # nothing happens to a process that has ended


async def test_the_end_of_the_liveness_pipe_ends_a_child_that_would_wait_for_ever(
    charter: Charter, liveness: tuple[int, BinaryIO]
) -> None:
    ready = asyncio.Event()
    process = launch(replace(charter, entry=f"{ROLES}:waits"), lambda word, _: ready.set())
    async with asyncio.timeout(20):
        await ready.wait()
        assert not process.exited.done()
        liveness[1].close()
        assert await process.exited == 3


async def test_a_failure_is_a_childs_last_word(charter: Charter) -> None:
    place = Place(replace(charter, entry=f"{ROLES}:breaks"))
    async with asyncio.timeout(20):
        code = await place.start(lambda: None, print).exited
    place.vacate(code)
    assert code == 3
    assert place.last_words == "OSError: [Errno 28] No space left on device"
    assert not place.refused
    assert place.process is None


async def test_a_child_whose_parent_is_another_does_not_play(charter: Charter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent died, and its pid with it, before the kernel was asked to tell us."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    said: list[str] = []
    process = launch(charter, lambda word, _: said.append(word))
    async with asyncio.timeout(20):
        assert await process.exited == 3
    assert said == []


async def test_a_system_without_processes_leaves_no_descriptors(
    charter: Charter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("subprocess.Popen", refuse)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="temporarily"):
        launch(charter, lambda *_: None)
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_event_loop_is_uvloops_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_factory()[1].startswith("uvloop 0.")
    monkeypatch.setitem(__import__("sys").modules, "uvloop", None)
    factory, why = loop_factory()
    assert factory is asyncio.new_event_loop
    assert "since uvloop cannot be used" in why


def test_the_roles_of_a_real_server_exist() -> None:
    from edge.runtime.supervisor import ENTRIES

    for entry in ENTRIES.values():
        assert asyncio.iscoroutinefunction(role_at(entry))


def test_a_death_by_a_signal_is_told_by_its_name(tmp_path: Path) -> None:
    place = Place(Charter("worker", 1, Settings(), (), 0, 0, 0, 0))
    place.vacate(-11)
    assert place.last_words == "signal SIGSEGV"
    place.last_words = ""
    place.vacate(-40)
    assert place.last_words == "signal 40"


@pytest.mark.parametrize(("code", "broken"), [(-6, True), (-7, True), (-11, True), (-9, False), (3, False), (0, False)])
def test_what_died_of_its_own_memory_is_told_from_what_was_ended(code: int, broken: bool) -> None:
    place = Place(Charter("keeper", 0, Settings(), (), 0, 0, 0, 0))
    place.vacate(code)
    assert place.broken == broken


def test_it_is_known_until_another_one_serves() -> None:
    place = Place(Charter("keeper", 0, Settings(), (), 0, 0, 0, 0))
    place.vacate(-11)
    place.vacate(3)  # its successor could not begin
    assert place.broken
    place.ready = True
    place.vacate(-9)
    assert not place.broken
