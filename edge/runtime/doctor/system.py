"""Kernel, network settings, limits, memory, clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.runtime.doctor.findings import Finding, State, judged
from edge.runtime.doctor.machine import Machine
from edge.words import GIB, MIB

CACHESTAT_SINCE: Final = (6, 5)
KERNEL_LEAST: Final = (5, 10)  # what was tried; pidfds, SO_REUSEPORT and sendfile are older
DESCRIPTORS_LEAST: Final = 65_536
MEMORY_PER_PROCESS: Final = 256 * MIB
CLOCK_ERROR_MOST: Final = 0.5  # seconds; tokens and live playlists go by the time


@dataclass(frozen=True, slots=True)
class Wish:
    """A setting of the kernel: its last number is to be within bounds, or its text one of these.

    `asked` = what to set it to, if that is not the least that will do.
    """

    name: str
    least: int
    why: str
    wanted: tuple[str, ...] = ()
    most: int | None = None
    asked: str = ""

    @property
    def value(self) -> str:
        return self.asked or (self.wanted[0] if self.wanted else str(self.least))

    def met(self, said: str) -> bool:
        if self.wanted:
            return said in self.wanted
        number = _last_number(said)
        return number >= self.least and (self.most is None or number <= self.most)


WISHES: Final = (
    Wish("net.core.somaxconn", 4096, "the queue of new connections is cut to this"),
    Wish("net.ipv4.tcp_max_syn_backlog", 4096, "half-open connections of a crowd that comes at once"),
    Wish("net.core.rmem_max", 16 * MIB, "the most that receive_buffer in [origin] can have"),
    Wish("net.core.wmem_max", 16 * MIB, "the most that send_buffer in [origin] can have"),
    Wish("net.ipv4.tcp_rmem", 16 * MIB, "the window from a far origin: 200 ms at 600 Mbit/s are 15 MB under way"),
    Wish("net.ipv4.tcp_wmem", 16 * MIB, "the same towards far players and edges"),
    Wish(
        "net.ipv4.tcp_notsent_lowat",
        1,
        "what waits in a connection's buffer is memory that a slow player holds",
        most=MIB,
        asked="131072",
    ),
    Wish("net.ipv4.tcp_slow_start_after_idle", 0, "kept connections to the origin keep their window", ("0",)),
    Wish("net.ipv4.tcp_congestion_control", 0, "loss on the way does not halve the rate", ("bbr",)),
    Wish("net.core.default_qdisc", 0, "paces what is sent", ("fq", "fq_codel", "cake")),
    Wish("net.ipv4.tcp_mtu_probing", 1, "paths that lose large packets silently"),
    Wish(
        "vm.dirty_bytes",
        1,
        "the share of memory that may wait to be written (0 here: vm.dirty_ratio) holds up reads for seconds",
        most=GIB,
        asked="536870912",
    ),
    Wish("vm.swappiness", 0, "cached pages are dropped before the program is swapped out", most=10, asked="1"),
    Wish("fs.nr_open", 1_048_576, "the most open files that a limit may allow"),
)


def look_at_system(machine: Machine, processes: int) -> Iterator[Finding]:
    """`processes` = workers and keepers together."""
    yield from _kernel(machine)
    for wish in WISHES:
        yield _sysctl(machine, wish)
    yield judged(
        "limits",
        "open files",
        f"{machine.descriptors:,} for what is started from here",
        good=machine.descriptors >= DESCRIPTORS_LEAST,
        mend=f"LimitNOFILE={DESCRIPTORS_LEAST * 16} in the unit, or nofile in limits.conf: each player takes one",
        else_=State.WRONG if machine.descriptors < DESCRIPTORS_LEAST // 8 else State.NOTE,
    )
    memory, wanted = machine.memory_bytes, processes * MEMORY_PER_PROCESS
    yield judged(
        "limits",
        "memory",
        f"{memory / GIB:.1f} GiB for {processes} processes",
        good=memory >= wanted,
        mend=f"at least {wanted / GIB:.1f} GiB, or fewer workers; the rest is the page cache, which serves hits",
    )
    yield _clock(machine)


def _kernel(machine: Machine) -> Iterator[Finding]:
    major, minor = machine.release
    yield judged(
        "kernel",
        "release",
        f"{major}.{minor}",
        good=(major, minor) >= KERNEL_LEAST,
        mend=f"Linux {'.'.join(map(str, KERNEL_LEAST))} or newer",
        else_=State.WRONG,
    )


def _sysctl(machine: Machine, wish: Wish) -> Finding:
    said = machine.sysctl(wish.name)
    if said is None:
        return Finding("sysctl", wish.name, State.GOOD, "not to be seen here (a container?)")
    words = said.split()
    asked = " ".join([*words[:-1], wish.value]) if len(words) > 1 and not wish.wanted else wish.value
    mend = f"sysctl -w {wish.name}={asked!r}: {wish.why}"
    return judged("sysctl", wish.name, " ".join(words), good=wish.met(said), mend=mend)


def _last_number(text: str) -> int:
    last = text.split()[-1] if text.split() else ""
    return int(last) if last.lstrip("-").isdigit() else 0


def _clock(machine: Machine) -> Finding:
    clock = machine.clock()
    if clock.synchronised is None:
        return Finding("clock", "synchronised", State.NOTE, "cannot be asked", "look at `timedatectl`")
    found = f"{'yes' if clock.synchronised else 'no'}, error about {clock.error_seconds * 1000:.1f} ms"
    return judged(
        "clock",
        "synchronised",
        found,
        good=clock.synchronised and clock.error_seconds <= CLOCK_ERROR_MOST,
        mend="run chrony or systemd-timesyncd: tokens, freshness and live playlists go by the time",
    )
