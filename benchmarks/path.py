"""An emulated far path: kernel TCP at both ends in two network namespaces, with delay, loss, rate and a queue between.

    with Path(PathSettings(loss=0.01)) as path:
        path.server.run("curl", ...)                # runs in a namespace until it ends
        process = path.client.start("nginx", ...)   # ... is killed at the end of the path at the latest

The two ends are joined by TUN devices through a forwarder in user space (`benchmarks.forwarder`), because few kernels
have netem. It needs root and /dev/net/tun. `python -m benchmarks.path` measures what the path itself carries, and
`python -m benchmarks.path --loss 1 --server "CMD" -- CMD` runs commands at its ends ({server} is the server's address).
"""

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path as FilePath
from typing import Any, Final, Self

from benchmarks.forwarder import ADDRESSES, HEADERS, LineSettings

BUFFERS: Final = "4096 131072 16777216"  # twice what is under way at 300 Mbit/s and 200 ms: kernels are not the limit
READY_SECONDS: Final = 20.0


class PathUnavailable(Exception):
    """This machine cannot emulate a path; the text says why."""


@dataclass(frozen=True, slots=True)
class PathSettings:
    """A path, the same in both directions: RTT in seconds, bits a second (0 = no limit), bytes that may wait.

    `loss` is the share of packets lost in each direction; `congestion` is the senders' default at the server's end.
    `idle_restart` is tcp_slow_start_after_idle at both ends: on in a kernel as it comes, off where an operator knows
    that his clients are far.
    """

    rtt: float = 0.2
    rate: float = 300e6
    queue: int = 3_750_000  # 0.1 s at 300 Mbit/s: half of what is under way
    loss: float = 0.0
    congestion: str = "cubic"
    seed: int = 1
    idle_restart: bool = True


@dataclass(frozen=True, slots=True)
class Crossed:
    """What has crossed the path since it began: `down` is from the server to the client."""

    up: dict[str, int]
    down: dict[str, int]
    cpu_seconds: float  # of the forwarder

    @property
    def body_bytes(self) -> int:
        """TCP payload that came out at the client's end, without the headers of its packets."""
        return self.down["delivered_bytes"] - HEADERS * self.down["delivered"]


class Side:
    """One end: what is run here sees its own loopback and the path, and nothing else."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.prefix = ("nsenter", f"--net={namespace}")  # it becomes the command: the process id is the command's

    def __repr__(self) -> str:
        return f"<Side {self.address}>"

    def run(self, *command: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        """Run to its end, with `subprocess.run`'s options."""
        return subprocess.run([*self.prefix, *command], check=False, text=True, **more)

    def start(self, *command: str, **more: Any) -> "subprocess.Popen[str]":
        """Start with `subprocess.Popen`'s options; it ends with the path at the latest."""
        return subprocess.Popen([*self.prefix, *command], text=True, **more)


