"""When a reader counts as too slow."""

from edge.server.gauge import DrainGauge


def test_nothing_is_said_before_a_span_is_over() -> None:
    gauge = DrainGauge(0, 100.0)
    assert not gauge.too_slow(0, 129.9, 4096, 30.0)


def test_a_reader_below_the_rate_is_too_slow_when_the_span_is_over() -> None:
    gauge = DrainGauge(1000, 100.0)
    assert gauge.too_slow(1000 + 30 * 4096 - 1, 130.0, 4096, 30.0)


def test_a_reader_at_the_rate_begins_a_new_span() -> None:
    gauge = DrainGauge(0, 0.0)
    assert not gauge.too_slow(30 * 4096, 30.0, 4096, 30.0)
    assert not gauge.too_slow(30 * 4096, 59.0, 4096, 30.0)
    assert gauge.too_slow(30 * 4096, 60.0, 4096, 30.0)  # what it took before does not help it now


def test_a_longer_span_asks_for_more() -> None:
    gauge = DrainGauge(0, 0.0)
    assert gauge.too_slow(30 * 4096, 31.0, 4096, 30.0)


def test_its_state_can_be_seen() -> None:
    assert repr(DrainGauge(7, 3.0)) == "<DrainGauge since=3.0 mark=7>"
