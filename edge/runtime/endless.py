"""Does a thread go round in a circle? What it has to do takes time where the disk is slow, but no processor.

The loop beside it turns, so nobody else notices: a volume whose store thread never comes back is off for ever.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

LOOK_SECONDS: Final = 5.0
ENDLESS_SECONDS: Final = 300.0  # of a processor, for one call: the longest is a large journal that is written anew


async def endless(
    thread: int, doing: Callable[[], int], look: float = LOOK_SECONDS, most: float = ENDLESS_SECONDS
) -> None:
    """Returns when the thread of that ident has used so much for one thing; `doing` numbers what it does."""
    clock = time.pthread_getcpuclockid(thread)
    what, before = doing(), time.clock_gettime(clock)
    while True:
        await asyncio.sleep(look)
        now, used = doing(), time.clock_gettime(clock)
        if now != what:
            what, before = now, used
        elif used - before >= most:
            return
