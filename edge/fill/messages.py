"""What worker and keeper say to each other: one frozen class per message (DESIGN section 11); their bytes: `wire`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from edge.access.passes import NOBODY, Context
from edge.policy.purges import Purge
from edge.words import KIB, CacheStatus, Kind, Reason

PROTOCOL: Final = 7
UNKNOWN: Final = -1  # a length or an end that nobody knows yet


class Mode(IntEnum):
    """What a worker wants of a fetch."""

    FILL = 0  # bytes for a player; kept if they may be
    REFRESH = 1  # nobody waits: renew what is stale
    PASS = 2  # for this client alone; never kept, never shared
    AHEAD = 4  # nobody waits yet: a player that reads in order will ask for it
    SOLO = 3  # a request of its own, whatever is stored or under way; kept if it may be
    ONLY = 5  # what is stored, or is about to be: no upstream is asked


class HeadFlag(IntFlag):
    """What the keeper did to get this head."""

    COLLAPSED = 1  # another request's fetch was joined
    STORED = 2  # it is being kept
    REVALIDATED = 4  # the origin said 304
    ALONE = 8  # not shareable: this client's own
    PARTIAL = 16  # the origin said 206
    AGED = 32  # it had an Age, or is in part from the cache


@dataclass(frozen=True, slots=True)
class Pin:
    """The version that an answer under way has promised: only bytes of it may follow."""

    generation: int
    total: int
    etag: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """The keeper's volume as a reader needs it; `volume` is JSON that `store` understands."""

    protocol: int
    volume: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    """Bring [start, end) of an object; `end` UNKNOWN = to its end; `suffix` > 0 = its last bytes."""

    id: int
    mode: Mode
    site: str
    method: bytes
    target: bytes
    key: bytes
    path: bytes
    kind: Kind
    fields: tuple[tuple[bytes, bytes], ...] = ()
    start: int = 0
    end: int = UNKNOWN
    suffix: int = 0
    ranged: bool = False
    pin: Pin | None = None
    authority: bytes = b""  # whom the client asked: what an unsafe request makes invalid has to be of the same origin
    has_body: bool = False  # `Body` messages follow
    body_length: int = UNKNOWN  # UNKNOWN: it is sent in chunks
    patient: bool = False  # nobody waits for it: players' fetches go first
    context: Context = NOBODY  # what a shield or a sibling is told of the request behind it
    by_sibling: bool = False  # it has asked us because the object is ours: no other sibling is asked


FETCH_BYTES: Final = 160 * KIB  # of what a client may have written into one: it is a datagram, too


def is_carried(fetch: Fetch) -> bool:
    """Does a message carry it? With large heads allowed players can write what none does."""
    told = (fetch.target, fetch.key, fetch.path, fetch.authority, fetch.context.host)
    lines = sum(len(name) + len(value) + 8 for name, value in fetch.fields)
    return sum(map(len, told)) + lines <= FETCH_BYTES


@dataclass(frozen=True, slots=True)
class Head:
    """The judged head of an answer; `record` is an encoded record without extents."""

    id: int
    flags: HeadFlag
    status: CacheStatus
    total: int
    member: str
    ttfb: float
    record: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes [start, start + length) of the object are written at `offset` of `pack`."""

    id: int
    start: int
    length: int
    pack: int
    offset: int


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes of the object, in the message itself."""

    id: int
    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Scratch:
    """Bytes [start, start + length) lie at the start of scratch `number`; its descriptor rides along the first time.

    `full`: no more will.
    """

    id: int
    number: int
    start: int
    length: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """All bytes of this fetch that were missing have been announced; `total` ends a body of unknown length."""

    id: int
    total: int


@dataclass(frozen=True, slots=True)
class Fail:
    """No more will come."""

    id: int
    status: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Again:
    """Look in the index again: somebody else has filled it meanwhile."""

    id: int


@dataclass(frozen=True, slots=True)
class Read:
    """The reader has got as far as `position`."""

    id: int
    position: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """The reader has left."""

    id: int


@dataclass(frozen=True, slots=True)
class Freed:
    """Scratch `number` has been sent and closed by this reader."""

    id: int
    number: int


NO_NAME: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Bad:
    """A stored extent did not verify, or its pack is gone.

    NO_NAME: nothing is named. The volume's disk has failed, or with CORRUPT, its index is damaged; `generation` is the
    epoch of that index.
    """

    name: bytes
    generation: int
    pack: int
    offset: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Body:
    """The next bytes of a request's body; `last`: there are no more. A client that breaks off is told by CANCEL."""

    id: int
    last: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """So many bytes of a request's body have gone to the origin."""

    id: int
    count: int


@dataclass(frozen=True, slots=True)
class Invalidate:
    """An unsafe request has changed what lies under this name."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Purge; `dry`: only say what that would be. All of `whats` are soft, or none.

    `owed`: it was asked before, so what is hidden of it already stays so from then on, and from no later moment.
    """

    id: int
    whats: tuple[Purge, ...]
    dry: bool = False
    owed: bool = False


FORGET_MOST: Final = 500  # purges of one message ...
FORGET_BYTES: Final = 128 * KIB  # ... and bytes of them: it is one datagram, see `channel.MAX_MESSAGE`


def fitting(whats: Sequence[Purge]) -> int:
    """How many of these purges go into one message, at least one."""
    left = FORGET_BYTES
    for count, what in enumerate(whats[:FORGET_MOST]):
        left -= len(what.text) + len(what.site) + 16
        if left < 0:
            return max(1, count)
    return min(len(whats), FORGET_MOST)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a purge has forgotten; `error`: why it is not done, or would not outlive a crash."""

    id: int
    objects: int
    length: int
    error: str = ""


Message = (
    Hello
    | Fetch
    | Head
    | Place
    | Inline
    | Scratch
    | End
    | Fail
    | Again
    | Read
    | Cancel
    | Freed
    | Bad
    | Body
    | Taken
    | Invalidate
    | Forget
    | Forgotten
)
