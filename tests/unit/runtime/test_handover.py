"""What one program hands to the next: descriptors that stay open, a document that names them, children."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge.runtime.handover import NAME, Adopted, Handover, Heir, reaped
from edge.runtime.upgrade import TRY, understood
from tests.support.edgeproc import describing_origin


def _handover(fds: list[int], pid: int) -> Handover:
    a, b, c, d, e, f, g, h, i, j = fds
    heir = Heir("worker", 3, pid, os.pidfd_open(pid), j, 2, False, True)
    return Handover(
        program="1", generation=2, log_secret="ff", runtime_dir="/r", state_dir="/s", players=(("[::]:80", a, True),),
        admin=b, control=c, links=((0, d, "/l"),), hits=e, liveness=(f, g), locks=(h,), slots={"worker-3": i},
        children=(heir,), nursery=7,
    )  # fmt: skip


def test_all_of_it_arrives_and_only_that_stays_open() -> None:
    files = [os.memfd_create("x") for _ in range(10)]
    given = _handover(files, os.getpid())
    environment: dict[str, str] = {}
    given.to_environment(environment)
    for fd in files:
        assert not os.get_inheritable(fd)
    taken = Handover.take(environment)
    assert taken is not None
    assert environment == {}
    assert (taken.generation, taken.log_secret, taken.nursery) == (2, "ff", 7)
    assert taken.players[0][::2] == ("[::]:80", True)
    assert taken.links[0][::2] == (0, "/l")
    assert taken.children[0].number == 3
    assert len(set(taken.descriptors)) == 11
    for fd, copy in zip(files, [taken.players[0][1], taken.admin, taken.control], strict=False):
        assert os.path.sameopenfile(fd, copy)
    for fd in taken.descriptors:
        assert not os.get_inheritable(fd)  # its children get what they are given, and nothing else
        os.close(fd)
    for fd in files:
        os.close(fd)


def test_without_one_a_program_starts_anew_and_another_version_is_refused() -> None:
    assert Handover.take({}) is None
    fd = os.memfd_create("handover")
    os.write(fd, json.dumps({"version": 99}).encode())
    with pytest.raises(ValueError, match="version 99"):
        Handover.take({NAME: str(fd)})


def test_a_child_of_the_program_before_can_be_watched_and_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        adopted = Adopted(process.pid, os.pidfd_open(process.pid))
        assert adopted.poll() is None
        adopted.send_signal(9)  # type: ignore[arg-type]
        while adopted.poll() is None:
            pass
        assert adopted.poll() == -9
        adopted.send_signal(9)  # type: ignore[arg-type]
        process.returncode = -9
    assert reaped(process.pid) is None


@pytest.mark.parametrize(("said", "code"), [(understood(), 0), ("link 1, shared memory 4, handover 0", 2)])
async def test_a_program_tries_itself_on_and_refuses_what_it_does_not_understand(
    tmp_path: Path, said: str, code: int
) -> None:
    async with describing_origin() as origin:
        command = [sys.executable, "-m", "edge", "serve", "--origin", origin.url, "--cache-dir", str(tmp_path / "c")]
        tried = subprocess.run(
            command, env={**os.environ, TRY: said}, capture_output=True, text=True, timeout=60, check=False
        )
    assert tried.returncode == code
    assert "restart the server instead" in tried.stderr if code else "version" in tried.stdout
    assert not (tmp_path / "c").exists()
