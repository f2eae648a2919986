"""The log of a volume's purges, durable before a purge is acknowledged: a rebuilt index must not bring the dead back.

One entry names all objects that are older than it (by the record's sequence), so that a purge costs one write,
however much it forgets. An entry is needed as long as there is a pack whose journal may name such an object.

A damaged entry costs itself only, and may have named anything: all that the packs hold by then becomes stale. The same
goes for a log whose beginning is damaged, or that is gone while there are packs. What was not written to its end (no
more is left of the file than a part of one entry, or zeros) was not acknowledged, and named nothing.
"""

import os
import struct
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge.errors import FormatUnknown
from edge.policy.purges import Purge, Scope
from edge.store.disk import Disk
from edge.store.files import is_full, write_whole
from edge.store.record import Flag, Record

MAGIC: Final = b"EDGEPURG"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sHHI16s")
_FRAME: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<QIB?HI")
SCOPES: Final = tuple(Scope)  # by their place here they are known on disk: new ones at the end
ENTRIES_MOST: Final = 100_000  # beyond it the older half becomes one that forgets more than was asked
BYTES_MOST: Final = 16 << 20  # the same for what they take: URLs may be long
REPEATED_LEAST: Final = 64 << 10  # bytes: what is purged again and again has one entry in memory, and many in the file
PAYLOAD_MOST: Final = 1 << 20
EVERYTHING: Final = Purge(Scope.PREFIX, b"")
EVERYTHING_STALE: Final = Purge(Scope.PREFIX, b"", soft=True)

_What = tuple[bool, Scope, bytes, bytes]  # soft, scope, site, text: a tuple is looked up faster than a Purge


@dataclass(frozen=True, slots=True)
class Logged:
    """`last_pack`: the newest pack whose journal may name what was purged."""

    sequence: int
    last_pack: int


class _Named:
    """What some purges name, by what is asked: a rebuild asks of each of millions of records."""

    __slots__ = ("_keys", "_lengths", "_paths", "_prefixes", "_tags")

    def __init__(self) -> None:
        self._keys: dict[bytes, int] = {}
        self._paths: dict[bytes, int] = {}
        self._prefixes: dict[bytes, int] = {}
        self._lengths: set[int] = set()  # of prefixes
        self._tags: dict[tuple[bytes, bytes], int] = {}  # by site and tag

    def __len__(self) -> int:
        return len(self._keys) + len(self._paths) + len(self._prefixes) + len(self._tags)

    def note(self, scope: Scope, site: bytes, text: bytes, sequence: int) -> None:
        match scope:
            case Scope.KEY:
                self._keys[text] = max(sequence, self._keys.get(text, -1))
            case Scope.PATH:
                self._paths[text] = max(sequence, self._paths.get(text, -1))
            case Scope.PREFIX:
                self._prefixes[text] = max(sequence, self._prefixes.get(text, -1))
                self._lengths.add(len(text))
            case Scope.TAG:
                self._tags[site, text] = max(sequence, self._tags.get((site, text), -1))

    def has(self, sequence: int, key: bytes, tags: Sequence[bytes]) -> bool:
        """Does one that came after that sequence name such an object?"""
        for length in self._lengths:
            if self._prefixes.get(key[:length], -1) > sequence:
                return True
        if self._keys and self._keys.get(key, -1) > sequence:
            return True
        if self._paths and self._paths.get(key.partition(b"?")[0], -1) > sequence:
            return True
        if tags and self._tags:
            site, known = key.partition(b"/")[0], self._tags
            return any(known.get((b"", tag), -1) > sequence or known.get((site, tag), -1) > sequence for tag in tags)
        return False


