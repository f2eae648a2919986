"""Purges that a volume has not confirmed: nobody is served what they name until it has.

A volume that is away (its disk, its keeper, out of the configuration) while a purge is asked must not come back with
what was purged, nor with versions that the others have replaced meanwhile. So there is a book of what each volume owes,
by the uuid in its `volume.json`:
  - a purge that a volume cannot note, or does not hear; it is asked again until it confirms
  - everything made stale, once a volume was away: which of its objects the others have fetched anew nobody knows
The book lies in the directory of each volume that can be used, whichever is dead. At a start their copies make one: of
what any of them says is owed, what any of them says is paid is struck out. A volume that one of the copies does not
know has been away for too long, or was never with the others: all that it has is made stale, too. A copy whose volume
a newer one knows says nothing of that: it lay on a disk that was away, or full, when others came.
"""

import asyncio
import base64
import json
import os
import secrets
import threading
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.policy.purges import Purge, Scope
from edge.store.files import IDENTITY, IDENTITY_COPY, has_its_sum
from edge.store.purgelog import EVERYTHING, EVERYTHING_STALE

NAME: Final = "owed.json"
FORMAT: Final = 2
MOST: Final = 10_000  # purges of a volume; beyond it, it owes everything: it comes back empty
KNOWN_SECONDS: Final = 30 * 86_400.0  # for so long after it was seen last a volume is known
KNOWN_MOST: Final = 64  # volumes
HARD_MOST: Final = 4 * KNOWN_MOST  # so many stay known for longer if they owe purges that are not soft
SEEN_SECONDS: Final = 86_400.0  # so often the book says again who is here: one run may be longer than KNOWN_SECONDS
PAID_MOST: Final = 20_000  # what is done twice does no harm
SAVE_SECONDS: Final = 2.0  # for so long a disk that does not answer is waited for
PAY_AGAIN_SECONDS: Final = 5.0  # after a purge that failed on a volume whose disk is good (it is full, perhaps)
PAY_AGAIN_MOST: Final = 600.0  # after many: each look at a full disk costs a sync


@dataclass(frozen=True, slots=True)
class Known:
    """A volume that has been with us: where, and when last (unix)."""

    path: str
    seen: float


