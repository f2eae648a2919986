"""Children are forked by a process that has their modules; when it is gone they are executed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.edgeproc import client, describing_origin, proven, running_edge
from tests.support.processes import children_of_edge, processes

SEGMENT = "/s/300000/1.m4s"

FORKS = """
import contextlib, os, sys
from edge.runtime.nursery import Nursery, _put_in_place
nursery = Nursery.begin([])
files = [os.memfd_create(str(n)) for n in range(3)]
child = os.fork()
if child == 0:
    swapped = [files[2], files[0], files[1]]
    _put_in_place(files, swapped)  # what was at each number is at another
    os._exit(0 if [os.readlink(f"/proc/self/fd/{fd}")[7] for fd in swapped] == ["0", "1", "2"] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
try:
    forked = nursery.launch("worker", 7, files[0], files[1:])  # an empty charter: it ends at once
    while forked.poll() is None:
        os.sched_yield()
    print(forked.poll(), forked.poll())
    nursery.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(nursery.pid, 0)
    print("ended with its supervisor")
finally:
    sys.stdout.flush()
"""


def test_descriptors_keep_their_numbers_and_an_end_is_told_with_its_code() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["3 3", "ended with its supervisor"], done.stderr
    assert "JSONDecodeError" in done.stderr  # where it failed is shown


SAYS = """
import os
from edge.runtime import child
from edge.runtime.nursery import Nursery
os.environ["NOTIFY_SOCKET"] = os.environ["OTHER"] = "there"
child.main = lambda argv: 10 + ("NOTIFY_SOCKET" in os.environ) + 2 * ("OTHER" in os.environ)
nursery = Nursery.begin([])
forked = nursery.launch("worker", 7, os.memfd_create("charter"), [])
while forked.poll() is None:
    os.sched_yield()
print(forked.poll())
"""


def test_what_a_service_manager_says_to_the_supervisor_is_not_in_its_childrens_environment() -> None:
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["12"], done.stderr


async def test_a_worker_that_is_killed_is_forked_anew(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        (worker,) = edge.children("worker")
        os.kill(worker, signal.SIGKILL)
        await edge.wait_for_line("worker 0 has ended .signal SIGKILL")
        async with client() as http, http.get(edge.url + SEGMENT) as got:
            proven(SEGMENT, await got.read())
        (successor,) = edge.children("worker")
        assert successor != worker
        assert parent_of(successor) == nursery_of(edge.process.pid)


async def test_without_the_process_that_forks_children_are_executed_and_players_are_served(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=2) as edge:
        before = children_of_edge(edge.process.pid)
        os.kill(nursery_of(edge.process.pid), signal.SIGKILL)  # its children go with it
        async with asyncio.timeout(30), client() as http:
            while len(now := edge.children("worker")) < 2 or set(now) & set(before) or not edge.children("keeper"):
                await asyncio.sleep(0.05)
            async with http.get(edge.url + SEGMENT) as got:
                proven(SEGMENT, await got.read())
        assert {parent_of(pid) for pid in children_of_edge(edge.process.pid)} == {edge.process.pid}


async def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    async with describing_origin() as origin, running_edge(tmp_path / "c", origin.url, workers=1) as edge:
        ours = {nursery_of(edge.process.pid), *children_of_edge(edge.process.pid)}
        edge.process.kill()
        async with asyncio.timeout(10):
            while ours & {pid for pid, _, _ in processes()}:
                await asyncio.sleep(0.02)


def parent_of(child: int) -> int:
    return next(parent for pid, parent, _ in processes() if pid == child)


def nursery_of(supervisor: int) -> int:
    return next(pid for pid, parent, name in processes() if parent == supervisor and name == "edge-nursery")
