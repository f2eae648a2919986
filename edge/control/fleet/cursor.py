"""How far this node has done the fleet's orders; kept in the cache directory, since it speaks of what lies there.

A cache that is emptied or exchanged loses its cursor with it, and its node joins anew. Redis keeps none: a group there
would tell a node with another disk that it has seen what it has not.
"""

import json
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from edge.control.fleet.order import Stamp


@dataclass(frozen=True, slots=True)
class Cursor:
    """`identity` tells this cache from any other whose node has the same name; `done` None: it never took part.

    `epoch` is the stream's: a Redis that has lost everything begins a new one.
    """

    identity: str
    epoch: str = ""
    done: Stamp | None = None

    @classmethod
    def load(cls, path: Path, fleet: str) -> Self:
        """A new one where there is none, or that of another fleet."""
        try:
            said = json.loads(path.read_text())
            found = cls(str(said["identity"]), str(said["epoch"]), Stamp.parse(said["done"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(secrets.token_hex(8))
        return found if said.get("fleet") == fleet else cls(found.identity)

    def moved(self, path: Path, fleet: str, epoch: str, done: Stamp) -> Self:
        """A cursor further on, written. An older one after a loss of power has orders done again, which is harmless."""
        draft = path.with_suffix(".new")
        said = {"fleet": fleet, "identity": self.identity, "epoch": epoch, "done": str(done)}
        draft.write_text(json.dumps(said))
        os.replace(draft, path)
        return replace(self, epoch=epoch, done=done)
