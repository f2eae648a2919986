"""Orders of the fleet: signed, bound to their time, and what a stream may lack."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge.control.fleet.bus import Tail
from edge.control.fleet.cursor import Cursor
from edge.control.fleet.order import NotOurs, Order, Seen, Stamp, Verb, fields_of, order_of

KEYS = (b"k" * 16,)
STAMP = Stamp(1_700_000_000_000, 3)
ORDER = Order("ab" * 16, "msk1", 1_700_000_000.25, Verb.PURGE, b'{"everything":true}')


def entry(order: Order = ORDER, fleet: str = "edge", keys: tuple[bytes, ...] = KEYS) -> dict[bytes, bytes]:
    """As Redis gives it back."""
    said = fields_of(order, fleet, keys)
    return {name.encode(): value.encode() if isinstance(value, str) else value for name, value in said.items()}


def test_an_order_comes_back_as_it_was_signed() -> None:
    assert order_of(entry(), STAMP, "edge", KEYS) == ORDER


def test_any_of_the_keys_counts_and_the_first_one_signs() -> None:
    assert order_of(entry(), STAMP, "edge", (b"n" * 16, *KEYS)) == ORDER
    with pytest.raises(NotOurs, match="signature"):
        order_of(entry(keys=(b"n" * 16, *KEYS)), STAMP, "edge", KEYS)


@pytest.mark.parametrize("field", [b"id", b"sender", b"time", b"verb", b"body", b"mac"])
def test_no_field_can_be_changed_or_left_out(field: bytes) -> None:
    changed = entry()
    changed[field] = {b"verb": b"warm", b"time": b"1700000001.25"}.get(field, changed[field][:-1] + b"0")
    assert changed != entry()
    with pytest.raises(NotOurs):
        order_of(changed, STAMP, "edge", KEYS)
    del changed[field]
    with pytest.raises(NotOurs, match="not an order"):
        order_of(changed, STAMP, "edge", KEYS)


def test_nothing_can_be_moved_from_one_field_to_its_neighbour() -> None:
    moved = entry(replace(ORDER, id="abcd", sender="effe"))
    moved[b"id"], moved[b"sender"] = b"abcdef", b"fe"
    with pytest.raises(NotOurs, match="signature"):
        order_of(moved, STAMP, "edge", KEYS)


def test_an_id_that_is_no_hex_is_refused_since_a_file_is_named_by_it() -> None:
    with pytest.raises(NotOurs, match="not an order"):
        order_of(entry(replace(ORDER, id="../../../x")), STAMP, "edge", KEYS)


def test_an_order_of_another_fleet_does_not_count_here() -> None:
    with pytest.raises(NotOurs, match="signature"):
        order_of(entry(fleet="other"), STAMP, "edge", KEYS)


@pytest.mark.parametrize("minutes", [-6, 6, 60 * 24])
def test_an_old_order_put_into_the_stream_again_does_not_count(minutes: int) -> None:
    later = Stamp(STAMP.milliseconds + minutes * 60_000, 0)
    with pytest.raises(NotOurs, match="an old order again"):
        order_of(entry(), later, "edge", KEYS)


def test_what_a_node_says_of_itself_is_signed_too() -> None:
    told = Seen("identity", STAMP).told("msk1", "edge", KEYS).encode()
    assert Seen.heard(told, "msk1", "edge", KEYS) == Seen("identity", STAMP)
    assert Seen.heard(told, "msk2", "edge", KEYS) is None
    assert Seen.heard(told.replace(b"-3", b"-4"), "msk1", "edge", KEYS) is None
    for junk in (b"", b"a b", b"a b c", b"\xff", told + b" x"):
        assert Seen.heard(junk, "msk1", "edge", KEYS) is None


def test_stamps_are_ordered_by_time_then_number() -> None:
    assert Stamp.parse(b"5-10") > Stamp.parse("5-9") > Stamp.parse("4-11")
    assert Stamp(5, 0).before == Stamp(4, 2**64 - 1)
    assert Stamp(5, 7).before == Stamp(5, 6)
    assert Stamp(0, 0).before == Stamp(0, 0)
    assert str(Stamp.parse("12")) == "12-0"


@pytest.mark.parametrize(
    ("tail", "epoch", "done", "lacks"),
    [
        (Tail("e", None, Stamp(0, 0), True), "e", Stamp(0, 0), False),  # nothing was ever ordered
        (Tail("e", Stamp(5, 0), Stamp(9, 0), True), "e", Stamp(0, 0), False),  # all that ever was is there
        (Tail("e", Stamp(5, 0), Stamp(9, 0), False), "e", Stamp(0, 0), True),
        (Tail("e", Stamp(5, 0), Stamp(9, 0), False), "e", Stamp(5, 0), False),
        (Tail("e", Stamp(5, 0), Stamp(9, 0), False), "e", Stamp(4, 9), True),
        (Tail("e", Stamp(5, 1), Stamp(9, 0), False), "e", Stamp(5, 0), False),  # the one before the first is done
        (Tail("e", None, Stamp(9, 0), False), "e", Stamp(8, 0), True),  # trimmed to nothing
        (Tail("e", None, Stamp(9, 0), False), "e", Stamp(9, 0), False),
        (Tail("e", Stamp(5, 0), Stamp(9, 0), True), "e", Stamp(10, 0), True),  # restored from an older copy
        (Tail("f", Stamp(5, 0), Stamp(9, 0), True), "e", Stamp(6, 0), True),  # another Redis, or emptied
    ],
)
def test_a_stream_lacks_orders_where_it_cannot_be_shown_that_it_does_not(
    tail: Tail, epoch: str, done: Stamp, lacks: bool
) -> None:
    assert tail.may_lack(epoch, done) is lacks


def test_a_cursor_survives_a_restart_and_an_emptied_cache_loses_it(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    first = Cursor.load(path, "edge")
    assert first.done is None
    moved = first.moved(path, "edge", "epoch", STAMP)
    assert Cursor.load(path, "edge") == moved
    other = Cursor.load(path, "another")
    assert (other.identity, other.done) == (first.identity, None)
    path.write_text(json.dumps({"identity": 3}))
    assert Cursor.load(path, "edge").done is None
    path.unlink()
    assert Cursor.load(path, "edge").identity != first.identity
