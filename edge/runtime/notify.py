"""What the service manager is told, by sd_notify(3)'s datagrams: ready, reloading, stopping, alive.

Without NOTIFY_SOCKET nothing is said, and a datagram that cannot be sent is no fault of ours: players are served all
the same, and the manager's own time-out says what it thinks of it.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

SPOKEN_TO_US_ALONE: Final = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
)  # fmt: skip
BEATS: Final = 3  # in the time after which the manager takes us for dead: one may be late
STATUS_MOST: Final = 200  # characters: `systemctl status` shows a line


class Notifier:
    """`watchdog`: seconds after which the manager wants to have heard of us, None where it does not care."""

    def __init__(self, address: str | None, watchdog: float | None) -> None:
        self.watchdog = watchdog
        self._address = _raw(address) if address else None

    def __repr__(self) -> str:
        return f"<Notifier {self._address!r} watchdog={self.watchdog}>"

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> Self:
        """What the manager has left in our environment; WATCHDOG_PID tells whom it means."""
        usec, whom = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", str(pid))
        watched = usec.isdecimal() and int(usec) > 0 and whom == str(pid)
        return cls(environment.get("NOTIFY_SOCKET"), int(usec) / 1e6 if watched else None)

    def ready(self, status: str) -> None:
        """We serve, for the first time or after a reload."""
        self._tell(f"READY=1\n{_status(status)}\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        """New settings are being taken up; Type=notify-reload compares the time with its own request."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={usec}\n{_status('reloading')}")

    def stopping(self, seconds: float) -> None:
        """Answers under way have so long: the manager waits a little longer."""
        self._tell(f"STOPPING=1\n{_status('draining')}\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def status(self, text: str) -> None:
        self._tell(_status(text))

    async def beat(self, status: Callable[[], str]) -> None:
        """For ever: our loop turns. What it does is told as often, where it has changed."""
        said = ""
        while self.watchdog is not None:
            now = status()
            self._tell("WATCHDOG=1" + (f"\n{_status(now)}" if now != said else ""))
            said = now
            await asyncio.sleep(self.watchdog / BEATS)

    def _tell(self, text: str) -> None:
        if self._address is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)  # a manager that does not listen must not hold the loop
            sock.sendto(text.encode(), self._address)


def for_children(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what was said to us alone."""
    return {name: value for name, value in environment.items() if name not in SPOKEN_TO_US_ALONE}


def _raw(address: str) -> bytes:
    """unix(7): a name that begins with @ is abstract, its first byte is zero."""
    raw = os.fsencode(address)
    return b"\0" + raw[1:] if raw.startswith(b"@") else raw


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())[:STATUS_MOST]
