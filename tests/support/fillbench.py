"""A keeper's fill room with a real store, a real link and a real origin client, in one process."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.clock import SystemClock
from edge.fill.asking import Asker, Asking, AskListener, InlineBytes, PackBytes, ScratchBytes
from edge.fill.desk import Desk
from edge.fill.messages import UNKNOWN, Fetch, Head, Mode, Pin
from edge.fill.settings import FillSettings
from edge.fill.shop import Shop, Upstream
from edge.media.kinds import kind_of
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member, Selection
from edge.origin.settings import OriginSettings
from edge.policy.rules import SiteRules
from edge.store.record import Record, decode_record
from edge.store.settings import VolumeSettings
from edge.store.thread import StoreThread
from edge.store.volume import Volume
from edge.words import MIB, ORIGIN, Reason


class Silent:
    def collapsed(self, site: str, result: str) -> None: ...

    def corrupt(self, reason: str) -> None: ...

    def prefetch(self, result: str) -> None: ...


@dataclass
class Got(AskListener):
    """What one fetch brought."""

    bench: "FillBench"
    want: Fetch
    head: Head | None = None
    total: int | None = None
    failed: tuple[int, Reason, str] | None = None
    again: bool = False
    body: dict[int, bytes] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    asking: Asking | None = None
    position: int = 0
    early: bool = False  # something of the body came before its head

    @property
    def record(self) -> Record:
        assert self.head is not None
        return decode_record(self.head.record)

    def on_head(self, head: Head) -> None:
        self.head = head
        self.position = self.want.start
        if self.want.suffix:
            self.position = max(0, head.total - self.want.suffix)
        self.start = self.position
        self.moved.set()

    def on_bytes(self) -> None:
        assert self.asking is not None
        self.early |= self.head is None
        while (piece := self.asking.at(self.position)) is not None:
            at = self.position - piece.start
            match piece:
                case InlineBytes():
                    data = piece.data[at:]
                case ScratchBytes():
                    data = os.pread(piece.file.fileno(), piece.end - self.position, at)
                case PackBytes():
                    path = self.bench.volume.packs.pack_path(piece.pack)
                    with path.open("rb") as file:
                        data = os.pread(file.fileno(), piece.end - self.position, piece.offset + at)
            self.body[self.position] = data
            self.position += len(data)
            self.asking.read(self.position, 64 * 1024)
        self.moved.set()

    def on_end(self, total: int) -> None:
        self.early |= self.head is None
        self.total = total
        self.done.set()

    def on_again(self) -> None:
        self.again = True
        self.done.set()

    def on_fail(self, status: int, reason: Reason, detail: str) -> None:
        self.failed = status, reason, detail
        self.done.set()

    def on_lost(self) -> None:
        self.failed = 0, Reason.KEEPER_DOWN, "lost"
        self.done.set()

    def bytes(self) -> bytes:
        whole = b"".join(data for _, data in sorted(self.body.items()))
        if self.want.end != UNKNOWN:
            return whole[: self.want.end - self.start]
        return whole

    async def finish(self) -> "Got":
        async with asyncio.timeout(20):
            await self.done.wait()
        assert not self.early, "the head comes first"
        return self

    async def headed(self) -> "Got":
        async with asyncio.timeout(20):
            while self.head is None and not self.done.is_set():
                self.moved.clear()
                await self.moved.wait()
        return self


class FillBench:
    """`ask` sends a fetch; `get` waits for its end."""

    def __init__(self, desk: Desk, store: StoreThread, asker: Asker, client: OriginClient) -> None:
        self.desk, self.store, self.asker, self.client = desk, store, asker, client
        self.volume = store.volume

    @property
    def shop(self) -> Shop:
        """What all fills work with."""
        return self.desk._shops.common

    def ask(
        self,
        path: str,
        start: int = 0,
        end: int = UNKNOWN,
        *,
        suffix: int = 0,
        ranged: bool | None = None,
        mode: Mode = Mode.FILL,
        pin: Pin | None = None,
        method: bytes = b"GET",
        fields: tuple[tuple[bytes, bytes], ...] = (),
        asker: Asker | None = None,
        site: str = "default",
    ) -> Got:
        raw = path.encode()
        by = asker or self.asker
        fetch = Fetch(
            by.next_id(),
            mode,
            site,
            method,
            raw,
            site.encode() + raw,
            raw,
            kind_of(raw.partition(b"?")[0]),
            fields,
            start,
            end,
            suffix,
            bool(start or end != UNKNOWN or suffix) if ranged is None else ranged,
            pin,
        )
        got = Got(self, fetch)
        got.asking = by.ask(fetch, got)
        return got

    async def get(self, path: str, start: int = 0, end: int = UNKNOWN, **more: object) -> Got:
        got = await self.ask(path, start, end, **more).finish()  # type: ignore[arg-type]
        await self.settled()
        return got

    async def settled(self) -> None:
        """Wait until no flight is left and the store has done what it was told."""
        async with asyncio.timeout(20):
            while self.desk._flights.all():
                await asyncio.sleep(0.005)
            await self.store.call(lambda: None)

    def stored(self, path: str) -> Record | None:
        from edge.store.names import name_of

        return self.volume.lookup(name_of(b"default" + path.encode(), self.volume.hello.secret))

    def live(self, path: str) -> Record | None:
        from edge.store.names import name_of

        found = self.volume.lookup_live(name_of(b"default" + path.encode(), self.volume.hello.secret))
        return found[0] if found is not None else None

    def stored_bytes(self, path: str) -> dict[int, bytes]:
        """What the index has of an object, by position, verified."""
        record = self.stored(path)
        assert record is not None
        found = {}
        for extent in self.volume.extents(record):
            with self.volume.packs.pack_path(extent.pack).open("rb") as file:
                found[extent.start] = os.pread(file.fileno(), extent.length, extent.offset)
        return found


QUICK = OriginSettings(
    url="http://127.0.0.1:1",
    connect_timeout=1.0,
    first_byte_timeout=1.0,
    total_first_byte=2.5,
    stall_timeout=0.3,
    retry_jitter=(0.001, 0.002),
)


@asynccontextmanager
async def fill_bench(
    directory: Path,
    origin_url: str,
    *,
    settings: FillSettings | None = None,
    origin: OriginSettings = QUICK,
    rules: SiteRules | None = None,
    size: int = 256 * MIB,
    volume_settings: VolumeSettings | None = None,
    disk: object = None,
    more: tuple[str, ...] = (),
    selection: Selection = Selection.PRIMARY_BACKUP,
    grouped: Callable[[OriginClient], Group] | None = None,
) -> AsyncIterator[FillBench]:
    """A running bench over `directory`."""
    clock = SystemClock()
    made = volume_settings or VolumeSettings(size, live_dir=directory / "live", min_free_ratio=0.0)
    volume = Volume.open(directory / "cache", made, clock=clock, disk=disk)  # type: ignore[arg-type]
    store = StoreThread(volume)
    store.start()
    client = OriginClient(replace(origin, url=origin_url), clock)
    members = (Member(client), *(Member(OriginClient(replace(origin, url=url), clock)) for url in more))
    group = grouped(client) if grouped is not None else Group(members, selection)
    upstreams = {ORIGIN: Upstream(settings or FillSettings(), group)}
    sites = {"default": rules or SiteRules()}
    desk = Desk(settings or FillSettings(), store, upstreams, sites, clock, Silent())
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = str(directory / "link")
    link.bind(path)
    link.listen()
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(link.fileno(), lambda: desk.attach(link.accept()[0]))
    asker = Asker(path, lambda hello: None)
    asker.connect()
    bench = FillBench(desk, store, asker, client)
    looking = asyncio.create_task(_look(group))
    try:
        yield bench
    finally:
        looking.cancel()
        loop.remove_reader(link.fileno())
        link.close()
        asker.close()
        await desk.close()
        await group.close()
        await store.close()


async def _look(group: Group) -> None:
    """As a keeper does, but for connections that are opened ahead: tests count those."""
    while True:
        group.look()
        await asyncio.sleep(0.02)
