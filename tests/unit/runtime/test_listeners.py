"""Listening sockets, and the private directory for those between processes."""

import socket
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.runtime import listeners
from edge.runtime.listeners import bind, spoken
from edge.sockets import SocketOptions
from tests.support.addresses import needs_ipv6
from tests.support.sockopts import options_of


@needs_ipv6
def test_port_0_becomes_a_port_that_can_be_told() -> None:
    with bind("127.0.0.1:0", "f") as sock:
        assert spoken(sock) == f"127.0.0.1:{sock.getsockname()[1]}"
        assert sock.getsockname()[1] > 0
        assert not sock.getblocking()
        socket.create_connection(sock.getsockname(), 5).close()
    with bind("[::1]:0", "f") as sock:
        assert spoken(sock).startswith("[::1]:")


@needs_ipv6
def test_all_addresses_take_both_families() -> None:
    with bind(":0", "f") as sock:
        port = sock.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()


def test_what_a_listener_accepts_has_its_options() -> None:
    with bind("127.0.0.1:0", "f", SocketOptions("reno", 65536, 32768, 16384, 10**10)) as sock:
        with socket.create_connection(sock.getsockname(), 5):
            sock.setblocking(True)
            accepted, _ = sock.accept()
            with accepted:
                assert options_of(accepted) == ("reno", 65536, 32768, 16384, 10**10)


def test_a_congestion_control_that_is_not_to_be_had_is_left_out_and_told() -> None:
    usual = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    with bind("127.0.0.1:0", "f", SocketOptions("nonesuch")) as sock:
        assert options_of(sock)[0] == usual
    assert "modprobe tcp_nonesuch" in (SocketOptions("nonesuch").refusal() or "")
    assert SocketOptions("reno").refusal() is None
    assert SocketOptions().refusal() is None


def test_a_name_is_bound_at_its_ipv4_address_first() -> None:
    with bind("localhost:0", "f") as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_without_ipv6_all_addresses_means_all_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = socket.AF_INET, *rest: int, **named: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest, **named)

    monkeypatch.setattr(listeners.socket, "socket", without_ipv6)
    with bind("[::]:0", "f") as sock:
        assert sock.getsockname()[0] == "0.0.0.0"
        with pytest.raises(ConfigError, match="another program listens there already"):
            bind(f":{sock.getsockname()[1]}", "f")
    with pytest.raises(ConfigError, match="no addresses of this family"):
        bind("[::1]:0", "f")


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(ConfigError, match="this machine has no such address") as caught:
        bind("192.0.2.1:0", "admin.listen")  # of TEST-NET-1, RFC 5737
    assert (caught.value.field, caught.value.value) == ("admin.listen", "192.0.2.1:0")


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(listeners.socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match="Name or service not known"):
        bind("edge.example:80", "server.listen")


def test_a_port_in_use_is_told() -> None:
    with bind("127.0.0.1:0", "f") as sock:
        with pytest.raises(ConfigError, match="another program listens there already"):
            bind(spoken(sock), "f")


def test_sizes_beyond_what_the_kernel_can_be_told_are_as_large_as_can_be() -> None:
    huge = 1 << 70
    with bind("127.0.0.1:0", "server.listen", SocketOptions(None, huge, huge, huge, huge)) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 0
