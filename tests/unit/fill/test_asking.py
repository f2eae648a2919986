"""What a worker knows of a fetch under way."""

import os

from edge.fill.asking import Asker, Asking, InlineBytes
from edge.fill.messages import UNKNOWN, Fetch, Freed, Inline, Message, Mode, Scratch
from edge.words import Kind


class Nobody:
    """An asker that keeps what it is to send."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def drop(self, asking: Asking) -> None: ...


def asking(by: Nobody) -> Asking:
    fetch = Fetch(7, Mode.FILL, "s", b"GET", b"/a", b"k", b"/a", Kind.SEGMENT, (), 0, UNKNOWN, 0, False, None)
    asker: Asker = by  # type: ignore[assignment]
    return Asking(asker, fetch, None)  # type: ignore[arg-type]


def window() -> int:
    return os.memfd_create("window", os.MFD_CLOEXEC)


def test_a_scratch_window_that_has_been_read_so_far_may_still_grow() -> None:
    by = Nobody()
    one = asking(by)
    one.take(Scratch(7, 1, 0, 100), [window()])
    one.read(100, 1000)
    assert by.sent == []
    one.take(Scratch(7, 1, 0, 200), [])  # the keeper knows that its descriptor is here
    assert one.at(150) is not None


def test_a_scratch_window_is_freed_when_the_next_one_is_being_read() -> None:
    by = Nobody()
    one = asking(by)
    one.take(Scratch(7, 1, 0, 100), [window()])
    one.take(Scratch(7, 2, 100, 50), [window()])
    one.read(101, 1000)
    assert by.sent == [Freed(7, 1)]
    assert one.at(50) is None
    assert one.at(120) is not None


def test_bytes_that_rode_in_a_message_are_let_go_when_read() -> None:
    one = asking(Nobody())
    one.take(Inline(7, 0, b"abc"), [])
    assert isinstance(one.at(0), InlineBytes)
    one.read(3, 1000)
    assert one.at(0) is None


def test_a_scratch_window_that_is_full_is_freed_as_soon_as_all_of_it_is_handed_out() -> None:
    """Its next one may be what somebody else holds who waits for the same."""
    by = Nobody()
    one = asking(by)
    one.take(Scratch(7, 1, 0, 100), [window()])
    one.take(Scratch(7, 1, 0, 200, True), [])
    one.read(100, 1000)
    assert by.sent == []
    one.read(200, 1000)
    assert by.sent == [Freed(7, 1)]
