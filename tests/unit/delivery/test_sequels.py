"""Who reads range after range gets the next ones before asking, in proportion; who stops or jumps about does not."""

from dataclasses import dataclass

import pytest

from edge.delivery.sequels import EARNED, LEAST, QUIET, Sequel, Sequels
from edge.words import KIB, MIB

FILM = b"f" * 16
OTHER = b"o" * 16
TOTAL = 1000 * MIB
MOST = 32 * MIB


@dataclass(eq=False)
class Answering:
    body_bytes_sent: int = 0


class Player:
    """Reads ranges of a film over one connection, each to its end if not told otherwise."""

    def __init__(self, sequels: Sequels, *, by: object = None, film: bytes = FILM, total: int = TOTAL) -> None:
        self.sequels, self.film, self.total = sequels, film, total
        self.by = by if by is not None else object()
        self.now = 0.0
        self.left: Sequel | None = None
        self.sequel: Sequel | None = None

    def ask(self, start: int, end: int) -> Answering:
        answer = Answering()
        self.sequel, self.left = self.sequels.begin(self.film, start, end, self.total, answer, self.by, self.now)
        return answer

    def step(self) -> tuple[int, int] | None:
        return self.sequels.step(self.sequel) if self.sequel is not None else None

    def read(self, start: int, end: int) -> tuple[int, int] | None:
        """All of it; what is fetched ahead at its beginning."""
        answer = self.ask(start, end)
        found = self.step()
        answer.body_bytes_sent = end - start
        if self.sequel is not None:
            self.sequel.ended(answer, self.now)
        return found

    def look(self) -> list[bool]:
        return [reads for _, reads in self.sequels.look(self.now)]


def test_the_first_range_says_nothing_and_the_second_one_begins_it() -> None:
    player = Player(Sequels(MOST))
    assert player.read(0, MIB) is None
    assert player.read(MIB, 2 * MIB) == (2 * MIB, 6 * MIB)


def test_a_reader_in_order_is_read_ahead_for_without_holes_or_repetition_and_in_proportion() -> None:
    player = Player(Sequels(MOST))
    reach = furthest = steps = 0
    for start in range(0, 200 * MIB, MIB):
        stretch = player.read(start, start + MIB)
        if stretch is not None:
            assert reach in (0, stretch[0])
            assert stretch[1] - (start + MIB) <= EARNED * (start + MIB)
            reach, steps = stretch[1], steps + 1
            furthest = max(furthest, reach - start)
    assert furthest == MOST
    assert steps < 30


@pytest.mark.parametrize("start", [0, MIB - 1, 700 * MIB - 1])
def test_two_ranges_of_a_byte_fetch_nothing(start: int) -> None:
    player = Player(Sequels(MOST))
    assert [player.read(at, at + 1) for at in range(start, start + 50)] == [None] * 50


def test_what_was_asked_for_and_not_read_earns_nothing() -> None:
    sequels = Sequels(MOST)
    first, second = Player(sequels), Player(sequels)
    first.ask(0, 16 * MIB)
    second.ask(16 * MIB, 32 * MIB)
    assert second.step() is None


def test_what_is_read_of_one_long_range_lets_more_be_fetched_as_it_goes_on() -> None:
    player = Player(Sequels(MOST))
    player.read(0, 64 * MIB)
    answer = player.ask(64 * MIB, 128 * MIB)
    assert player.step() is None  # so much lies before it
    answer.body_bytes_sent = 48 * MIB
    assert player.step() == (128 * MIB, 144 * MIB)
    answer.body_bytes_sent = 64 * MIB
    assert player.step() == (144 * MIB, 160 * MIB)


def test_who_seeks_begins_anew_and_is_not_read_ahead_for_where_it_was() -> None:
    player = Player(Sequels(MOST))
    for start in range(0, 10 * MIB, MIB):
        player.read(start, start + MIB)
    before = player.sequel
    assert player.read(500 * MIB, 501 * MIB) is None
    assert player.left is before
    assert player.look() == []
    assert player.read(501 * MIB, 502 * MIB) == (502 * MIB, 506 * MIB)


def test_another_object_on_the_same_connection_is_no_seek() -> None:
    sequels = Sequels(MOST)
    player = Player(sequels)
    for start in range(0, 10 * MIB, MIB):
        player.read(start, start + MIB)
    sound = Player(sequels, by=player.by, film=OTHER)
    sound.read(0, MIB)
    assert sound.left is None
    assert player.look() == [True]


