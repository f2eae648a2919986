"""The mark of trust: what a run says of its index, for the start after it (DESIGN section 9, "Trust after a start")."""

import json
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.store.disk import Disk
from edge.store.files import is_full, write_whole

MARK: Final = "clean"
LOST_MARK: Final = "clean.lost"  # the mark of a run whose index proved bad

log = logging.getLogger("edge.store")


@dataclass(frozen=True, slots=True)
class CleanMark:
    """What the last run left: which index, in which boot, stopped cleanly or not."""

    boot: str
    epoch: int
    next_pack: int  # packs from here on were written since the last clean stop
    clean: bool
    transaction: int = 0  # the index's last one by then; 0: an earlier program wrote this, and did not sync the index
    generation: int = 0  # none at or above this had been handed out
    remembered: bool = False  # volume and index are known again while they are in memory


def read_mark(path: Path) -> CleanMark | None:
    """None when there is none or it cannot be understood: then the index is not trusted."""
    try:
        said = json.loads(path.read_text())
        return CleanMark(
            str(said["boot_id"]),
            int(said["epoch"]),
            int(said["next_pack"]),
            bool(said["clean"]),
            int(said.get("transaction", 0)),
            int(said.get("generation", 0)),
            bool(said.get("remembered", False)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _written(mark: CleanMark) -> bytes:
    said = {
        "boot_id": mark.boot,
        "epoch": mark.epoch,
        "next_pack": mark.next_pack,
        "clean": mark.clean,
        "transaction": mark.transaction,
        "generation": mark.generation,
        "remembered": mark.remembered,
    }
    return json.dumps(said).encode()


class Marks:
    """Of one volume that is open: read at its start, written in its run."""

    def __init__(self, disk: Disk, directory: Path) -> None:
        self._disk, self._directory = disk, directory
        self._path, self._lost_path = directory / MARK, directory / LOST_MARK
        self.found = read_mark(self._path)  # None: no index is trusted
        self.last = self.found or read_mark(self._lost_path)  # of the last run, whatever became of its index
        self.index_was_lost = self._lost_path.exists()
        self._owes = False
        self._writing: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Marks {self._path} owes={self._owes}>"

    def begin(self, mark: CleanMark) -> None:
        """From now on a start may trust the index only within this boot. Where that cannot be written, not at all."""
        try:
            self.write(mark)
        except OSError as error:
            if not is_full(error):
                raise
            with suppress(FileNotFoundError):
                self._disk.unlink(self._path)
            self._disk.sync_directory(self._directory)
            self._owes = True
            log.warning("%s is full: the start after this one would rebuild the index", self._directory)
            return
        self._unlink_lost()

    def pay(self, mark: Callable[[], CleanMark]) -> None:
        """Write the one that a start on a full disk could not write. OSError: it still cannot."""
        if self._owes:
            self.wait()  # both have one draft
            self.write(mark())
            self._owes = False
            self._unlink_lost()

    def write(self, mark: CleanMark) -> None:
        """OSError: it cannot be written; the one before stays."""
        write_whole(self._disk, self._path, _written(mark))

    def write_beside(self, mark: Callable[[], CleanMark]) -> None:
        """In a thread of its own: the disk is busy with a new index, and may take a second.

        A run that is killed before is followed by one that does not know the new index, and begins anew.
        """
        self._writing = threading.Thread(target=self._try_to_write, args=(mark,), name="mark", daemon=True)
        self._writing.start()

    def _try_to_write(self, mark: Callable[[], CleanMark]) -> None:
        try:
            self.write(mark())
        except OSError as error:
            log.warning("the next start will rebuild the index again: %s", error)

    def wait(self) -> None:
        """Until nobody else writes it."""
        if self._writing is not None:
            self._writing.join()

    def lose(self) -> None:
        """The index is of no use: the next start does not trust it, and makes another one."""
        with suppress(OSError):
            os.rename(self._path, self._lost_path)

    def _unlink_lost(self) -> None:
        with suppress(OSError):
            self._lost_path.unlink(missing_ok=True)
