"""Processes of a build: side by side where they prepare, one after the other where they write."""

import os
import random
import sys
from pathlib import Path

import pytest

from edge.store.bulk import __main__ as bulk
from edge.store.bulk.builder import processes
from edge.store.bulk.building import SIDES, _Build
from edge.store.bulk.order import Order
from edge.store.bulk.reading import PARTS
from edge.store.bulk.spill import Spill, Spills
from edge.store.bulk.turns import Turns
from edge.store.bulk.weighing import Weighed


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


def test_rows_wait_in_memory_up_to_a_bound_whatever_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.store.bulk.spill.HELD_MOST", 1000)
    path = tmp_path / "a"
    spill, written = Spill(path, 7), 0
    for number in range(300):
        spill.parts[number % 7].append(b"%0100d" % number)
        spill.held(100)
        assert sum(len(row) for rows in spill.parts for row in rows) < 1000
        assert path.stat().st_size >= written
        written = path.stat().st_size
    assert written >= 29_000
    spill.close()


def test_rows_of_the_other_tables_are_divided_into_equal_parts_by_a_sample(tmp_path: Path) -> None:
    rng, turns = random.Random(1), Turns.begin(1)[0]
    order = Order(str(tmp_path), str(tmp_path), "", [], 0, 1)
    build, side = _Build(tmp_path, order, turns, lambda _: None, None), Spill(tmp_path / "side-0", len(SIDES) * PARTS)

    def rows(count: int) -> Weighed:
        found = Weighed()
        for rows in (found.places, found.keys, found.tags, found.extents):
            rows.extend(b"the same for all: " + rng.randbytes(40) for _ in range(count))
        return found

    build._divide(rows(PARTS * 10))
    for _ in range(4):
        build._spill(rows(PARTS * 10), side)
    for number in range(len(SIDES)):
        lengths = [len(part) for part in side.parts[number * PARTS : (number + 1) * PARTS]]
        assert sum(lengths) == PARTS * 40
        assert max(lengths) < 4 * 40
    side.close()
    turns.close()


@pytest.mark.parametrize(("cores", "count"), [(1, 1), (2, 2), (32, 2)])
def test_a_builder_has_a_process_for_each_core_two_at_most(
    monkeypatch: pytest.MonkeyPatch, cores: int, count: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert processes() == count


def test_a_builder_leaves_the_cores_to_those_who_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[object] = []
    monkeypatch.setattr(os, "nice", done.append)
    monkeypatch.setattr(sys, "argv", ["bulk", str(tmp_path)])
    monkeypatch.setattr(bulk, "build", lambda directory, told, watched: done.append(directory))
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        bulk.main()
    assert done == [bulk.NICE, tmp_path], "before anything is done"
    assert bulk.NICE > 0
    assert capsys.readouterr().out == "done\n"


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
