"""Rows that wait on the disk, divided into parts, to be taken part by part."""

import marshal
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HELD_MOST: Final = 8 << 20  # bytes of rows in memory before they are written: 32 MiB cost 10 % more, in cache misses
PLAIN: Final = 2  # a version of marshal that looks for no repeated objects


class Spill:
    """Written by one process, then read by any. `parts`: append rows to them, then say how many bytes with `held`."""

    def __init__(self, path: Path, parts: int) -> None:
        self.parts: list[list[bytes]] = [[] for _ in range(parts)]
        self._path = path
        self._file = path.open("wb", buffering=0)
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(parts)]  # by part: offset and length
        self._end = self._held = 0

    def __repr__(self) -> str:
        return f"<Spill {self._path} parts={len(self.parts)} bytes={self._end}>"

    def held(self, length: int) -> None:
        """So many bytes have been appended."""
        self._held += length
        if self._held >= HELD_MOST:
            self._write()

    def _write(self) -> None:
        for part, rows in enumerate(self.parts):
            if rows:
                raw = marshal.dumps(rows, PLAIN)
                rows.clear()
                self._chunks[part].append((self._end, len(raw)))
                self._end += len(raw)
                _write_all(self._file.fileno(), raw)
        self._held = 0

    def close(self) -> None:
        """Nothing more comes: it may be read."""
        self._write()
        self._file.close()
        _contents(self._path).write_bytes(marshal.dumps(self._chunks, PLAIN))


class Spills:
    """What several processes have spilled; `rows` are those of one part."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [path.open("rb", buffering=0) for path in paths]
        self._chunks: list[list[list[tuple[int, int]]]] = [
            marshal.loads(_contents(path).read_bytes()) for path in paths
        ]

    def rows(self, part: int) -> list[bytes]:
        found: list[bytes] = []
        for file, chunks in zip(self._files, self._chunks, strict=True):
            for offset, length in chunks[part]:
                raw = os.pread(file.fileno(), length, offset)
                if len(raw) < length:
                    raise OSError(f"{file.name} ends early")
                found += marshal.loads(raw)
        return found

    def close(self) -> None:
        for file in self._files:
            file.close()


def remove(path: Path) -> None:
    path.unlink()
    _contents(path).unlink()


def _contents(path: Path) -> Path:
    return path.with_name(path.name + ".contents")


def _write_all(fd: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(fd, view) :]
