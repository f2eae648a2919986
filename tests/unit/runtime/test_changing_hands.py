"""Reloads and upgrades: a full disk, a taken address, a child that begins in the wrong moment, a killed worker."""

import asyncio
import errno
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.config.schema import Settings
from edge.errors import BadRequest
from edge.observe.meters import Meters
from edge.observe.slots import SlotReader, SlotWriter, create_slot_file
from edge.runtime import reload, upgrade
from edge.runtime.handover import Handover
from edge.runtime.holdings import Holdings
from edge.runtime.listeners import bind
from edge.runtime.posts import Posts
from edge.runtime.reload import Reloader
from edge.runtime.signals import HEARD
from edge.runtime.upgrade import Upgrader
from edge.tasks import Tasks
from edge.words import Role


def settings(listen: str, directory: Path) -> Settings:
    return Settings.model_validate(
        {"server": {"listen": [listen], "workers": 1}, "origin": {"url": "http://o"}, "cache": {"dir": str(directory)}}
    )


class Supervisor:
    """As far as a reload or an upgrade asks; what it was told stands in `events`."""

    def __init__(self, said: Settings) -> None:
        self.events: list[str] = []
        self.settings, self.generation, self.refused = said, 1, ""
        self.places: list[object] = []
        self.tasks, self.turn, self.stopping = Tasks("test"), asyncio.Lock(), False
        self.changes = self.tasks
        self.notifier = SimpleNamespace(reloading=lambda: None, ready=self.events.append)
        self.meters = SimpleNamespace(
            gauge=lambda *_, **__: None, count=lambda name, result: self.events.append(f"{name} {result}")
        )
        self.nursery = None

    def of(self, _role: Role) -> list[object]:
        return []

    async def close_admin(self, *, stays: bool) -> None:
        await asyncio.sleep(0)
        self.events.append("admin closed")


def holding(players: tuple[tuple[socket.socket, bool], ...], said: Settings, directory: Path) -> Holdings:
    holdings = Holdings.__new__(Holdings)
    holdings.players, holdings.addresses = players, tuple(listen for _, listen, _ in said.listeners)
    holdings.runtime_dir = str(directory)
    holdings.stack = ExitStack()
    return holdings


async def test_a_reload_for_which_there_is_no_room_is_refused_and_listens_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    before, after = settings("127.0.0.1:0", tmp_path), settings(address, tmp_path)
    supervisor: Any = Supervisor(before)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(reload, "lay_down", full)
    with bind("127.0.0.1:0", "server.listen") as player:
        reloader = Reloader(supervisor, holding(((player, False),), before, tmp_path), lambda: after)
        reloader.request()
        async with asyncio.timeout(10):
            while len(supervisor.tasks):
                await asyncio.sleep(0)
        assert supervisor.events == ["edge_config_reloads_total refused", "the last reload was refused: see the log"]
        assert "No space left" in supervisor.refused
        assert supervisor.settings is before
        host, _, port = address.rpartition(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 5)


async def test_an_upgrade_whose_addresses_cannot_be_had_is_refused_before_anything_is_handed_over(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, bind("127.0.0.1:0", "server.listen") as player:
        before = settings("127.0.0.1:0", tmp_path)
        after = settings(f"127.0.0.1:{taken.getsockname()[1]}", tmp_path)
        supervisor: Any = Supervisor(before)
        upgrader = Upgrader(supervisor, holding(((player, False),), before, tmp_path), lambda: after)
        with pytest.raises(BadRequest, match=r"server\.listen"):
            await upgrader.request()
        assert supervisor.events == []


async def test_children_are_handed_over_in_the_moment_in_which_the_program_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that dies while the admin side is being closed has a successor by then."""
    said = settings("127.0.0.1:0", tmp_path)
    supervisor: Any = Supervisor(said)
    files = [os.memfd_create("x") for _ in range(7)]
    admin, control, hits, read, write, lock, status = files
    holdings = SimpleNamespace(
        addresses=(), players=(), admin=SimpleNamespace(fileno=lambda: admin),
        control=SimpleNamespace(fileno=lambda: control), links=(), hits_fd=hits, liveness=(read, write),
        locks=(lock,), runtime_dir="/r", state_dir="/s",
    )  # fmt: skip
    supervisor.posts = SimpleNamespace(log_secret="ff", slots={})

    async def close_admin(*, stays: bool) -> None:
        os.close(admin)
        process = SimpleNamespace(has_ended=False, pid=os.getpid(), status_fd=status)
        ended = SimpleNamespace(has_ended=True, pid=os.getpid(), status_fd=-1)
        charter = SimpleNamespace(number=3)
        supervisor.places += [
            SimpleNamespace(role=Role.KEEPER, charter=charter, process=each, generation=1, retired=False, ready=True)
            for each in (ended, process)
        ]

    supervisor.close_admin = close_admin
    upgrader = Upgrader(supervisor, holdings, lambda: said)  # type: ignore[arg-type]
    monkeypatch.setattr(upgrade, "ANSWER_SECONDS", 0.0)

    def exec_(*_: object) -> None:
        supervisor.events.append("replaced")
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= HEARD
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "execv", exec_)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(FileNotFoundError):
        await upgrader._go()
    assert supervisor.events == ["replaced"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before, "it can be stopped still"
    taken = Handover.take(os.environ)
    assert taken is not None
    assert [(child.role, child.number) for child in taken.children] == [(Role.KEEPER, 3)]
    for fd in (*taken.descriptors, *files[1:]):
        os.close(fd)


def test_a_retired_worker_that_was_killed_has_no_connections_any_more(tmp_path: Path) -> None:
    fds: list[int] = []

    def slot_file(name: str) -> int:
        fds.append(create_slot_file(name))
        return fds[-1]

    holdings: Any = SimpleNamespace(
        links=(), slot_file=slot_file, hits_fd=-1, liveness=(-1, -1), players=(), runtime_dir=""
    )
    posts = Posts({Role.WORKER: "x:y"}, "ff")
    place = posts.place(holdings, settings("127.0.0.1:0", tmp_path), Role.WORKER, 3)
    posts.places.append(place)
    meters = Meters(SlotWriter(place.charter.slot_fd))
    meters.gauge("edge_http_connections", "active", to=5)
    meters.count("edge_log_dropped_total", by=7)
    posts.leave(place)
    found = {(metric.name, *labels): value for metric, labels, value in SlotReader(place.charter.slot_fd)}
    assert found["edge_http_connections", "active"] == 0
    assert found["edge_log_dropped_total",] == 7
    assert posts.places == []
    for fd in fds:
        os.close(fd)
