"""How often a body may break in a row: what it brings between two breaks decides."""

from edge.fill.tries import PROGRESS, Tries


def test_breaks_in_a_row_are_counted_and_the_first_one_after_bytes_is_none() -> None:
    assert [Tries(0).broke(0), Tries(0).broke(1)] == [1, 0]
    tries = Tries(0)
    assert [tries.broke(100) for _ in range(4)] == [0, 1, 2, 3]


def test_a_few_bytes_each_time_are_no_progress() -> None:
    tries = Tries(1000)
    assert [tries.broke(1000 + at) for at in range(1, 6)] == [0, 1, 2, 3, 4]


def test_what_comes_in_several_tries_counts_together() -> None:
    third = PROGRESS // 3 + 1
    tries = Tries(0, began=True)
    assert [tries.broke(third * at) for at in range(1, 8)] == [1, 2, 0, 1, 2, 0, 1]


def test_much_in_one_try_begins_the_count_anew() -> None:
    tries = Tries(0, began=True)
    assert [tries.broke(at) for at in (0, 0, PROGRESS, PROGRESS, 2 * PROGRESS)] == [1, 2, 0, 1, 0]
