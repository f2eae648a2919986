"""Pages of a mapped index that the disk cannot read: SIGBUS, which would end the process and all that it serves.

LMDB reads through a mapping, so an I/O error there comes as a signal and not as an error. A worker puts a page of
zeros in its place: LMDB takes it for damaged, the index counts as unreadable, and the worker goes on with the other
volumes. A keeper must not (it would write a tree that is made of zeros): its index is lost, and it ends.

A worker copies small bodies out of mapped packs, which it has just seen in memory, or a second ago. It says so before
(`copying`); a page that is there no more, and that the disk does not give, is zeros then, and `torn` says that what was
copied is nothing.

The signal is raised by the very read that fails, so its handler may be Python: no other code is cut in two by it, and
a thread that has let go of the interpreter waits for it as usual. What is neither is left to who was there before
(faulthandler, which says where it was, and the end).
"""

import ctypes
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge.store.tables import DATA

PAGE: Final = mmap.PAGESIZE
_ADDRESS_AT: Final = 16  # of si_addr in siginfo_t, on 64 bits
_SA_SIGINFO: Final = 4
_MAP_FIXED: Final = 0x10
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _Action(ctypes.Structure):
    """struct sigaction of glibc and musl on 64 bits."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class Bus:
    """Of one process. `watch` an index after it was opened, `forget` it before it is closed."""

    def __init__(self) -> None:
        self.copying = self.torn = False
        self._watched: dict[Path, tuple[int, int, Callable[[], None]]] = {}
        self._before = _Action()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._map = self._libc.mmap
        self._map.restype = ctypes.c_void_p
        self._map.argtypes = (
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
        )  # fmt: skip
        self._handler = _HANDLER(self._on_signal)  # as long as we live

    def __repr__(self) -> str:
        return f"<Bus {sorted(map(str, self._watched))}>"

    def install(self) -> None:
        """From now on the signal comes here first."""
        action = _Action()
        action.handler = ctypes.cast(self._handler, ctypes.c_void_p).value
        action.flags = _SA_SIGINFO
        if self._libc.sigaction(signal.SIGBUS, ctypes.byref(action), ctypes.byref(self._before)) != 0:
            raise OSError(ctypes.get_errno(), "sigaction")

    def remove(self) -> None:
        """The signal goes to who was there before."""
        self._libc.sigaction(signal.SIGBUS, ctypes.byref(self._before), None)

    def watch(self, index: Path, unreadable: Callable[[], None]) -> None:
        """`unreadable` is called when a page of this index cannot be read; it must not look into the index."""
        file = os.path.realpath(index / DATA)
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(" " + file):
                start, end = (int(part, 16) for part in line.partition(" ")[0].split("-"))
                self._watched[index] = start, end, unreadable

    def forget(self, index: Path) -> None:
        self._watched.pop(index, None)

    def _on_signal(self, _number: int, info: int, _context: int) -> None:
        address = ctypes.c_uint64.from_address(info + _ADDRESS_AT).value
        for start, end, unreadable in self._watched.values():
            if start <= address < end:
                unreadable()
                if self._put_zeros(address):
                    return
                break
        else:
            if self.copying and self._put_zeros(address):
                self.torn = True
                return
        self.remove()  # the read is done again, fails again, and goes the way that it would have gone

    def _put_zeros(self, address: int) -> bool:
        page = address - address % PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED
        return bool(self._map(page, PAGE, mmap.PROT_READ, flags, -1, 0) == page)
