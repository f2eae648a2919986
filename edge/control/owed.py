"""Purges that a volume has not confirmed: it hears them before it serves again.

A volume that is away (its disk, its keeper) while a purge is asked must not come back with what was purged.
"""

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from edge.policy.purges import Purge, Scope

MOST: Final = 10_000  # beyond it a volume owes everything: it comes back empty


class Owed:
    """By volume label; kept in a file, since the server may be restarted while the volume is away."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_volume: dict[str, list[dict[str, Any]]] = {}
        if path.exists():
            self._by_volume = json.loads(path.read_text())

    def __repr__(self) -> str:
        return f"<Owed { {volume: len(entries) for volume, entries in self._by_volume.items()} }>"

    def add(self, volume: str, whats: Sequence[Purge]) -> None:
        entries = self._by_volume.setdefault(volume, [])
        entries += [to_json(what) for what in whats]
        if len(entries) > MOST:
            entries[:] = [to_json(Purge(Scope.PREFIX, b""))]
        self._save()

    def of(self, volume: str) -> list[dict[str, Any]]:
        """What a volume owes, oldest first, as `from_json` takes it."""
        return list(self._by_volume.get(volume, ()))

    def paid(self, volume: str, count: int) -> None:
        """The volume has done the first `count` of them."""
        if count and volume in self._by_volume:
            del self._by_volume[volume][:count]
            if not self._by_volume[volume]:
                del self._by_volume[volume]
            self._save()

    def _save(self) -> None:
        draft = self._path.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(self._by_volume, file)
            file.flush()
            os.fdatasync(file.fileno())
        os.replace(draft, self._path)


def to_json(what: Purge) -> dict[str, Any]:
    text, site = (base64.b64encode(part).decode() for part in (what.text, what.site))
    return {"scope": what.scope.value, "text": text, "site": site, "soft": what.soft}


def from_json(said: dict[str, Any]) -> Purge:
    """ValueError or KeyError: not a purge."""
    text, site = (base64.b64decode(said[part], validate=True) for part in ("text", "site"))
    return Purge(Scope(said["scope"]), text, site, bool(said["soft"]))
