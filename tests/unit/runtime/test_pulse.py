"""Who says nothing for a while stands still, unless something else holds him up: a disk, a debugger, the machine."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.config.schema import Settings
from edge.runtime.charter import Charter
from edge.runtime.places import Place
from edge.runtime.pulse import BEAT_SECONDS, KILL_LOOKS, RUN_SHARE, STILL_LOOKS, TICKS, Pulse

PID = 4711
ENOUGH = int(RUN_SHARE * BEAT_SECONDS * TICKS) + 1  # of a processor between two looks


def lay_down(proc: Path, states: str, ticks: int = 0) -> None:
    """What the kernel says of a process with a thread in each of these states."""
    for number, state in enumerate(states):
        task = proc / str(PID) / "task" / str(PID + number)
        task.mkdir(parents=True, exist_ok=True)
        (task / "stat").write_text(f"{PID + number} (edge) keeper) {state} 1" + " 0" * 48)
    fields = ["1", *["0"] * 9, str(ticks), "0", *["0"] * 37]
    (proc / str(PID) / "stat").write_text(f"{PID} (edge) keeper) {states[0]} " + " ".join(fields))


def begun(proc: Path) -> Pulse:
    """Of a child that has been heard, and then at one look has not."""
    pulse = Pulse(PID, proc)
    pulse.beat()
    assert pulse.look() == 0
    assert pulse.look() == 0  # from here on it is known how much it runs
    return pulse


@pytest.mark.parametrize("states", ["S", "SSS", "SIS"])
def test_a_child_that_only_waits_and_says_nothing_stands_still(tmp_path: Path, states: str) -> None:
    lay_down(tmp_path, states)
    pulse = begun(tmp_path)
    assert [pulse.look() for _ in range(STILL_LOOKS)] == list(range(1, STILL_LOOKS + 1))


def test_what_it_says_ends_it(tmp_path: Path) -> None:
    lay_down(tmp_path, "S")
    pulse = begun(tmp_path)
    for _ in range(STILL_LOOKS - 1):
        pulse.look()
    pulse.beat()
    assert [pulse.look() for _ in range(4)] == [0, 0, 1, 2]


def test_a_child_that_runs_and_says_nothing_stands_still(tmp_path: Path) -> None:
    lay_down(tmp_path, "RS")
    pulse = begun(tmp_path)
    for look in range(1, STILL_LOOKS + 1):
        lay_down(tmp_path, "RS", look * ENOUGH)
        assert pulse.look() == look


@pytest.mark.parametrize("states", ["D", "SD", "T", "t", "RT", "R", "SR"])
def test_nobody_is_blamed_for_a_disk_a_signal_a_debugger_or_a_busy_machine(tmp_path: Path, states: str) -> None:
    lay_down(tmp_path, states)
    pulse = begun(tmp_path)
    assert {pulse.look() for _ in range(3 * STILL_LOOKS)} == {0}


def test_what_held_it_up_for_a_while_is_left_out(tmp_path: Path) -> None:
    lay_down(tmp_path, "SS")
    pulse = begun(tmp_path)
    assert pulse.look() == 1
    lay_down(tmp_path, "SD")
    assert [pulse.look() for _ in range(STILL_LOOKS)] == [1] * STILL_LOOKS
    lay_down(tmp_path, "SS")
    assert pulse.look() == 2


def test_a_child_that_never_says_anything_is_of_an_earlier_program(tmp_path: Path) -> None:
    lay_down(tmp_path, "S")
    pulse = Pulse(PID, tmp_path)
    assert {pulse.look() for _ in range(3 * STILL_LOOKS)} == {0}


def test_one_that_has_ended_does_not_stand_still(tmp_path: Path) -> None:
    lay_down(tmp_path, "S")
    pulse = begun(tmp_path)
    (tmp_path / str(PID) / "stat").unlink()
    assert pulse.look() == 0


def test_it_is_asked_to_say_where_it_stands_once_and_killed_if_it_cannot() -> None:
    sent: list[signal.Signals] = []
    said: list[str] = []
    place = Place(Charter("keeper", 0, Settings(), (), 0, 0, 0, 0))
    looks = iter([STILL_LOOKS - 1, STILL_LOOKS, STILL_LOOKS, STILL_LOOKS + KILL_LOOKS - 1, STILL_LOOKS + KILL_LOOKS])
    place.process = SimpleNamespace(  # type: ignore[assignment]
        pulse=SimpleNamespace(look=lambda: next(looks)), exited=SimpleNamespace(done=lambda: False), signal=sent.append
    )
    steps = []
    for _ in range(5):
        place.look(said.append)
        steps.append(list(sent))
    first = [signal.SIGABRT]
    assert steps == [[], first, first, first, [*first, signal.SIGKILL]]
    assert said == ["keeper 0 stands still: it is ended, and says where its threads are"]
    place.vacate(-9)
    assert place.broken  # its successor leaves the index alone all the same
    assert place.last_words == "its loop stood still for 60 s"
