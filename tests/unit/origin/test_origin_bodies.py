"""What the ends of a member's bodies say of it, and what its heads do not."""

from edge.clock import FakeClock
from edge.fill.spread import FIRST
from edge.origin.bodies import BROKEN, FAR_ENOUGH, FEW_PACKETS, FORGOTTEN, Bodies
from edge.origin.breaker import FAILURES, OPEN_FIRST, OPEN_MOST, UNTRIED, Breaker, State


def broken(clock: FakeClock, size: int = 10_000) -> Breaker:
    """Its heads come, its bodies do not."""
    breaker = Breaker(clock)
    for _ in range(BROKEN):
        assert breaker.state is State.CLOSED
        breaker.succeeded()
        breaker.body_broke(size)
    return breaker


def test_bodies_that_break_in_a_row_open_the_breaker_though_each_had_a_head() -> None:
    assert broken(FakeClock()).state is State.OPEN


def test_a_head_does_not_close_what_bodies_have_opened_but_a_body_does() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(OPEN_FIRST)
    breaker.succeeded()
    assert breaker.state is not State.CLOSED
    breaker.body_came(20_000)
    assert breaker.state is State.CLOSED


def test_a_body_that_breaks_at_its_trial_opens_it_for_longer() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(OPEN_FIRST)
    breaker.checked(well=True)
    trial = breaker.take_trial()
    breaker.succeeded()
    assert breaker.state is State.HALF_OPEN
    assert breaker.take_trial() is None, "its body has not come yet"
    breaker.body_broke(10_000)
    breaker.give_back(trial)
    assert breaker.state is State.OPEN
    clock.advance(OPEN_FIRST)
    assert not breaker.check_due
    clock.advance(OPEN_FIRST)
    assert breaker.check_due


def test_bodies_of_before_a_change_do_not_open_it_again() -> None:
    clock = FakeClock()
    begun = clock.monotonic()
    breaker = broken(clock)
    clock.advance(OPEN_FIRST)
    breaker.checked(well=True)
    breaker.body_broke(10_000, begun=begun)
    assert breaker.state is State.HALF_OPEN
    breaker.body_came(20_000)
    assert breaker.state is State.CLOSED
    for _ in range(BROKEN):
        breaker.body_broke(10_000, begun=begun)
    breaker.failed(begun=clock.monotonic())
    assert breaker.state is State.CLOSED


def test_small_bodies_say_nothing_of_larger_ones_that_break() -> None:
    bodies = Bodies(FakeClock())
    for _ in range(BROKEN):
        bodies.broke(10_000)
        assert not bodies.came(10_000)
    assert bodies.bad
    assert bodies.came(10_001)
    assert not bodies.bad


def test_one_that_broke_before_its_first_byte_does_not_let_any_small_body_make_up_for_all() -> None:
    bodies = Bodies(FakeClock())
    for size in (10_000, 0, 5_000, 0, 300):
        bodies.broke(size)
    assert not bodies.came(10_000)
    assert bodies.came(10_001)
    for _ in range(BROKEN):
        bodies.broke(0)
    assert not bodies.came(300), "a playlist"
    assert bodies.came(FEW_PACKETS + 1)


def test_the_first_piece_of_a_far_body_does_not_make_up_for_those_that_break_late() -> None:
    """It was trusted again each second, and players stalled each time."""
    clock = FakeClock()
    breaker = broken(clock, 10 * FIRST)
    pauses = []
    for _ in range(6):
        paused = 0.0
        while not breaker.check_due:
            clock.advance(0.5)
            paused += 0.5
        pauses.append(paused)
        breaker.checked(well=True)
        trial = breaker.take_trial()
        breaker.succeeded()
        breaker.body_came(FIRST)
        breaker.give_back(trial)
        assert breaker.state is State.HALF_OPEN
        breaker.body_broke(10 * FIRST, begun=clock.monotonic())
        assert breaker.state is State.OPEN
    assert pauses == [OPEN_FIRST, 2.0, 4.0, 8.0, OPEN_MOST, OPEN_MOST]


def test_heads_end_a_row_of_failures_also_where_a_check_has_closed_what_bodies_had_opened() -> None:
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(OPEN_FIRST)
    breaker.checked(well=True)
    clock.advance(UNTRIED)
    breaker.checked(well=True)
    assert breaker.state is State.CLOSED
    assert breaker._bodies.bad
    for _ in range(2 * FAILURES):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is State.CLOSED
    breaker.body_broke(10_000)
    assert breaker.state is State.OPEN, "bodies have their say all the same"


def test_a_body_of_some_length_makes_up_for_those_that_break_late() -> None:
    bodies = Bodies(FakeClock())
    for _ in range(BROKEN):
        bodies.broke(10 * FAR_ENOUGH)
    assert not bodies.came(FAR_ENOUGH - 1)
    assert bodies.came(FAR_ENOUGH)


def test_a_whole_body_between_them_begins_the_count_anew() -> None:
    breaker = Breaker(FakeClock())
    for _ in range(3 * BROKEN):
        breaker.body_broke(10_000)
        breaker.body_came(FAR_ENOUGH)
    assert breaker.state is State.CLOSED


def test_broken_bodies_are_forgotten_so_that_who_brings_only_small_ones_is_asked_again() -> None:
    clock = FakeClock()
    bodies = Bodies(clock)
    for _ in range(BROKEN):
        bodies.broke(10_000)
    clock.advance(FORGOTTEN + 1.0)
    assert not bodies.bad
    assert not bodies.broke(10_000)
    breaker = broken(clock)
    clock.advance(FORGOTTEN + 1.0)
    breaker.succeeded()
    assert breaker.state is State.CLOSED


def test_an_old_body_that_ends_well_does_not_close_what_was_opened_for_another_reason() -> None:
    breaker = Breaker(FakeClock())
    breaker.body_broke(0)
    for _ in range(FAILURES):
        breaker.failed()
    breaker.body_came(FAR_ENOUGH)
    assert breaker.state is State.OPEN
