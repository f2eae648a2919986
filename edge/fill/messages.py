"""What worker and keeper say to each other: one frozen class per message, and its bytes (DESIGN section 11).

Both ends are the same program in the same version, started by one supervisor, so the encoding is `struct`
with length-prefixed parts and has no negotiation beyond the protocol number in `Hello`.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Self

from edge.words import CacheStatus, Kind, Reason

PROTOCOL: Final = 2
UNKNOWN: Final = -1  # a length or an end that nobody knows yet

_KINDS: Final = tuple(Kind)
_STATUSES: Final = tuple(CacheStatus)
_REASONS: Final = tuple(Reason)


class Mode(IntEnum):
    """What a worker wants of a fetch."""

    FILL = 0  # bytes for a player; kept if they may be
    REFRESH = 1  # nobody waits: renew what is stale
    PASS = 2  # for this client alone; never kept, never shared
    SOLO = 3  # a request of its own, whatever is stored or under way; kept if it may be


class HeadFlag(IntFlag):
    """What the keeper did to get this head."""

    COLLAPSED = 1  # another request's fetch was joined
    STORED = 2  # it is being kept
    REVALIDATED = 4  # the origin said 304
    ALONE = 8  # not shareable: this client's own


class Type(IntEnum):
    """First byte of a message."""

    HELLO = 1
    FETCH = 2
    HEAD = 3
    PLACE = 4
    INLINE = 5
    SCRATCH = 6
    END = 7
    FAIL = 8
    AGAIN = 9
    READ = 10
    CANCEL = 11
    FREED = 12
    BAD = 13
    BODY = 14
    TAKEN = 15


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
    """Bytes [start, start + length) lie at the start of scratch `number`; its descriptor rides along the first time."""

    id: int
    number: int
    start: int
    length: int


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


@dataclass(frozen=True, slots=True)
class Bad:
    """A stored extent did not verify, or its pack is gone."""

    name: bytes
    generation: int
    start: int
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


Message = (
    Hello | Fetch | Head | Place | Inline | Scratch | End | Fail | Again | Read | Cancel | Freed | Bad | Body | Taken
)


class _Writer:
    def __init__(self, type_: Type) -> None:
        self._parts: list[bytes] = [bytes((type_,))]

    def put(self, format_: str, *values: float) -> Self:
        self._parts.append(struct.pack("<" + format_, *values))
        return self

    def blob(self, data: bytes) -> Self:
        self._parts.append(struct.pack("<I", len(data)))
        self._parts.append(data)
        return self

    def text(self, text: str) -> Self:
        return self.blob(text.encode())

    def done(self) -> bytes:
        return b"".join(self._parts)


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 1

    def take(self, format_: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + format_, self._raw, self._at)
        self._at += struct.calcsize("<" + format_)
        return values

    def blob(self) -> bytes:
        (length,) = self.take("I")
        data = self._raw[self._at : self._at + length]
        if len(data) != length:
            raise ValueError("message is cut short")
        self._at += length
        return data

    def text(self) -> str:
        return self.blob().decode()


def encode(message: Message) -> bytes:
    """The bytes of one message, one datagram."""
    match message:
        case Place(id_, start, length, pack, offset):
            return struct.pack("<BQQQIQ", Type.PLACE, id_, start, length, pack, offset)
        case Inline(id_, start, data):
            return struct.pack("<BQQ", Type.INLINE, id_, start) + data
        case Scratch(id_, number, start, length):
            return struct.pack("<BQIQQ", Type.SCRATCH, id_, number, start, length)
        case End(id_, total):
            return struct.pack("<BQq", Type.END, id_, total)
        case Read(id_, position):
            return struct.pack("<BQQ", Type.READ, id_, position)
        case Freed(id_, number):
            return struct.pack("<BQI", Type.FREED, id_, number)
        case Body(id_, last, data):
            return struct.pack("<BQ?", Type.BODY, id_, last) + data
        case Taken(id_, count):
            return struct.pack("<BQQ", Type.TAKEN, id_, count)
        case Again(id_):
            return struct.pack("<BQ", Type.AGAIN, id_)
        case Cancel(id_):
            return struct.pack("<BQ", Type.CANCEL, id_)
        case Hello(protocol, volume):
            return _Writer(Type.HELLO).put("I", protocol).blob(volume).done()
        case Fail(id_, status, reason, detail):
            return _Writer(Type.FAIL).put("QHB", id_, status, _REASONS.index(reason)).text(detail).done()
        case Bad(name, generation, start, reason):
            return _Writer(Type.BAD).blob(name).put("QQB", generation, start, _REASONS.index(reason)).done()
        case Head():
            return _encode_head(message)
        case Fetch():
            return _encode_fetch(message)


def _encode_head(head: Head) -> bytes:
    writer = _Writer(Type.HEAD)
    writer.put("QBBqd", head.id, head.flags, _STATUSES.index(head.status), head.total, head.ttfb)
    return writer.text(head.member).blob(head.record).done()


def _encode_fetch(fetch: Fetch) -> bytes:
    writer = _Writer(Type.FETCH)
    writer.put(
        "QBBqqq?",
        fetch.id,
        fetch.mode,
        _KINDS.index(fetch.kind),
        fetch.start,
        fetch.end,
        fetch.suffix,
        fetch.ranged,
    )
    writer.text(fetch.site).blob(fetch.method).blob(fetch.target).blob(fetch.key).blob(fetch.path)
    writer.put("H", len(fetch.fields))
    for name, value in fetch.fields:
        writer.blob(name).blob(value)
    writer.put("?", fetch.pin is not None)
    if fetch.pin is not None:
        writer.put("QQ", fetch.pin.generation, fetch.pin.total).blob(fetch.pin.etag)
    writer.blob(fetch.authority).put("?q", fetch.has_body, fetch.body_length)
    return writer.done()


def decode(raw: bytes) -> Message:
    """The message in one datagram; ValueError or struct.error when it is none of ours."""
    match Type(raw[0]):
        case Type.PLACE:
            return Place(*struct.unpack("<QQQIQ", raw[1:]))
        case Type.INLINE:
            id_, start = struct.unpack_from("<QQ", raw, 1)
            return Inline(id_, start, raw[17:])
        case Type.SCRATCH:
            return Scratch(*struct.unpack("<QIQQ", raw[1:]))
        case Type.END:
            return End(*struct.unpack("<Qq", raw[1:]))
        case Type.READ:
            return Read(*struct.unpack("<QQ", raw[1:]))
        case Type.FREED:
            return Freed(*struct.unpack("<QI", raw[1:]))
        case Type.BODY:
            id_, last = struct.unpack_from("<Q?", raw, 1)
            return Body(id_, bool(last), raw[10:])
        case Type.TAKEN:
            return Taken(*struct.unpack("<QQ", raw[1:]))
        case Type.AGAIN:
            return Again(*struct.unpack("<Q", raw[1:]))
        case Type.CANCEL:
            return Cancel(*struct.unpack("<Q", raw[1:]))
        case Type.HELLO:
            reader = _Reader(raw)
            return Hello(reader.take("I")[0], reader.blob())
        case Type.FAIL:
            reader = _Reader(raw)
            id_, status, reason = reader.take("QHB")
            return Fail(id_, status, _REASONS[reason], reader.text())
        case Type.BAD:
            reader = _Reader(raw)
            name = reader.blob()
            generation, start, reason = reader.take("QQB")
            return Bad(name, generation, start, _REASONS[reason])
        case Type.HEAD:
            reader = _Reader(raw)
            id_, flags, status, total, ttfb = reader.take("QBBqd")
            return Head(id_, HeadFlag(flags), _STATUSES[status], total, reader.text(), ttfb, reader.blob())
        case Type.FETCH:
            return _decode_fetch(_Reader(raw))


def _decode_fetch(reader: _Reader) -> Fetch:
    id_, mode, kind, start, end, suffix, ranged = reader.take("QBBqqq?")
    site, method, target, key, path = (
        reader.text(),
        reader.blob(),
        reader.blob(),
        reader.blob(),
        reader.blob(),
    )
    fields = tuple((reader.blob(), reader.blob()) for _ in range(reader.take("H")[0]))
    pin = None
    if reader.take("?")[0]:
        generation, total = reader.take("QQ")
        pin = Pin(generation, total, reader.blob())
    authority = reader.blob()
    has_body, body_length = reader.take("?q")
    return Fetch(
        id_,
        Mode(mode),
        site,
        method,
        target,
        key,
        path,
        _KINDS[kind],
        fields,
        start,
        end,
        suffix,
        bool(ranged),
        pin,
        authority,
        bool(has_body),
        body_length,
    )
