"""What a process costs its machine: processor time, memory, descriptors."""

import os
import time
from pathlib import Path
from typing import Final

from edge.observe.slots import SlotWriter

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class ProcessMeters:
    """`sample` takes some 30 us: it is called once a second."""

    def __init__(self, slots: SlotWriter, process: str, proc: Path = Path("/proc/self")) -> None:
        self._values = slots.values
        self._cpu = slots.cell("edge_process_cpu_seconds_total", process)
        self._memory = slots.cell("edge_process_resident_memory_bytes", process)
        self._descriptors = slots.cell("edge_process_open_fds", process)
        self._proc = proc
        self._spent = 0.0  # of this process; the cell goes on from its predecessor's

    def sample(self) -> None:
        spent = time.process_time()
        self._values[self._cpu] += spent - self._spent
        self._spent = spent
        try:
            self._values[self._memory] = int((self._proc / "statm").read_bytes().split()[1]) * PAGE_BYTES
            self._values[self._descriptors] = (self._proc / "fd").stat().st_size  # their number since Linux 6.2
        except (OSError, IndexError, ValueError):
            pass  # a machine without /proc keeps its other metrics
