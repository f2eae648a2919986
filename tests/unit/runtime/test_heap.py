"""Free memory goes back to the system."""

import asyncio
import gc
from pathlib import Path

import pytest

from edge.runtime.heap import trim_now_and_then, trimmer
from edge.tasks import Tasks


def anonymous_kib() -> int:
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])


def with_holes(mib: int) -> list[bytes]:
    """Buffers of 32 KiB, each second one freed: none of the holes is at the heap's end."""
    buffers = [bytes(32 << 10) for _ in range(mib * 32)]
    kept = buffers[::2]
    del buffers
    gc.collect()
    return kept


async def test_holes_amid_the_heap_are_given_back_now_and_then() -> None:
    if trimmer() is None:
        pytest.skip("the C library gives nothing back")
    kept = with_holes(64)
    before = anonymous_kib()
    tasks = Tasks("test")
    tasks.spawn(trim_now_and_then(0.01), "trim")
    for _ in range(1000):
        if before - anonymous_kib() > 16 << 10:
            break
        await asyncio.sleep(0.01)
    await tasks.close()
    assert before - anonymous_kib() > 16 << 10
    assert all(len(buffer) == 32 << 10 for buffer in kept)
