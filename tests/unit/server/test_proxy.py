"""PROXY headers, whole, cut, with more behind them, and broken."""

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.server.hello import MoreNeeded
from edge.server.proxy import SIGNATURE, V1_MOST, V2_MOST, NoProxyHeader, Said, header_of, trusted


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(payload)) + payload


def pair(family: int, source: str, destination: str) -> bytes:
    return socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack(">HH", 5000, 443)


TCP4 = pair(socket.AF_INET, "192.0.2.7", "198.51.100.1")
TCP6 = pair(socket.AF_INET6, "2001:db8::7", "2001:db8::1")
TLVS = b"\x04\x00\x03abc" + b"\x20\x00\x05\x01\0\0\0\0"  # NOOP, SSL
GOOD = [
    (b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", "2001:db8::7"),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 0 65535\r\n", "192.0.2.7"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:f...f:ffff and more 65535\r\n", None),
    (v2(0x21, 0x11, TCP4), "192.0.2.7"),
    (v2(0x21, 0x11, TCP4 + TLVS), "192.0.2.7"),
    (v2(0x21, 0x21, TCP6 + TLVS), "2001:db8::7"),
    (v2(0x21, 0x00, b""), None),  # UNSPEC
    (v2(0x21, 0x31, bytes(216)), None),  # a Unix socket
    (v2(0x20, 0x00, b""), None),  # LOCAL: a health check
    (v2(0x20, 0x11, TCP4), None),
]
BAD = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"proxy TCP4 192.0.2.7 198.51.100.1 5000 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 65536\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 05000 443\r\n",
    b"PROXY TCP4 192.0.2.7  198.51.100.1 5000 443\r\n",
    b"PROXY TCP4 192.0.2.777 198.51.100.1 5000 443\r\n",
    b"PROXY TCP4 2001:db8::7 2001:db8::1 5000 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 5000 443\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 5000 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r" + b"x" * 70 + b"\n",
    b"PROXY " + b"x" * V1_MOST,
    b"PROXY UNKNOWN " + b"x" * V1_MOST + b"\r\n",
    v2(0x21, 0x11, TCP4[:-1]),
    v2(0x21, 0x21, TCP4),
    v2(0x11, 0x11, TCP4),
    v2(0x22, 0x11, TCP4),
    v2(0x21, 0x11, bytes(V2_MOST)),
    SIGNATURE[:5] + b"x" * 20,
    b"\x16\x03\x01\x02\x00\x01",
]


@pytest.mark.parametrize(("data", "client"), GOOD)
def test_a_header_says_whose_connection_it_is_and_where_it_ends(data: bytes, client: str | None) -> None:
    assert header_of(data) == Said(client, len(data))
    assert header_of(data + b"GET / HTTP/1.1\r\n\r\nPROXY TCP4") == Said(client, len(data))


@pytest.mark.parametrize("data", [data for data, _ in GOOD])
def test_every_cut_asks_for_more_and_never_for_more_than_there_is(data: bytes) -> None:
    for at in range(len(data)):
        with pytest.raises(MoreNeeded) as more:
            header_of(data[:at])
        assert at < more.value.total <= len(data)


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused_at_the_latest_when_it_is_whole(data: bytes) -> None:
    with pytest.raises(NoProxyHeader):
        header_of(data)
    for at in range(len(data)):  # and no cut of it counts as one
        with pytest.raises((NoProxyHeader, MoreNeeded)):
            header_of(data[:at])


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
)
def test_whatever_comes_is_read_refused_or_waited_for_within_bounds(junk: bytes, start: bytes) -> None:
    data = start + junk
    needed, said = 0, None
    try:
        said = header_of(data)
    except MoreNeeded as more:
        needed = more.total
    except NoProxyHeader:
        return
    if said is None:
        assert len(data) < needed <= V2_MOST
    else:
        assert said.length <= len(data)
        assert said.client is None or ipaddress.ip_address(said.client)


@given(st.sampled_from([data for data, _ in GOOD]), st.integers(0, 400), st.integers(0, 255))
def test_a_changed_byte_never_leads_beyond_the_header(data: bytes, at: int, value: int) -> None:
    changed = bytearray(data)
    changed[at % len(data)] = value
    try:
        said = header_of(bytes(changed))
    except (MoreNeeded, NoProxyHeader):
        return
    assert said.length <= len(data)


def test_only_the_networks_that_are_named_are_trusted() -> None:
    networks = (ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("2001:db8::/64"))
    assert trusted("10.0.0.255", networks)
    assert trusted("2001:db8::1", networks)
    assert trusted("2001:db8::1%eth0", networks)
    for peer in ("10.0.1.0", "2001:db8:1::", "", "nonsense"):
        assert not trusted(peer, networks)
