"""The name in a ClientHello, whole, cut, split over records, and broken."""

import ssl

import pytest

from edge.server.hello import MAX_HELLO, MoreNeeded, server_name


def hello(name: str | None) -> bytes:
    """A real one, by the library that clients use."""
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def in_records(data: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    message = data[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2) + part for part in parts)


def test_the_name_is_found_in_lower_case() -> None:
    assert server_name(hello("CDN.Example")) == "cdn.example"


def test_without_a_name_there_is_none() -> None:
    assert server_name(hello(None)) is None


def test_every_cut_asks_for_more_and_says_how_much() -> None:
    data = hello("a.example")
    for at in range(len(data)):
        with pytest.raises(MoreNeeded) as more:
            server_name(data[:at])
        assert at < more.value.total <= len(data)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_hello_in_several_records_is_put_together(size: int) -> None:
    data = in_records(hello("a.example"), size)
    assert server_name(data) == "a.example"
    with pytest.raises(MoreNeeded):
        server_name(data[:-1])


def test_bytes_after_the_hello_do_not_matter() -> None:
    assert server_name(hello("a.example") + b"more") == "a.example"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x17\x03\x01\x00\x01x",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    ],
)
def test_what_is_no_hello_has_no_name(data: bytes) -> None:
    assert server_name(data) is None


def test_a_hello_of_any_size_is_not_waited_for() -> None:
    message = b"\x01" + (MAX_HELLO * 2).to_bytes(3) + bytes(MAX_HELLO - 9)
    assert server_name(b"\x16\x03\x01" + len(message).to_bytes(2) + message + b"\x16\x03\x01\x40\x00") is None


def test_any_changed_byte_gives_a_name_none_or_a_wish_for_more() -> None:
    data = hello("a.example")
    for at in range(len(data)):
        for value in (0x00, 0xFF, data[at] ^ 0x01):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                found = server_name(changed)
            except MoreNeeded:
                continue
            assert found is None or isinstance(found, str)
