"""What an operator is told of a purge: nothing is well that nobody has done, and nobody will remember."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.config.schema import Settings
from edge.control.asks import PurgeAsk
from edge.fill.channel import MAX_MESSAGE
from edge.fill.messages import Forget, Forgotten
from edge.fill.wire import encode
from edge.policy.purges import Purge, Scope
from edge.runtime import control
from edge.runtime.control import ControlPlane
from edge.store.hits import create_hits_file


@pytest.mark.parametrize("written", [True, False])
async def test_what_a_volume_that_is_away_owes_and_nobody_can_write_down_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    paths = [{"path": str(path), "size": "1GB"} for path in (here, away)]
    supervisor: Any = SimpleNamespace(
        settings=Settings.model_validate({"volume": paths}), meters=SimpleNamespace(count=lambda *_, **__: None)
    )
    link = SimpleNamespace(volume=0, path="")
    holdings: Any = SimpleNamespace(state_dir=str(tmp_path), links=[link], hits_fd=create_hits_file())
    if written:
        here.mkdir()
    plane = ControlPlane(supervisor, holdings, None)

    async def links() -> None:
        pass

    async def purged(number: int, _whats: object, *, dry: bool) -> tuple[str, int, int, str]:
        return str(number), 1, 1000, ""

    monkeypatch.setattr(plane, "_links", links)
    monkeypatch.setattr(plane, "_purge_on", purged)
    told = await plane.purge_these([Purge(Scope.KEY, b"/a")], PurgeAsk(url="http://h/a"), 0.0)
    assert told.objects == 1
    assert list(told.failed) == ([] if written else [str(away)])
    await plane.close(stays=False)
    os.close(holdings.hits_fd)


class Keeper:
    """What a keeper would hear; a message that is longer than a datagram may be loses the link."""

    up = True

    def __init__(self) -> None:
        self.heard: list[Purge] = []

    async def forget(self, *whats: Purge, dry: bool = False, owed: bool = False) -> Forgotten:
        if len(encode(Forget(1, whats, dry, owed))) > MAX_MESSAGE:
            raise ConnectionError("the link is lost")
        self.heard += whats
        return Forgotten(1, len(whats), 0, "")


def plane_of(tmp_path: Path, keeper: Keeper) -> ControlPlane:
    settings = Settings.model_validate({"volume": [{"path": str(tmp_path), "size": "1GB"}]})
    meters = SimpleNamespace(count=lambda *_, **__: None)
    supervisor: Any = SimpleNamespace(settings=settings, meters=meters)
    link = SimpleNamespace(volume=0, path="")
    holdings: Any = SimpleNamespace(state_dir=str(tmp_path), links=[link], hits_fd=create_hits_file())
    plane = ControlPlane(supervisor, holdings, None)
    reader = SimpleNamespace(hello=SimpleNamespace(writable=True))
    volumes: Any = SimpleNamespace(
        asker=lambda _: keeper, serving={0: SimpleNamespace(asker=keeper, reader=reader)}, close=lambda: None
    )
    plane._volumes = volumes

    async def links() -> object:
        return volumes

    plane._links = links  # type: ignore[method-assign, assignment]
    return plane


LONG_URLS = [Purge(Scope.KEY, b"films/" + b"%D0%A1" * 150 + b"/%d" % number) for number in range(1200)]


async def test_a_list_of_long_urls_is_purged_in_messages_that_can_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "KEEPER_SECONDS", 0.0)
    keeper = Keeper()
    plane = plane_of(tmp_path, keeper)
    told = await plane.purge_these(LONG_URLS, PurgeAsk(urls=("http://h/a",)), 0.0)
    assert (told.objects, told.failed) == (len(LONG_URLS), {})
    assert keeper.heard == LONG_URLS
    await plane.close(stays=False)


async def test_what_is_owed_of_a_list_of_long_urls_is_paid_in_messages_that_can_be_sent(tmp_path: Path) -> None:
    keeper = Keeper()
    plane = plane_of(tmp_path, keeper)
    await plane.owed.add([plane.owed.who(str(tmp_path))], LONG_URLS)
    await plane._pay(0)
    assert keeper.heard == LONG_URLS
    assert plane.owed.of(plane.owed.who(str(tmp_path))) == []
    await plane.close(stays=False)
