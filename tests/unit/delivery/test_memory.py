"""The hit path's memory: bounded, and what is used stays."""

from edge.delivery.memory import Memory
from edge.store.doorkeeper import PLACES


def test_what_is_used_stays_and_the_rest_is_forgotten_within_the_bound() -> None:
    memory: Memory[int, str] = Memory(10)
    memory.put(0, "hot")
    for key in range(1, 1000):
        memory.put(key, "cold")
        assert memory.get(0) == "hot"
        assert len(memory) <= 20
    assert memory.get(1) is None
    assert memory.get(999) == "cold"


def test_what_is_offered_gets_in_the_second_time() -> None:
    memory: Memory[int, str] = Memory(10)
    memory.offer(1, "once")
    assert memory.get(1) is None
    memory.offer(1, "again")
    assert memory.get(1) == "again"


def test_what_is_offered_once_pushes_nothing_out_and_is_forgotten_within_the_bound() -> None:
    memory: Memory[int, str] = Memory(10)
    memory.put(0, "hot")
    memory.offer(-1, "early")
    for key in range(1, 2 * PLACES):
        memory.offer(key, "cold")
        assert len(memory) == 1
    memory.offer(-1, "late")
    assert memory.get(-1) is None
    assert memory.get(0) == "hot"