class Owed:
    """`volumes`: label and directory of all that are configured; `usable`: labels of those that can be had now."""

    def __init__(self, volumes: Mapping[str, Path], usable: Collection[str], now: float) -> None:
        self._directories, self._usable = dict(volumes), tuple(usable)
        self._known: dict[str, Known] = {}
        self._owed: dict[str, dict[str, Purge]] = {}  # by volume: id -> what, oldest first
        self._paid: dict[str, None] = {}  # ids
        self._written = now  # who is known is of then
        self._turn = asyncio.Lock()
        self._busy: set[str] = set()  # labels of volumes whose disk has not answered yet
        self._saves = 0
        copies = {label: copy for label in usable if (copy := _read(volumes[label] / NAME)) is not None}
        for copy in copies.values():
            self._merge(copy)
        self._who = {label: self._identify(label) for label in volumes}
        self._judge(copies, now)
        for label in self._usable:
            _try_to_write(self._directories[label], self._document())

    def __repr__(self) -> str:
        return f"<Owed { {who: len(entries) for who, entries in self._owed.items()} }>"

    # -- what the copies come to -----------------------------------------------------------------

    def _merge(self, copy: dict[str, Any]) -> None:
        for who, said in (copy["volumes"] or {}).items():
            known = Known(str(said["path"]), float(said["seen"]))
            if who not in self._known or self._known[who].seen < known.seen:
                self._known[who] = known
        for who, entries in copy["owed"].items():
            self._owed.setdefault(who, {}).update({id_: from_json(what) for id_, what in entries.items()})
        self._paid.update(dict.fromkeys(copy["paid"]))
        for entries in self._owed.values():
            for id_ in self._paid.keys() & entries.keys():
                del entries[id_]

    def _identify(self, label: str) -> str:
        """A volume's uuid; where it cannot be read, that which was in its place, else the place."""
        directory = self._directories[label]
        place = f"path:{directory}"
        who = _uuid_in(directory) if label in self._usable else None
        if who is None:
            there = [(known.seen, who) for who, known in self._known.items() if known.path == str(directory)]
            return max(there)[1] if there else place
        for called in (place, f"path:{label}"):  # of it, or of one that was there before: more than enough is no harm
            if called in self._owed:
                self._owed.setdefault(who, {}).update(self._owed.pop(called))
        return who

    def _judge(self, copies: Mapping[str, dict[str, Any]], now: float) -> None:
        """Who has been away, or is now; forget who has been for too long."""
        unreadable = any(copy["volumes"] == {} for copy in copies.values())
        outdated = {
            label
            for label, copy in copies.items()
            if any(
                copy["written"] < other["written"] and self._who[label] in (other["volumes"] or ())
                for other in copies.values()
            )
        }
        for label in self._usable:
            who = self._who[label]
            if who.startswith("path:"):  # it is yet to be made
                continue
            others = [copy["volumes"] for other, copy in copies.items() if other not in (label, *outdated)]
            if unreadable or any(volumes is not None and who not in volumes for volumes in others):
                self._owe(who, [EVERYTHING_STALE])
            self._known[who] = Known(str(self._directories[label]), now)
        newest = sorted(self._known, key=lambda who: self._known[who].seen, reverse=True)
        for number, who in enumerate(newest):
            if who in self._who.values() or (number < KNOWN_MOST and now - self._known[who].seen <= KNOWN_SECONDS):
                continue
            if number < HARD_MOST and any(not what.soft for _, what in self.of(who)):  # not even stale may it be used
                self._owe_all(who)
            else:
                del self._known[who]
                self._owed.pop(who, None)
        for who in self._owed.keys() - self._known.keys() - set(self._who.values()):
            del self._owed[who]
        for who in self.absent():
            self._owe(who, [EVERYTHING_STALE])

    # -- asking ----------------------------------------------------------------------------------

    def who(self, label: str) -> str:
        """What a configured volume is called here."""
        return self._who[label]

    def absent(self) -> list[str]:
        """Volumes that are known, or configured, and not here."""
        here = self._here()
        return list(dict.fromkeys(who for who in (*self._known, *self._who.values()) if who not in here))

    def _here(self) -> set[str]:
        return {self._who[label] for label in self._usable}

    def where(self, who: str) -> str:
        """Where it was seen last, or is to be."""
        return self._known[who].path if who in self._known else who.removeprefix("path:")

    def of(self, who: str) -> list[tuple[str, Purge]]:
        """What a volume owes, oldest first, each with its id."""
        return list(self._owed.get(who, {}).items())

    # -- changing --------------------------------------------------------------------------------

    def _owe(self, who: str, whats: Iterable[Purge], *, again: bool = False) -> None:
        """`again`: also what is owed already, since it may just be being paid."""
        entries = self._owed.setdefault(who, {})
        there = set() if again else set(entries.values())
        if EVERYTHING in entries.values() and who not in self._here():
            return  # there is no more to owe, and nobody pays it now
        entries.update({secrets.token_hex(8): what for what in whats if what not in there})
        if len(entries) > MOST:
            self._owe_all(who)

    def _owe_all(self, who: str) -> None:
        """It comes back empty: of what it has missed no more is known."""
        if list(self._owed[who].values()) != [EVERYTHING]:
            self._owed[who] = {secrets.token_hex(8): EVERYTHING}

    async def add(self, volumes: Iterable[str], whats: Sequence[Purge]) -> bool:
        """False: it could be written nowhere, and holds as long as this process lives."""
        for who in volumes:
            self._owe(who, whats, again=True)
        return await self._save()

    async def paid(self, who: str, ids: Iterable[str]) -> None:
        """The volume has confirmed these."""
        entries = self._owed.get(who, {})
        for id_ in ids:
            if entries.pop(id_, None) is not None:
                self._paid[id_] = None
        for id_ in list(self._paid)[:-PAID_MOST]:
            del self._paid[id_]
        if not entries:
            self._owed.pop(who, None)
        await self._save()

    async def present(self, label: str, now: float) -> None:
        """Its keeper is there: a new volume has a name by now."""
        before = self._who[label]
        who = _uuid_in(self._directories[label])
        if who is not None and who != before:
            self._who[label] = who
            self._known[who] = Known(str(self._directories[label]), now)
            self._written = now
            if before.startswith("path:") and before in self._owed:
                self._owed.setdefault(who, {}).update(self._owed.pop(before))
            await self._save()

    async def seen(self, now: float) -> None:
        """Those that are here have been until now."""
        for label in self._usable:
            if (who := self._who[label]) in self._known:
                self._known[who] = Known(self._known[who].path, now)
        await self._save()

    # -- copies ----------------------------------------------------------------------------------

    def _document(self) -> bytes:
        said = {
            "format": FORMAT,
            "written": self._written,
            "volumes": {who: {"path": known.path, "seen": known.seen} for who, known in self._known.items()},
            "owed": {
                who: {id_: to_json(what) for id_, what in entries.items()}
                for who, entries in self._owed.items()
                if entries
            },
            "paid": list(self._paid),
        }
        return json.dumps(said).encode()

    async def _save(self) -> bool:
        async with self._turn:
            self._saves += 1
            raw = self._document()
            writing = [self._write(label, raw) for label in self._usable if label not in self._busy]
            if not writing:
                return False
            done, _ = await asyncio.wait(writing, timeout=SAVE_SECONDS)
            return any(future.result() for future in done)

    def _write(self, label: str, raw: bytes) -> "asyncio.Future[bool]":
        """In a thread of its own, which nobody waits for at the end: its disk may never answer."""
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._busy.add(label)
        of = self._saves

        def tell(done: bool) -> None:
            self._busy.discard(label)
            if not written.done():
                written.set_result(done)
            if done and of < self._saves:  # it was slow, and was left out meanwhile: it may be all that is left one day
                self._write(label, self._document())

        def write() -> None:
            done = _try_to_write(self._directories[label], raw)
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, done)

        threading.Thread(target=write, name="owed", daemon=True).start()
        return written


