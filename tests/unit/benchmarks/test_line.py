"""The emulated line: rate, queue, delay and loss, without a clock or a packet."""

import pytest

from benchmarks.forwarder import Line, LineSettings

PACKET = 1500


def test_a_packet_comes_out_after_its_time_on_the_wire_and_the_delay() -> None:
    line = Line(LineSettings(delay=0.1, rate=12_000_000))
    assert line.due(5.0, PACKET) == pytest.approx(5.0 + 0.001 + 0.1)


def test_packets_wait_for_each_other_and_none_overtakes() -> None:
    line = Line(LineSettings(delay=0.1, rate=12_000_000))
    dues = [line.due(5.0, PACKET) for _ in range(10)]
    assert dues == pytest.approx([5.1 + 0.001 * (n + 1) for n in range(10)])


def test_no_more_than_the_rate_gets_through_however_much_is_sent() -> None:
    line = Line(LineSettings(delay=0.0, rate=300e6, queue=100_000))
    sent = [line.due(n * 1e-5, PACKET) for n in range(100_000)]  # 1.2 Gbit/s for a second
    got = sum(PACKET for due in sent if due is not None and due <= 1.0)
    assert got * 8 == pytest.approx(300e6, rel=0.01)
    assert line.counts.dropped > 70_000


def test_what_finds_the_queue_full_is_dropped_and_what_comes_later_is_not() -> None:
    line = Line(LineSettings(delay=0.0, rate=12_000_000, queue=10 * PACKET + 1))
    dues = [line.due(0.0, PACKET) for _ in range(20)]
    assert [due is not None for due in dues] == [True] * 11 + [False] * 9  # ten that wait behind the one on the wire
    assert line.due(0.0021, PACKET) is not None
    assert line.counts.dropped == 9


def test_the_same_seed_loses_the_same_packets_and_the_share_is_right() -> None:
    def lost(seed: int) -> list[bool]:
        line = Line(LineSettings(rate=0, loss=0.01, seed=seed))
        return [line.due(0.0, PACKET) is None for _ in range(100_000)]

    first = lost(3)
    assert first == lost(3)
    assert first != lost(4)
    assert 900 < sum(first) < 1100


def test_without_a_rate_nothing_waits_and_nothing_is_dropped() -> None:
    line = Line(LineSettings(delay=0.05, rate=0, queue=0))
    assert {line.due(1.0, PACKET) for _ in range(1000)} == {1.05}
    assert line.counts.dropped == 0
