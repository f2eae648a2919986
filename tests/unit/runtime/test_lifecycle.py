"""When a dead child is replaced."""

from edge.runtime.lifecycle import BACK_OFF_MOST, STABLE_SECONDS, Restarts


def test_the_first_death_is_replaced_at_once_and_further_ones_later_and_later() -> None:
    restarts = Restarts()
    delays = [restarts.delay_after(lived=0.3) for _ in range(9)]
    assert delays[:6] == [0, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert delays[6:] == [BACK_OFF_MOST] * 3


def test_a_child_that_lived_long_is_replaced_at_once_again() -> None:
    restarts = Restarts()
    for _ in range(5):
        restarts.delay_after(lived=0.3)
    assert restarts.delay_after(lived=STABLE_SECONDS) == 0
    assert restarts.delay_after(lived=0.3) == 0.2


def test_a_thousand_deaths_wait_no_longer_than_ten() -> None:
    restarts = Restarts(failures=5000)
    assert restarts.delay_after(lived=0) == BACK_OFF_MOST


def test_a_start_is_given_up_at_the_third_failure() -> None:
    restarts = Restarts()
    seen = []
    for _ in range(4):
        restarts.delay_after(lived=0.1)
        seen.append(restarts.hopeless)
    assert seen == [False, False, True, True]