class Purged:
    """What was purged, and until when: by it a record of a journal is judged."""

    def __init__(self) -> None:
        self.entries: dict[_What, Logged] = {}
        self.newest = -1  # sequence: what is younger is not named by any purge
        self._hard, self._soft = _Named(), _Named()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} entries={len(self.entries)}>"

    @classmethod
    def of(cls, entries: Iterable[tuple[Purge, Logged]]) -> "Purged":
        made = cls()
        for what, logged in entries:
            made.note(what, logged)
        return made

    def note(self, what: Purge, logged: Logged) -> None:
        known = what.soft, what.scope, what.site, what.text
        self.entries.pop(known, None)  # the newest last
        self.entries[known] = logged
        self.newest = max(self.newest, logged.sequence)
        self._sort_in(known, logged.sequence)

    def know_only(self, entries: dict[_What, Logged]) -> None:
        """Forget all others."""
        self.entries = entries
        self._hard, self._soft = _Named(), _Named()
        for what, logged in entries.items():
            self._sort_in(what, logged.sequence)

    def _sort_in(self, what: _What, sequence: int) -> None:
        soft, scope, site, text = what
        (self._soft if soft else self._hard).note(scope, site, text, sequence)

    def since(self, sequence: int) -> list[tuple[Purge, Logged]]:
        """The purges after a sequence number, in their order."""
        found = [(what, logged) for what, logged in self.entries.items() if logged.sequence > sequence]
        return [(Purge(scope, text, site, soft), logged) for (soft, scope, site, text), logged in found]

    def forgets(self, sequence: int, key: bytes, tags: Sequence[bytes]) -> bool:
        """Has such an object been purged since that sequence?"""
        return sequence < self.newest and self._hard.has(sequence, key, tags)

    def outdates(self, sequence: int, key: bytes, tags: Sequence[bytes]) -> bool:
        """The same, softly: it is stale."""
        return sequence < self.newest and self._soft.has(sequence, key, tags)

    def concerns(self, sequence: int, key: bytes, tags: Sequence[bytes]) -> bool:
        """Is it to be judged at all?"""
        return self.forgets(sequence, key, tags) or self.outdates(sequence, key, tags)

    def revised(self, record: Record) -> Record | None:
        """A record from a journal as later purges left it: as it is, stale, or None."""
        asked = record.sequence, record.key, record.tags
        if self.forgets(*asked):
            return None
        if not record.flags & Flag.STALE and self.outdates(*asked):
            return replace(record, flags=record.flags | Flag.STALE)
        return record


