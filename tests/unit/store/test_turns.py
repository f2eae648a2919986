"""Processes of a build: side by side where they prepare, one after the other where they write."""

import os
from pathlib import Path

import pytest

from edge.store.bulk.spill import Spill, Spills
from edge.store.bulk.turns import Turns


def written_by(count: int, tasks: int, fails: int = -1) -> tuple[bytes, list[int]]:
    """What processes have written of their tasks, in its order; how those that were forked have ended."""
    readable, writable = os.pipe()
    turns, pids = Turns.begin(count)
    try:
        for task in turns.tasks(tasks):
            if task == fails:
                raise ZeroDivisionError
            with turns.own():
                os.write(writable, b"%d " % task if task is not None else b"")
        turns.meet()
    except (EOFError, ZeroDivisionError):
        if turns.at:
            os._exit(1)
        turns.close()
        raise
    finally:
        if turns.at:
            os._exit(0)
        ends = [os.waitpid(pid, 0)[1] for pid in pids]
        os.close(writable)
        found = os.read(readable, 10_000)
        os.close(readable)
    turns.close()
    return found, ends


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork where a test runner has threads


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("tasks", [0, 1, 5, 6, 7])
def test_tasks_are_written_in_their_order_however_many_processes_share_them(count: int, tasks: int) -> None:
    found, ends = written_by(count, tasks)
    assert found == b"".join(b"%d " % task for task in range(tasks))
    assert ends == [0] * (count - 1)


@pytest.mark.parametrize("fails", [3, 4, 5])
def test_when_one_fails_nobody_waits_for_ever(fails: int) -> None:
    with pytest.raises((EOFError, ZeroDivisionError)):
        written_by(3, 9, fails)


def test_rows_come_back_by_part_from_all_who_have_spilled_them(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for who, path in enumerate(paths):
        spill = Spill(path, 3)
        for number in range(100):
            spill.parts[number % 2].append(b"%d %d" % (who, number))
            spill.held(1 << 20)  # written more than once
        spill.close()
    spills = Spills(paths)
    for part in (0, 1):
        assert spills.rows(part) == [b"%d %d" % (who, n) for who in (0, 1) for n in range(part, 100, 2)]
    assert spills.rows(2) == []
    spills.close()
    with paths[0].open("r+b") as file:
        file.truncate(10)
    spills = Spills(paths)
    with pytest.raises(OSError, match="ends early"):
        spills.rows(0)
    spills.close()
