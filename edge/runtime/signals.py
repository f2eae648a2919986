"""The signals that a supervisor has handlers for, and how they wait while it cannot hear them.

A start makes things that only its own end takes away (directories, locks, children), and what is done at the very end
cannot be hastened: a signal that comes meanwhile is kept by the kernel, not lost, and nothing is cut in two by it.
"""

import signal
from typing import Final

STOPS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
HEARD: Final = STOPS | {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


def hold() -> None:
    """They wait from now on, also over an exec."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)


def release() -> None:
    """What came meanwhile is delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)


def stop_waits() -> bool:
    """Whether one that is held says to stop; it is not delivered any more."""
    return signal.sigtimedwait(STOPS, 0) is not None
