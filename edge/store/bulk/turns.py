"""Processes that prepare side by side and write one after the other."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

FAILED: Final = "another process of the build has failed"
_TURN: Final = b"t"


class Turns:
    """A ring of `count` processes, of which this is number `at`. EOFError: another one has failed."""

    def __init__(self, at: int, count: int, pipes: list[tuple[int, int]]) -> None:
        self.at, self.count = at, count
        self._from, self._to = pipes[at][0], pipes[(at + 1) % count][1]
        for fd in {fd for pipe in pipes for fd in pipe} - {self._from, self._to}:
            os.close(fd)  # so that the end of a process is the end of its pipe

    def __repr__(self) -> str:
        return f"<Turns {self.at} of {self.count}>"

    @classmethod
    def begin(cls, count: int) -> tuple[Self, list[int]]:
        """Fork the others; the pids are those of number 0's children. Every process goes on from here."""
        pipes = [os.pipe() for _ in range(count)]
        os.write(pipes[0][1], _TURN)
        pids: list[int] = []
        for at in range(1, count):
            pid = os.fork()
            if not pid:
                return cls(at, count, pipes), []
            pids.append(pid)
        return cls(0, count, pipes), pids

    @contextmanager
    def own(self) -> Iterator[None]:
        """Wait for one's turn, pass it on afterwards."""
        if not os.read(self._from, 1):
            raise EOFError(FAILED)
        yield
        try:
            os.write(self._to, _TURN)
        except BrokenPipeError as error:
            raise EOFError(FAILED) from error

    def tasks(self, count: int) -> Iterator[int | None]:
        """One's own of `count` tasks; a turn is due after each, also after None: all have equally many."""
        for first in range(0, count, self.count):
            yield first + self.at if first + self.at < count else None

    def meet(self) -> None:
        """Wait for all."""
        for _ in range(2):  # the turn that comes a second time has been round once
            with self.own():
                pass

    def close(self) -> None:
        os.close(self._from)
        os.close(self._to)
