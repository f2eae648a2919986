"""Memory that nobody uses goes back to the system.

The C library keeps what was freed amid its heap: buffers of many sizes that live for a moment leave holes, and what is
small and stays comes to lie among them. A keeper grew for hours by that (0.1 KB an object that it fills; trimmed every
15 s, still by 1.8 MiB an hour). What is larger than a read of a socket has a mapping of its own, always, and threads
share an arena; the heap's end, which each body would have the kernel take and give again, waits for the next trim.
"""

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any, Final

from edge.words import KIB, MIB

SECONDS: Final = 15.0
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # glibc's malloc.h
APART: Final = 300 * KIB  # bytes from which a buffer is a mapping of its own; glibc would raise that, up to 32 MiB
END: Final = 32 * MIB  # that may lie free at the heap's end
ARENAS: Final = 2  # of a process through which bodies go: the loop's, and one for all threads


def keep_bodies_apart() -> None:
    """Of a process through which bodies go; nothing where the C library has no such call."""
    _set((_M_MMAP_THRESHOLD, APART), (_M_TRIM_THRESHOLD, END), (_M_ARENA_MAX, ARENAS))


def share_one_arena() -> None:
    """Of a process whose threads read now and then: only of the loop's arena is the end given back by a trim.

    Others keep what was read in them once, for ever. Nothing where the C library has no such call.
    """
    _set((_M_ARENA_MAX, 1))


def _set(*options: tuple[int, int]) -> None:
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option in options:
            mallopt(*option)


def trimmer() -> Callable[[], object] | None:
    """What gives whole free pages back; None where the C library has no such call (it is glibc's)."""
    trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


async def trim_now_and_then(seconds: float = SECONDS) -> None:
    """Until cancelled; in a thread, since a large heap takes some milliseconds."""
    trim = trimmer()
    while trim is not None:
        await asyncio.sleep(seconds)
        await asyncio.to_thread(trim)