class PurgeLog(Purged):
    """Used from the store's thread only. FormatUnknown: a file of another version.

    `packs`: the numbers of those that are there. `now`: no object in them has a higher sequence.
    """

    def __init__(self, disk: Disk, path: Path, volume: uuid.UUID, packs: Collection[int], now: int) -> None:
        super().__init__()
        self._disk, self._path, self._volume = disk, path, volume
        self._needed = 0  # bytes, when it was to be written anew last
        self._is_named = False  # the file that has this name now has it for good
        self.damaged = 0  # entries that were found to be bad, the file's beginning being one
        for what, logged in read_purges(path, volume, self._note_damage):
            self.note(what, logged)
        if packs and not path.exists():
            self._note_damage()
        if self.damaged and packs:
            self.note(EVERYTHING_STALE, Logged(now, max(packs)))
        try:
            self._rewrite_without(min(packs, default=0))
        except OSError as error:  # on a full disk it stays as it is
            if not is_full(error) or not path.exists():
                raise
        self._fd, self._end = -1, 0
        self._open()
        self._anew_at = max(REPEATED_LEAST, 2 * self._needed)  # bytes, at which it is next

    def _note_damage(self) -> None:
        self.damaged += 1

    def append(self, whats: Sequence[Purge], sequence: int, last_pack: int, oldest_pack: int) -> None:
        """Note purges; they are durable when this returns. OSError: they are not."""
        if self._fd < 0:
            self._open()
        if len(self.entries) >= ENTRIES_MOST or self._needed >= BYTES_MOST:
            self._merge_older_half()
            self._anew_at = 0
        if self._end >= self._anew_at:
            self._anew_at = 2 * self._end  # should it fail: it is longer than it need be then, and as good
            with suppress(OSError):
                self._write_anew(oldest_pack)
            if self._fd < 0:
                self._open()
        if not self._is_named:  # a power loss would bring the file before back, without this entry
            self._disk.sync_directory(self._path.parent)
            self._is_named = True
        logged = Logged(sequence, last_pack)
        raw = b"".join(_encode(what, logged) for what in whats)
        try:
            self._disk.pwrite(self._fd, raw, self._end)
            self._disk.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):  # what is left of it would look like damage if a shorter one came over it
                self._disk.ftruncate(self._fd, self._end)
            raise
        self._end += len(raw)
        for what in whats:
            self.note(what, logged)

    def _merge_older_half(self) -> None:
        entries = list(self.entries.items())
        half = entries[: len(entries) // 2]
        most = max(logged.sequence for _, logged in half)
        last = max(logged.last_pack for _, logged in half)
        self.entries = {(False, Scope.PREFIX, b"", b""): Logged(most, last), **dict(entries[len(half) :])}

    def _write_anew(self, oldest_pack: int) -> None:
        try:
            self._rewrite_without(oldest_pack)
        finally:  # there may be another file of this name by now
            fd, self._fd = self._fd, -1
            self._disk.close(fd)
            self._open()
        self._anew_at = max(REPEATED_LEAST, 2 * self._needed)

    def _open(self) -> None:
        """OSError: it cannot be; the next entry tries again, and none is written elsewhere."""
        self._fd = self._disk.open(self._path, os.O_RDWR)
        self._end = os.fstat(self._fd).st_size

    def _rewrite_without(self, oldest_pack: int) -> None:
        """Leave out what concerns packs that are no more."""
        self.know_only({what: logged for what, logged in self.entries.items() if logged.last_pack >= oldest_pack})
        raw = [_HEADER.pack(MAGIC, VERSION, 0, 0, self._volume.bytes)]
        for (soft, scope, site, text), logged in self.entries.items():
            raw.append(_encode(Purge(scope, text, site, soft), logged))
        self._needed, self._is_named = sum(map(len, raw)), False
        write_whole(self._disk, self._path, b"".join(raw))
        self._is_named = True

    def close(self) -> None:
        if self._fd >= 0:
            self._disk.close(self._fd)


def _told_nobody() -> None:
    pass


def read_purges(
    path: Path, volume: uuid.UUID, damaged: Callable[[], object] = _told_nobody
) -> Iterator[tuple[Purge, Logged]]:
    """What the log of a volume says, the oldest first; `damaged` is told of each stretch that makes no sense.

    FormatUnknown: a file of another version.
    """
    raw = path.read_bytes() if path.exists() else None
    if raw is None:
        return
    if not _begins_well(raw, path, volume):
        damaged()
    at: int | None = _HEADER.size
    while at is not None and at < len(raw):
        found = _framed(raw, at)
        if found is None:
            if not _was_cut(raw, at):
                damaged()
            at = _next_good(raw, at + 1)
            continue
        entry, at = found
        yield entry


def _begins_well(raw: bytes, path: Path, volume: uuid.UUID) -> bool:
    """Another version than ours is one only if nothing of ours follows: else it is a bad bit."""
    if len(raw) < _HEADER.size:
        return False
    magic, version, _, _, owner = _HEADER.unpack_from(raw)
    if magic != MAGIC or owner != volume.bytes:
        return False
    if version != VERSION and len(raw) > _HEADER.size and _next_good(raw, _HEADER.size) is None:
        raise FormatUnknown(f"{path} has version {version}, this program reads {VERSION}")
    return bool(version == VERSION)


def _next_good(raw: bytes, at: int) -> int | None:
    return next((further for further in range(at, len(raw)) if _framed(raw, further) is not None), None)


def _framed(raw: bytes, at: int) -> tuple[tuple[Purge, Logged], int] | None:
    """The entry at `at`, and where the next begins; None: there is no good one."""
    if at + _FRAME.size + _ENTRY.size > len(raw):
        return None
    length, crc = _FRAME.unpack_from(raw, at)
    end = at + _FRAME.size + length
    if not _ENTRY.size <= length <= PAYLOAD_MOST or end > len(raw) or length != _said_length(raw, at):
        return None
    payload = raw[at + _FRAME.size : end]
    return (_decode(payload), end) if zlib.crc32(payload) == crc else None


def _said_length(raw: bytes, at: int) -> int:
    """How long the entry of a frame is by what stands in it, which its frame says, too."""
    *_, site, text = _ENTRY.unpack_from(raw, at + _FRAME.size)
    return int(_ENTRY.size + site + text)


def _was_cut(raw: bytes, at: int) -> bool:
    """Is what stands there the beginning of one that was not written to its end?"""
    left = raw[at:]
    if len(left) < _FRAME.size + _ENTRY.size or not left.strip(b"\0"):
        return True
    length, _ = _FRAME.unpack_from(left)
    return bool(len(left) < _FRAME.size + length and length == _said_length(left, 0))


def _encode(what: Purge, logged: Logged) -> bytes:
    scope = SCOPES.index(what.scope)
    payload = _ENTRY.pack(logged.sequence, logged.last_pack, scope, what.soft, len(what.site), len(what.text))
    payload += what.site + what.text
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _decode(payload: bytes) -> tuple[Purge, Logged]:
    sequence, last_pack, scope, soft, site_length, text_length = _ENTRY.unpack_from(payload)
    at = _ENTRY.size
    site, text = payload[at : at + site_length], payload[at + site_length : at + site_length + text_length]
    return Purge(SCOPES[scope], text, site, soft), Logged(sequence, last_pack)
