"""The emulated path: what is sent arrives, late as told; and however its owner ends, nothing of it stays."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path as FilePath

import pytest

from benchmarks import bench, far_origin
from benchmarks.path import Path, PathSettings, unavailable

pytestmark = pytest.mark.skipif(unavailable() != "", reason=f"no emulated path on this machine: {unavailable()}")
ROOT = FilePath(__file__).parents[2]


def alive(pid: int) -> bool:
    try:
        return FilePath(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(*pids: int, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < until, [pid for pid in pids if alive(pid)]
        time.sleep(0.02)


def test_bytes_cross_the_path_in_no_less_than_its_round_trip() -> None:
    with Path(PathSettings(rtt=0.1, rate=50e6)) as path:
        words = (sys.executable, "-m", "benchmarks.path_limits")
        server = path.server.start(*words, "serve", path.server.address, stdout=subprocess.PIPE, cwd=ROOT)
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        told = path.client.run(*words, "fetch", path.server.address, "1", stdout=subprocess.PIPE, cwd=ROOT).stdout
        found = json.loads(told)
        crossed = path.crossed()
    assert found["rtt_p50"] >= 0.1
    assert 1e6 < found["bits_per_second"] < 50e6
    assert crossed.body_bytes >= found["bits_per_second"] * found["seconds"] / 8
    server.stdout.close()
    assert server.wait(10) == -signal.SIGKILL  # the path's end was its end


def test_an_end_sees_only_its_loopback_and_the_path() -> None:
    with Path() as path:
        for side in (path.client, path.server):
            told = path.client.run("ip", "-o", "link", stdout=subprocess.PIPE).stdout
            names = {line.split(":")[1].strip().partition("@")[0] for line in told.splitlines()}
            assert {"lo", "far0"} <= names
            assert "eth0" not in names
            assert side.address.startswith("10.77.0.")


OWNER = """
import select
import signal
import sys
from benchmarks import bench, far_origin
from benchmarks.path import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it would be ignored
path = Path().__enter__()
sleeper = path.server.start("sleep", "1000", start_new_session=True)
print(path._forwarder.pid, sleeper.pid, flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:  # a signal just before a read that blocks would not end it
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_when_its_owner_is_killed_the_path_and_what_runs_in_it_are_gone(number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    assert owner.stdout is not None
    assert owner.stdin is not None
    forwarder, sleeper = map(int, owner.stdout.readline().split())
    assert alive(forwarder)
    assert alive(sleeper)
    os.killpg(owner.pid, number)
    owner.wait(10)
    owner.stdout.close()
    owner.stdin.close()
    wait_until_gone(forwarder, sleeper)


def test_an_unknown_congestion_control_is_told_and_nothing_is_made() -> None:
    assert "this kernel has no nonesuch: it has" in unavailable("nonesuch")


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_the_far_benchmark_proves_every_byte_and_counts_what_crossed(tmp_path: FilePath) -> None:
    told = tmp_path / "far.json"
    words = "--rtt 20 --mbit 100 --loss 0.5 --control cubic --viewers 2 --segments 2 --warm 1 --size 300000 --jobs 3"
    command = [sys.executable, "-m", "benchmarks.far_origin", *words.split(), "--json", str(told)]
    command += ["--caches", "edge,slice,pieces-4x64"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(told.read_text())["rows"]
    assert [row["cache"] for row in rows] == ["edge", "slice", "pieces-4x64"]
    for row in rows:
        assert row["segments"] == 4
        assert row["failed"] == []
        assert 0.02 <= row["first"]["p50"] <= row["last"]["p50"]
        assert 1.0 <= row["origin_per_viewer_byte"] < 2.0
        assert row["beside"]["p50"] >= 0.02, "a round trip"


FETCH = """
import sys
from urllib.request import urlopen
print(len(urlopen(sys.argv[1]).read()))
"""


@pytest.mark.skipif(unavailable("bbr") != "", reason="this kernel has no bbr")
@pytest.mark.skipif(shutil.which("ss") is None, reason="ss is not installed (Debian: apt install iproute2)")
def test_a_shield_next_to_its_origin_sends_with_bbr_over_the_long_leg_though_the_route_says_cubic(
    tmp_path: FilePath,
) -> None:
    """What a route names (congctl) takes the place of what a listening socket was given."""
    with Path(PathSettings(rtt=0.05, congestion="cubic")) as path, contextlib.ExitStack() as stack:
        near, far = path.client, path.server
        origin = stack.enter_context(bench.origin(far.address, core=None, inside=far.prefix))
        shield = stack.enter_context(far_origin.shield(path, tmp_path / "shield", origin))
        edge = stack.enter_context(bench.edge(tmp_path / "edge", shield, core=None, inside=near.prefix))
        words = (sys.executable, "-c", FETCH, f"{edge.url}/s/3000000/a.ts")
        assert near.run(*words, stdout=subprocess.PIPE).stdout == "3000000\n"
        port = shield.rpartition(":")[2]  # its end of what the edge keeps open to it
        told = far.run("ss", "-tinH", f"sport = :{port}", stdout=subprocess.PIPE).stdout
        assert {word for word in told.split() if word in ("bbr", "cubic", "reno")} == {"bbr"}
