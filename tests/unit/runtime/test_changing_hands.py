"""Reloads and upgrades: a full disk, a taken address, a child that begins in the wrong moment, a killed worker."""

import asyncio
import errno
import os
import socket
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.config.schema import Settings
from edge.runtime import reload
from edge.runtime.holdings import Holdings
from edge.runtime.listeners import bind
from edge.runtime.reload import Reloader
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
        self.tasks, self.turn = Tasks("test"), asyncio.Lock()
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
