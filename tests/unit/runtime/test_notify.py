"""What the service manager is told, and the sockets that it gives."""

import os
import socket
import time
from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.runtime.inherited import Inherited
from edge.runtime.notify import Notifier, for_children
from tests.support.manager import manager


async def test_each_state_is_told_in_the_managers_words(tmp_path: Path) -> None:
    async with manager(tmp_path) as heard:
        notifier = Notifier(str(heard.path), None)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        notifier.ready("ready: 2 workers\nand more")
        notifier.reloading()
        notifier.stopping(31.5)
        notifier.status("waiting")
        assert (await heard.hears("READY"))["MAINPID"] == str(os.getpid())
        assert heard.told[0]["STATUS"] == "ready: 2 workers and more"
        reloading = await heard.hears("RELOADING")
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert (await heard.hears("STOPPING"))["EXTEND_TIMEOUT_USEC"] == "31500000"
        await heard.hears("STATUS", times=4)


async def test_an_abstract_address_is_heard(tmp_path: Path) -> None:
    name = f"edge-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        Notifier("@" + name, None).status("here")
        assert sock.recv(100) == b"STATUS=here"


@pytest.mark.parametrize("address", [None, "", "/nowhere/at/all"])
def test_a_manager_that_is_not_there_is_no_fault(address: str | None) -> None:
    Notifier(address, None).ready("ready")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "77"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "78"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_where_it_is_ours(environment: dict[str, str], expected: float | None) -> None:
    assert Notifier.of(environment, 77).watchdog == expected


async def test_the_watchdog_hears_a_beat_again_and_again(tmp_path: Path) -> None:
    async with manager(tmp_path) as heard:
        from edge.tasks import Tasks

        tasks = Tasks("test")
        tasks.spawn(Notifier(str(heard.path), 0.03).beat(lambda: "serving"), "beat")
        await heard.hears("WATCHDOG", times=4)
        await tasks.close()
        assert [said.get("STATUS") for said in heard.told[:2]] == ["serving", None]


def test_children_are_not_told_what_was_said_to_their_supervisor() -> None:
    said = {"NOTIFY_SOCKET": "/x", "WATCHDOG_PID": "1", "LISTEN_FDS": "2", "PATH": "/bin"}
    assert for_children(said) == {"PATH": "/bin"}


def _listening(address: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.bind((address, 0))
    sock.listen()
    return sock


def test_a_listener_gets_the_inherited_socket_of_its_address() -> None:
    with _listening() as given:
        port = given.getsockname()[1]
        inherited = Inherited.from_descriptors([os.dup(given.fileno())])
        with pytest.raises(ConfigError, match="listens there already"):
            Inherited().bind(f"127.0.0.1:{port}", "server.listen")
        with inherited.bind(f"localhost:{port}", "server.listen") as taken:
            assert taken.getsockname() == given.getsockname()
            assert not taken.getblocking()
            assert not os.get_inheritable(taken.fileno())
        assert inherited.close() == ()


def test_an_inherited_socket_that_nobody_wants_is_closed_and_named() -> None:
    with _listening() as given:
        inherited = Inherited.from_descriptors([os.dup(given.fileno())])
        inherited.bind("127.0.0.1:0", "server.listen").close()
        assert inherited.close() == (str(given.getsockname()),)


def test_what_is_no_listening_tcp_socket_is_left_alone() -> None:
    read_end, write_end = os.pipe()
    with socket.socket(socket.AF_UNIX) as unix, socket.socket() as not_listening:
        numbers = [read_end, unix.fileno(), not_listening.fileno(), 987]
        assert Inherited.from_descriptors(numbers).close() == ()
        os.fstat(read_end)
        unix.getsockname()
        not_listening.getsockname()
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": "7"}])
def test_sockets_for_another_process_are_not_taken(environment: dict[str, str]) -> None:
    assert Inherited.of(environment, 7).close() == ()
