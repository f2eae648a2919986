"""Does a child's loop turn? One that stands still serves nobody, and does not end by itself.

A child says every BEAT_SECONDS that it lives; its supervisor looks as often. What counts is how many looks in a row
have heard nothing, not what the clock says: a machine, or a supervisor, that stood still has seen nothing of the child.
A look counts only if the child could have turned: not while one of its threads waits for a disk, nor while it is
stopped or traced, nor while it wants to run and hardly gets a processor.
"""

import os
from pathlib import Path
from typing import Final

BEAT_SECONDS = 5.0
STILL_LOOKS: Final = 12  # a minute, far more than any step of a loop takes
KILL_LOOKS: Final = 2  # more, for one that does not end of what it was sent then
RUN_SHARE: Final = 0.1  # of a processor: who gets less is held up by the machine
HELD_UP: Final = frozenset("DTtZX")  # proc(5): waits for a disk, stopped, traced; ended
_UTIME: Final = 11  # of the fields behind a process's name
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Pulse:
    """Of one child."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._directory = proc / str(pid)
        self._beats = False  # a child of an earlier program never does
        self._heard = False
        self._ran: float | None = None  # seconds of a processor, at the last look that heard nothing
        self._looks = 0

    def __repr__(self) -> str:
        return f"<Pulse of {self._directory} looks={self._looks}>"

    def beat(self) -> None:
        self._beats = self._heard = True

    def look(self) -> int:
        """Every BEAT_SECONDS: how many looks in a row have found it standing still."""
        if self._heard or not self._beats:
            self._heard, self._ran, self._looks = False, None, 0
        elif self._could_turn():
            self._looks += 1
        return self._looks

    def _could_turn(self) -> bool:
        try:
            states = {_fields(path)[0] for path in self._directory.glob("task/*/stat")}
            fields = _fields(self._directory / "stat")
        except OSError:  # a thread, or all of it, has ended in this moment
            return False
        before, self._ran = self._ran, (int(fields[_UTIME]) + int(fields[_UTIME + 1])) / TICKS
        if before is None or states & HELD_UP:
            return False
        return "R" not in states or self._ran - before >= RUN_SHARE * BEAT_SECONDS


def _fields(stat: Path) -> list[str]:
    """What proc(5) says of a process or thread, from its state on."""
    return stat.read_text().rpartition(")")[2].split()
