"""Memory that nobody uses goes back to the system.

The C library keeps what was freed amid its heap: buffers of many sizes that live for a moment leave holes, and a
process that works grows for hours (a keeper: 0.1 KB an object that it fills). Trimmed now and then it does not. What is
touched again in between shows: with a minute a keeper of 50 MB swung by 5.
"""

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any, Final

SECONDS: Final = 15.0


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