def test_a_seek_of_another_player_ends_nothing() -> None:
    sequels = Sequels(MOST)
    player, other = Player(sequels), Player(sequels)
    for start in range(0, 10 * MIB, MIB):
        player.read(start, start + MIB)
    other.read(500 * MIB, 501 * MIB)
    assert other.left is None
    assert player.look() == [True]


def test_who_falls_silent_is_not_read_ahead_for_any_more_and_who_reads_is() -> None:
    player = Player(Sequels(MOST))
    player.read(0, 8 * MIB)
    player.read(8 * MIB, 9 * MIB)
    player.now = QUIET - 0.1
    assert player.look() == [True]
    answer = player.ask(9 * MIB, 17 * MIB)
    player.now += QUIET - 0.1
    answer.body_bytes_sent = 1
    assert player.look() == [True]
    player.now += QUIET
    assert player.look() == [False]


def test_who_comes_back_after_a_silence_goes_on_with_what_it_has_earned() -> None:
    sequels = Sequels(MOST)
    player = Player(sequels)
    for start in range(0, 32 * MIB, MIB):
        player.read(start, start + MIB)
    assert player.sequel is not None
    assert sequels.end(player.sequel)
    assert not sequels.end(player.sequel)
    assert player.read(32 * MIB, 33 * MIB) == (33 * MIB, 64 * MIB)


def test_two_who_watch_the_same_film_do_not_disturb_each_other() -> None:
    sequels = Sequels(MOST)
    one, other = Player(sequels), Player(sequels)
    found = []
    for step in range(2):
        for player, begin in ((one, 0), (other, 300 * MIB)):
            start = begin + step * MIB
            found.append(player.read(start, start + MIB))
    assert [stretch is not None for stretch in found] == [False, False, True, True]


def test_a_player_that_uses_several_connections_is_one() -> None:
    sequels = Sequels(MOST)
    connections = [Player(sequels) for _ in range(3)]
    found = [connections[n % 3].read(n * MIB, (n + 1) * MIB) for n in range(2)]
    assert found == [None, (2 * MIB, 6 * MIB)]
    assert all(player.left is None for player in connections)


def test_nothing_is_read_beyond_the_end() -> None:
    total = 10 * MIB
    player = Player(Sequels(MOST), total=total)
    found = [player.read(start, start + MIB) for start in range(0, total, MIB)]
    assert max(stretch[1] for stretch in found if stretch is not None) == total
    assert found[-1] is None


def test_an_open_end_is_no_reason_to_read_on() -> None:
    player = Player(Sequels(MOST))
    player.read(0, MIB)
    assert player.read(MIB, TOTAL) is None


def test_less_than_a_slice_is_no_reason_to_fetch_one() -> None:
    player = Player(Sequels(MOST))
    found = [player.read(start, start + 64 * KIB) for start in range(0, 320 * KIB, 64 * KIB)]
    assert found[:2] == [None] * 2
    assert any(stretch is not None for stretch in found[2:])
    assert LEAST >= 512 * KIB


def test_it_can_be_switched_off() -> None:
    player = Player(Sequels(0))
    player.read(0, MIB)
    assert player.read(MIB, 2 * MIB) is None
    assert player.sequel is None


def test_of_a_connection_nothing_is_kept_once_it_asks_for_nothing_and_nothing_is_fetched_for_it() -> None:
    """Thousands of places are remembered, for longer than connections last."""
    player = Player(Sequels(MOST))
    player.read(0, MIB)
    first = player.sequel
    assert first is not None
    assert first.by is None
    answer = player.ask(MIB, 2 * MIB)
    assert player.step() is not None
    first.ended(answer, player.now)
    assert first.by is player.by  # a seek of it ends the lease
    player.sequels.end(first)
    assert first.by is None


def test_a_reader_that_was_silent_within_a_range_and_reads_on_still_ends_with_its_seek() -> None:
    player = Player(Sequels(MOST))
    player.read(0, 8 * MIB)
    answer = player.ask(8 * MIB, 16 * MIB)
    assert player.step() is not None
    before = player.sequel
    assert before is not None
    player.sequels.end(before)
    answer.body_bytes_sent = 4 * MIB
    assert player.step() is not None
    player.ask(500 * MIB, 501 * MIB)
    assert player.left is before
