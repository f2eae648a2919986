"""Free memory goes back to the system."""

import asyncio
import ctypes
import gc
import subprocess
import sys
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


BODIES = """
import sys
from tests.unit.runtime.test_heap import anonymous_kib
from edge.runtime.heap import keep_bodies_apart
if sys.argv[1] == "apart":
    keep_bodies_apart()
bodies, stay = [], []
bytes(1 << 20)  # freed at once: glibc raises its border
for _ in range(80):
    bodies.append(b"x" * (400 << 10))
    stay.append(b"y" * 900)  # beyond what Python's own allocator takes
full = anonymous_kib()
bodies.clear()
print(full - anonymous_kib())
"""


def test_bodies_leave_nothing_behind_among_what_stays() -> None:
    if getattr(ctypes.CDLL(None), "mallopt", None) is None:
        pytest.skip("the C library has no such option")
    given_back = {
        how: int(subprocess.run([sys.executable, "-c", BODIES, how], capture_output=True, check=True).stdout)
        for how in ("apart", "as glibc has it")
    }
    assert given_back["apart"] > 28 << 10
    assert given_back["as glibc has it"] < 15 << 10, "if more, there is no need of it"


READERS = """
import ctypes, sys, threading
from tests.unit.runtime.test_heap import anonymous_kib
from edge.runtime.heap import share_one_arena, trimmer
if sys.argv[1] == "shared":
    share_one_arena()
all_have_read, done = threading.Barrier(5), threading.Event()
def read():
    block = b"x" * (1 << 20)  # freed at once: glibc raises its border
    del block
    blocks = [b"x" * (60 << 10) for _ in range(5)]
    all_have_read.wait()
    blocks.clear()
    all_have_read.wait()
    done.wait()
trimmer()()
before = anonymous_kib()
threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads:
    thread.start()
all_have_read.wait()
all_have_read.wait()
trimmer()()
print(anonymous_kib() - before)
done.set()
"""


def test_threads_that_have_read_once_leave_nothing_behind() -> None:
    if trimmer() is None:
        pytest.skip("the C library gives nothing back")
    left = {
        how: int(subprocess.run([sys.executable, "-c", READERS, how], capture_output=True, check=True).stdout)
        for how in ("shared", "as glibc has it")
    }
    assert left["shared"] < 1 << 10
    assert left["as glibc has it"] > 2 << 10, "if less, there is no need of it"