def pay_again_after(before: float) -> float:
    """Seconds to wait after one more failure; `before`: after the one before, 0 if there was none."""
    return min(max(2 * before, PAY_AGAIN_SECONDS), PAY_AGAIN_MOST)


def _try_to_write(directory: Path, raw: bytes) -> bool:
    draft = directory / f"{NAME}.new"
    try:
        with draft.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(draft, directory / NAME)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _read(path: Path) -> dict[str, Any] | None:
    """A copy; None: there is none. One that cannot be read knows of nobody (`volumes` empty)."""
    try:
        said = json.loads(path.read_bytes())
        if "format" not in said:  # of before: label -> purges; it tells nothing of who was there
            return {"written": 0.0, "volumes": None, "owed": _by_label(said), "paid": []}
        more = {label: whats for label, whats in said.items() if label != "paid" and isinstance(whats, list)}
        volumes, owed = dict(said["volumes"]), {**said["owed"], **_by_label(more)}  # a program of before was here since
        for entries in owed.values():
            for what in entries.values():
                from_json(what)
        for known in volumes.values():
            Known(str(known["path"]), float(known["seen"]))
        written = float(said.get("written", 0.0))
        return {"written": written, "volumes": volumes, "owed": owed, "paid": list(said["paid"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {"written": 0.0, "volumes": {}, "owed": {}, "paid": []}


def _by_label(said: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"path:{label}": {secrets.token_hex(8): what for what in whats} for label, whats in said.items()}


def _uuid_in(directory: Path) -> str | None:
    """As its keeper will have it: a description that is damaged is not believed."""
    for name in (IDENTITY, IDENTITY_COPY):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            said = json.loads((directory / name).read_bytes())
            if has_its_sum(said):
                return uuid.UUID(said["volume"]).hex
    return None


def to_json(what: Purge) -> dict[str, Any]:
    text, site = (base64.b64encode(part).decode() for part in (what.text, what.site))
    return {"scope": what.scope.value, "text": text, "site": site, "soft": what.soft}


def from_json(said: dict[str, Any]) -> Purge:
    """ValueError or KeyError: not a purge."""
    text, site = (base64.b64decode(said[part], validate=True) for part in ("text", "site"))
    return Purge(Scope(said["scope"]), text, site, bool(said["soft"]))
