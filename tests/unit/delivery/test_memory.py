"""The hit path's memory: bounded, and what is used stays."""

from edge.delivery.memory import Memory


def test_what_is_used_stays_and_the_rest_is_forgotten_within_the_bound() -> None:
    memory: Memory[int, str] = Memory(10)
    memory.put(0, "hot")
    for key in range(1, 1000):
        memory.put(key, "cold")
        assert memory.get(0) == "hot"
        assert len(memory) <= 20
    assert memory.get(1) is None
    assert memory.get(999) == "cold"
