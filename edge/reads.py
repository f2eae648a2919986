"""Reading a file at a place, whole."""

import os


def read_at(fd: int, count: int, offset: int) -> bytes:
    """`count` bytes, fewer only at the file's end: one call may bring less than was asked for (pread(2)). OSError."""
    data = os.pread(fd, count, offset)
    while 0 < len(data) < count:
        more = os.pread(fd, count - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
