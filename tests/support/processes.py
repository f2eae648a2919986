"""Who is whose child on this machine."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path


def processes() -> Iterator[tuple[int, int, str]]:
    """(pid, parent's pid, name) of all that have not ended."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                before, _, after = (entry / "stat").read_text().rpartition(")")
                state, parent = after.split()[:2]
                if state != "Z":
                    yield int(entry.name), int(parent), before.partition("(")[2]


def children_of_edge(supervisor: int, role: str = "") -> list[int]:
    """Workers and keepers of a supervisor, those of one role if it is named; forked or executed."""
    found = list(processes())
    parents = {supervisor, *(pid for pid, parent, name in found if parent == supervisor and name == "edge-nursery")}
    kinds = (f"edge-{role}-",) if role else ("edge-worker-", "edge-keeper-")
    return sorted(pid for pid, parent, name in found if parent in parents and name.startswith(kinds))


def state_of(pid: int) -> str:
    """One letter, see proc(5): S sleeps, T is stopped, Z has ended; empty: it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


async def halt(pid: int) -> None:
    """Until it stands still: a signal that is sent right after SIGSTOP may be delivered before it."""
    os.kill(pid, signal.SIGSTOP)
    async with asyncio.timeout(10):
        while state_of(pid) != "T":
            await asyncio.sleep(0.001)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far; 0 for one that has ended."""
    try:
        after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")
