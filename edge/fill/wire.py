"""The bytes of messages between worker and keeper (DESIGN section 11).

Both ends are the same program in the same version, started by one supervisor, so the encoding is `struct`
with length-prefixed parts and has no negotiation beyond the protocol number in `Hello`.
"""

import struct
from enum import IntEnum
from typing import Final, Self

from edge.access.passes import Context
from edge.fill.messages import (
    Again,
    Bad,
    Body,
    Cancel,
    End,
    Fail,
    Fetch,
    Forget,
    Forgotten,
    Freed,
    Head,
    HeadFlag,
    Hello,
    Inline,
    Invalidate,
    Message,
    Mode,
    Pin,
    Place,
    Read,
    Scratch,
    Taken,
)
from edge.policy.purges import Purge, Scope
from edge.words import CacheStatus, Kind, Reason

_KINDS: Final = tuple(Kind)
_STATUSES: Final = tuple(CacheStatus)
_REASONS: Final = tuple(Reason)
_SCOPES: Final = tuple(Scope)


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
    INVALIDATE = 16
    FORGET = 17
    FORGOTTEN = 18


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
        case Scratch(id_, number, start, length, full):
            return struct.pack("<BQIQQ?", Type.SCRATCH, id_, number, start, length, full)
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
        case Invalidate(name):
            return struct.pack("<B", Type.INVALIDATE) + name
        case Again(id_):
            return struct.pack("<BQ", Type.AGAIN, id_)
        case Cancel(id_):
            return struct.pack("<BQ", Type.CANCEL, id_)
        case Hello(protocol, volume):
            return _Writer(Type.HELLO).put("I", protocol).blob(volume).done()
        case Fail(id_, status, reason, detail):
            return _Writer(Type.FAIL).put("QHB", id_, status, _REASONS.index(reason)).text(detail).done()
        case Bad(name, generation, pack, offset, reason):
            return _Writer(Type.BAD).blob(name).put("QQQB", generation, pack, offset, _REASONS.index(reason)).done()
        case Forget(id_, whats, dry, owed):
            writer = _Writer(Type.FORGET).put("Q??I", id_, dry, owed, len(whats))
            for what in whats:
                writer.put("B?", _SCOPES.index(what.scope), what.soft).blob(what.text).blob(what.site)
            return writer.done()
        case Forgotten(id_, objects, length, error):
            return _Writer(Type.FORGOTTEN).put("QQQ", id_, objects, length).text(error).done()
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
    writer.blob(fetch.authority).put("?q?", fetch.has_body, fetch.body_length, fetch.patient)
    context = fetch.context
    writer.text(context.client).blob(context.host).put("H?", context.hops, fetch.by_sibling)
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
            return Scratch(*struct.unpack("<QIQQ?", raw[1:]))
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
        case Type.INVALIDATE:
            return Invalidate(raw[1:])
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
            generation, pack, offset, reason = reader.take("QQQB")
            return Bad(name, generation, pack, offset, _REASONS[reason])
        case Type.HEAD:
            reader = _Reader(raw)
            id_, flags, status, total, ttfb = reader.take("QBBqd")
            return Head(id_, HeadFlag(flags), _STATUSES[status], total, reader.text(), ttfb, reader.blob())
        case Type.FORGET:
            reader = _Reader(raw)
            id_, dry, owed, count = reader.take("Q??I")
            return Forget(id_, tuple(_decode_purge(reader) for _ in range(count)), bool(dry), bool(owed))
        case Type.FORGOTTEN:
            reader = _Reader(raw)
            id_, objects, length = reader.take("QQQ")
            return Forgotten(id_, objects, length, reader.text())
        case Type.FETCH:
            return _decode_fetch(_Reader(raw))


def _decode_purge(reader: _Reader) -> Purge:
    scope, soft = reader.take("B?")
    return Purge(_SCOPES[scope], reader.blob(), reader.blob(), bool(soft))


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
    has_body, body_length, patient = reader.take("?q?")
    client, host = reader.text(), reader.blob()
    hops, by_sibling = reader.take("H?")
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
        bool(patient),
        Context(client, host, hops),
        bool(by_sibling),
    )