class Path:
    """The path as a context: `client` and `server` are its ends. PathUnavailable where it cannot be made."""

    client: Side
    server: Side

    def __init__(self, settings: PathSettings | None = None) -> None:
        self.settings = settings or PathSettings()
        self._forwarder: subprocess.Popen[str] | None = None

    def __repr__(self) -> str:
        return f"<Path {self.settings}>"

    def __enter__(self) -> Self:
        why = unavailable(self.settings.congestion)
        if why:
            raise PathUnavailable(why)
        command = [sys.executable, "-m", "benchmarks.forwarder", json.dumps(_figures(self.settings))]
        # A session of its own: what kills the benchmark's group leaves it alive to clean up behind it.
        self._forwarder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            cwd=FilePath(__file__).parents[1],
        )  # fmt: skip
        try:
            told = self._read()
        except BaseException:
            self.close()
            raise
        root = f"/proc/{self._forwarder.pid}/fd/"
        self.client = Side(ADDRESSES["client"], f"{root}{told['client']}")
        self.server = Side(ADDRESSES["server"], f"{root}{told['server']}")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the forwarder, which ends everything in the namespaces first."""
        forwarder, self._forwarder = self._forwarder, None
        if forwarder is None:
            return
        assert forwarder.stdin is not None
        assert forwarder.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            forwarder.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            forwarder.wait(10)
        forwarder.kill()
        forwarder.wait()
        forwarder.stdout.close()

    def crossed(self) -> Crossed:
        """Counters up to now."""
        assert self._forwarder is not None
        assert self._forwarder.stdin is not None
        self._forwarder.stdin.write("counts\n")
        self._forwarder.stdin.flush()
        told = self._read()
        return Crossed(**told)

    def _read(self) -> dict[str, Any]:
        assert self._forwarder is not None
        assert self._forwarder.stdout is not None
        line = self._forwarder.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": "the forwarder has ended"}
        if "error" in told:
            raise PathUnavailable(told["error"])
        return told


def unavailable(congestion: str = "cubic") -> str:
    """Why no path can be made here, "" if one can."""
    if os.geteuid() != 0:
        return "the emulated path needs root: it makes network namespaces and TUN devices"
    if not FilePath("/dev/net/tun").exists():
        return "the emulated path needs /dev/net/tun (modprobe tun)"
    for program in ("ip", "nsenter"):
        if shutil.which(program) is None:
            return f"the emulated path needs {program} (Debian: apt install iproute2 util-linux)"
    if congestion not in congestion_controls():
        return f"this kernel has no {congestion}: it has {', '.join(congestion_controls())}"
    return ""


def congestion_controls() -> list[str]:
    """What senders may use here; BBR's module is loaded where there is one."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", "tcp_bbr"], check=False, capture_output=True)
    return FilePath("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()


def _figures(settings: PathSettings) -> dict[str, Any]:
    """What the forwarder is told: each direction loses packets of its own."""
    line = LineSettings(settings.rtt / 2, settings.rate, settings.queue, settings.loss, settings.seed * 2)
    sysctls = {
        "net.ipv4.tcp_rmem": BUFFERS,
        "net.ipv4.tcp_wmem": BUFFERS,
        "net.ipv4.tcp_slow_start_after_idle": str(int(settings.idle_restart)),
        "net.ipv4.tcp_no_metrics_save": "1",  # or a connection would begin with what an earlier one has learnt
    }
    return {
        "up": asdict(line),
        "down": asdict(replace(line, seed=settings.seed * 2 + 1)),
        "congestion": {"client": "cubic", "server": settings.congestion},
        "sysctls": sysctls,
    }


def settings_of(args: argparse.Namespace) -> PathSettings:
    """Of the flags that `add_flags` has added."""
    return PathSettings(
        rtt=args.rtt / 1000,
        rate=args.mbit * 1e6,
        queue=int(args.queue_kb * 1000),
        seed=args.seed,
        idle_restart=args.idle_restart,
    )


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The path's figures as flags."""
    usual = PathSettings()
    parser.add_argument("--rtt", type=float, default=usual.rtt * 1000, help="milliseconds")
    parser.add_argument("--mbit", type=float, default=usual.rate / 1e6, help="0 = no limit")
    parser.add_argument("--queue-kb", type=float, default=usual.queue / 1000, help="drop-tail queue, in each direction")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of the packets that are lost")
    parser.add_argument(
        "--keep-window",
        dest="idle_restart",
        action="store_false",
        help="idle connections keep their congestion window (tcp_slow_start_after_idle=0)",
    )


def _run_commands(args: argparse.Namespace, settings: PathSettings) -> int:
    """`--server CMD` in its namespace while the command runs in the client's; the command's exit code."""
    with Path(settings) as path:
        if args.server:
            path.server.start(*shlex.split(args.server))
        words = [word.replace("{server}", path.server.address) for word in args.command]
        code = path.client.run(*(words or [os.environ.get("SHELL", "sh")])).returncode
        print(f"{path.crossed()}", file=sys.stderr)
    return int(code)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    parser.add_argument("--loss", type=float, default=0.0, metavar="PERCENT")
    parser.add_argument("--control", default="cubic", help="congestion control of the server's end")
    parser.add_argument("--server", metavar="CMD", help="runs at the server's end")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("command", nargs="*", help="runs at the client's end; without one the path measures itself")
    args = parser.parse_args()
    settings = replace(settings_of(args), loss=args.loss / 100, congestion=args.control)
    try:
        if args.command or args.server:
            return _run_commands(args, settings)
        from benchmarks.path_limits import measure

        return measure(settings, min(args.seconds, 60.0))
    except PathUnavailable as error:
        sys.exit(str(error))


if __name__ == "__main__":
    from benchmarks.path import main as imported  # so that there is one PathUnavailable, not two

    sys.exit(imported())
