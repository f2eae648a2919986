"""The stream in Redis, and who takes part: the only module that knows Redis. All its failures become `FleetAway`."""

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from edge.control.fleet.order import Order, Seen, Stamp, fields_of
from edge.errors import ConfigError, EdgeError

LIVE_SECONDS: Final = 10.0  # a node that has not been heard for so long is away
FORGOTTEN_SECONDS: Final = 30 * 86400.0  # then it is no part of the fleet any more
READ_MOST: Final = 100  # orders at once
CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0  # beyond what a read may wait


class FleetAway(EdgeError):
    """Redis cannot be reached, or does not do what is asked."""

    retryable = True
    status = 503


@dataclass(frozen=True, slots=True)
class BusSettings:
    """`url`: redis://, rediss:// or unix://; `keep`: orders that the stream holds; `keys`: the first one signs."""

    url: str
    fleet: str
    node: str
    keys: tuple[bytes, ...]
    keep: int
    password: str | None = None

    def __repr__(self) -> str:
        return f"<BusSettings {self.fleet} {self.node}>"


@dataclass(frozen=True, slots=True)
class Tail:
    """`first` None: nothing is in the stream. `complete`: nothing that was ever in it has left it."""

    epoch: str
    first: Stamp | None
    last: Stamp
    complete: bool

    def may_lack(self, epoch: str, done: Stamp) -> bool:
        """Could there have been an order after `done` that is in the stream no more?"""
        if self.epoch != epoch or self.last < done:
            return True  # Redis has lost some itself, and nobody knows which
        if self.complete or self.last == done:
            return False
        return self.first is None or self.first.before > done


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the fleet; `done` None: it is away."""

    name: str
    done: Stamp | None


class Bus:
    """A connection pool; made anew after each failure."""

    def __init__(self, settings: BusSettings) -> None:
        try:
            from redis import asyncio as client
        except ImportError as error:
            raise ConfigError(
                "fleet.redis", settings.url, "needs the package redis: install video-edge[fleet]"
            ) from error
        self._settings = settings
        self._orders = f"{settings.fleet}:orders"
        self._nodes = f"{settings.fleet}:nodes"
        self._epoch = f"{settings.fleet}:epoch"
        more: dict[str, Any] = {"password": settings.password} if settings.password else {}
        self._redis: Any = client.Redis.from_url(
            settings.url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=ANSWER_SECONDS, **more
        )

    def __repr__(self) -> str:
        return f"<Bus {self._settings.fleet}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):  # it is over in any case
            await self._redis.aclose()

    async def publish(self, order: Order) -> Stamp:
        """Its place in the stream."""
        settings = self._settings
        fields = fields_of(order, settings.fleet, settings.keys)
        with _translated():
            return Stamp.parse(await self._redis.xadd(self._orders, fields, maxlen=settings.keep, approximate=False))

    async def tail(self) -> Tail:
        with _translated():
            await self._redis.set(self._epoch, secrets.token_hex(8), nx=True)
            epoch = (await self._redis.get(self._epoch) or b"").decode()
            if not await self._redis.exists(self._orders):
                return Tail(epoch, None, Stamp(0, 0), True)
            said = await self._redis.xinfo_stream(self._orders)
            first = Stamp.parse(said["first-entry"][0]) if said.get("first-entry") else None
            complete = int(said.get("entries-added", -1)) == int(said["length"])  # told since Redis 7
            return Tail(epoch, first, Stamp.parse(said["last-generated-id"]), complete)

    async def read(self, after: Stamp, wait: float) -> list[tuple[Stamp, Mapping[bytes, bytes]]]:
        """What comes after a stamp; nothing, if nothing comes within so many seconds."""
        with _translated():
            found = await self._redis.xread({self._orders: str(after)}, count=READ_MOST, block=int(wait * 1000))
            return [(Stamp.parse(stamp), fields) for _, entries in _streams(found) for stamp, fields in entries]

    async def age_of_next(self, after: Stamp) -> float:
        """Seconds for which the oldest order after a stamp has been waiting; 0.0 when there is none."""
        with _translated():
            found = await self._redis.xrange(self._orders, min=f"({after}", count=1)
            if not found:
                return 0.0
            seconds, micros = await self._redis.time()
            age: float = seconds + micros / 1e6 - Stamp.parse(found[0][0]).milliseconds / 1000
            return max(0.0, age)

    async def tell(self, seen: Seen) -> None:
        """Say that this node lives, and how far it is."""
        settings = self._settings
        with _translated():
            told = seen.told(settings.node, settings.fleet, settings.keys)
            async with self._redis.pipeline(transaction=False) as asked:
                asked.set(self._key(settings.node), told, px=int(LIVE_SECONDS * 1000))
                asked.zadd(self._nodes, {settings.node: time.time()})
                await asked.execute()

    async def part(self) -> None:
        """This node goes in good order: it is away at once."""
        with _translated():
            await self._redis.delete(self._key(self._settings.node))

    async def seen(self, node: str) -> Seen | None:
        """What a node has told last; None: it is away."""
        with _translated():
            told = await self._redis.get(self._key(node))
        return None if told is None else Seen.heard(told, node, self._settings.fleet, self._settings.keys)

    async def nodes(self) -> list[Node]:
        """All nodes that took part within the last weeks, by name."""
        with _translated():
            await self._redis.zremrangebyscore(self._nodes, 0, time.time() - FORGOTTEN_SECONDS)
            names = sorted(name.decode() for name in await self._redis.zrange(self._nodes, 0, -1))
        said = [(name, await self.seen(name)) for name in names]
        return [Node(name, seen.done if seen is not None else None) for name, seen in said]

    def _key(self, node: str) -> str:
        return f"{self._settings.fleet}:node:{node}"


def _streams(found: Any) -> Sequence[tuple[bytes, Any]]:
    """RESP2 gives pairs, RESP3 a mapping whose values are wrapped once more."""
    if isinstance(found, dict):
        return [
            (name, entries[0] if entries and isinstance(entries[0], list) else entries)
            for name, entries in found.items()
        ]
    return found or []


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise FleetAway(f"{type(error).__name__}: {error}") from error
