"""Listening sockets, and the private directory for those between processes."""

import os
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.runtime import listeners
from edge.runtime.listeners import RuntimeDirectory, bind, spoken
from edge.sockets import SO_MAX_PACING_RATE, TCP_NOTSENT_LOWAT, SocketOptions
from tests.support.addresses import needs_ipv6


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


def options_of(sock: socket.socket) -> tuple[str, int, int, int, int]:
    """In the order of `SocketOptions`."""
    return (
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode(),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,  # the kernel doubles it for its own needs
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,
        sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT),
        int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 8), sys.byteorder),
    )


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


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for runtime directories; pytest's own are too long for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="run-", dir="/tmp") as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        yield Path(path)


def test_the_directory_is_ours_alone_and_the_same_for_the_same_cache(base: Path) -> None:
    (base / "one").mkdir()
    (base / "two").mkdir()
    first = RuntimeDirectory.of(base / "one")
    assert first.path.parent == base
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o700
    sock, path = first.link("cache.link")
    sock.close()
    assert Path(path).exists()
    (base / "alias").symlink_to(base / "one")
    again = RuntimeDirectory.of(base / "alias")
    assert again.path == first.path
    assert not Path(path).exists()  # what a predecessor left is swept
    assert RuntimeDirectory.of(base / "two").path != first.path
    again.remove()
    assert not first.path.exists()


@pytest.mark.parametrize("how", ["open to others", "a link", "a file"])
def test_a_directory_that_somebody_else_prepared_is_not_used(base: Path, how: str) -> None:
    (base / "cache").mkdir()
    name = RuntimeDirectory.of(base / "cache").path
    name.rmdir()
    (base / "trap").mkdir(mode=0o700)
    match how:
        case "open to others":
            name.mkdir()
            name.chmod(0o777)
        case "a link":
            name.symlink_to(base / "trap")
        case _:
            name.write_text("")
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path != name
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.link("cache.link")[0].close()
    assert list((base / "trap").iterdir()) == []


def test_a_path_too_long_for_a_socket_is_not_used(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = base / ("x" * 100)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    (base / "cache").mkdir()
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path.parent == base
    directory.link("cache.link")[0].close()
    directory.remove()


def test_a_base_that_does_not_serve_is_passed_over(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    (base / "t").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "none"))
    monkeypatch.setattr(tempfile, "tempdir", str(base / "t"))
    assert RuntimeDirectory.of(base / "cache").path.parent == base / "t"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert RuntimeDirectory.of(base / "cache").path.parent == base / "t"


def test_where_all_else_is_read_only_the_cache_serves(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    real = Path.mkdir

    def mkdir(path: Path, *rest: int) -> None:
        if path.parent != base / "cache":
            raise OSError(30, "Read-only file system")
        real(path, *rest)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    directory = RuntimeDirectory.of(base / "cache")
    assert directory.path.parent == base / "cache"
    directory.link("cache.link")[0].close()


def test_where_no_base_serves_the_last_reason_is_raised(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "cache").mkdir()
    monkeypatch.setattr(listeners, "_bases", lambda _: iter([base / "none", base / ("x" * 200)]))
    with pytest.raises(FileNotFoundError):
        RuntimeDirectory.of(base / "cache")
    monkeypatch.setattr(listeners, "_bases", lambda _: iter([base / ("x" * 200)]))
    with pytest.raises(OSError, match="short enough"):
        RuntimeDirectory.of(base / "cache")


def test_removing_twice_is_no_error(base: Path) -> None:
    (base / "cache").mkdir()
    directory = RuntimeDirectory.of(base / "cache")
    directory.remove()
    directory.remove()
    assert os.listdir(base) == ["cache"]
