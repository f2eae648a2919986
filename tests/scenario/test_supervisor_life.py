"""Deaths, signals and the end: a real supervisor, real processes, roles that do little."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.support.fakeserve import Server, alive, server
from tests.support.processes import halt, processes


async def gone(pids: list[int]) -> None:
    """Wait until none of the processes lives."""
    async with asyncio.timeout(10):
        while alive(pids):
            await asyncio.sleep(0.01)


def children_of(pid: int) -> list[int]:
    """Whatever it has started, and what these have."""
    found, parents = list[int](), {pid}
    for child, parent, _ in sorted(processes()):
        if parent in parents:
            parents.add(child)
            found.append(child)
    return found


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def quiet(edge: Server) -> bool:
    """Whether it has stopped as it was told to, with no other word."""
    return edge.lines[-1] == "stopped" and not any("Traceback" in line or "has ended" in line for line in edge.lines)


async def slowness() -> float:
    """How many times longer than on an idle machine an interpreter takes now to start and to end; at least 1.

    A stop's seconds are divided by it: they are about what the stop waits for, not about who else needs the cores.
    """
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "import asyncio")
    await process.wait()
    return max(1.0, (time.monotonic() - began) / 0.1)


async def metric(edge: Server, name: str) -> float:
    _, text = await edge.admin("/metrics")
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


# -- deaths ----------------------------------------------------------------------------------------------


async def test_a_dead_worker_is_replaced_keeps_its_number_and_its_counters(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        before = await edge.ask("who")
        number, pid = before.split()
        os.kill(int(pid), signal.SIGKILL)
        await edge.line(rf"worker {number} has ended \(signal SIGKILL\), a successor starts$")
        async with asyncio.timeout(10):
            while await edge.ask("who") == before or len(edge.children("worker")) < 2:
                await asyncio.sleep(0.01)
        assert int(pid) not in edge.children("worker")
        assert await metric(edge, "edge_worker_restarts_total") == 1
        assert await metric(edge, "edge_http_methods_total") >= 2  # what the dead one counted is there
        assert edge.lines.count("ready") == 1


async def test_a_worker_that_exits_says_how(tmp_path: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        await edge.ask("die")
        await edge.line(r"worker 0 has ended \(exit code 9\), a successor starts$")
        await edge.ask("die")
        await edge.line(r"worker 0 has ended \(exit code 9\), a successor starts in 0.2 s$")
        assert (await edge.ask("who")).startswith("0 ")


async def test_a_dead_keeper_is_replaced_behind_the_same_link_and_readiness_stays(tmp_path: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        (before,) = edge.children("keeper")
        assert await edge.ask("keeper") == str(before)
        os.kill(before, signal.SIGKILL)
        await edge.line(r"keeper 0 has ended \(signal SIGKILL\)")
        assert (await edge.admin("/readyz"))[0] == 200
        after = await edge.ask("keeper")  # connects at once: the listening socket outlived the keeper
        assert after.isdigit()
        assert after != str(before)
        assert await metric(edge, 'edge_keeper_restarts_total{volume="cache"}') == 1


@pytest.mark.parametrize(("word", "where"), [("block", "in _stand_still"), ("spin", "in _spin")])
async def test_a_worker_whose_loop_stands_still_is_replaced_and_the_log_says_where_it_stood(
    tmp_path: Path, word: str, where: str
) -> None:
    async with server(tmp_path / "c", beat=0.1) as edge:
        await edge.line("^ready$")
        before = await edge.ask("who")
        reader, writer = await asyncio.open_connection("127.0.0.1", await edge.port())
        writer.write(word.encode() + b"\n")
        await edge.line("^worker 0 stands still")
        await edge.line(where)
        await edge.line(r"worker 0 has ended \(its loop stood still for 1.2 s\), a successor starts$")
        assert not (await reader.read()).removeprefix(b"blocked")
        writer.close()
        assert await edge.ask("who") != before


async def test_the_successor_of_a_keeper_that_stood_still_leaves_the_index_alone(tmp_path: Path) -> None:
    async with server(tmp_path / "c", beat=0.1, node="keeper-stands-still") as edge:
        await edge.line("^ready$")
        before = await edge.ask("keeper")
        await edge.line("^keeper 0 stands still")
        await edge.line("keeper 0 has ended .* a successor starts$")
        await edge.line("^the index is left alone$")
        assert await edge.ask("keeper") != before


async def test_a_server_without_a_single_worker_is_not_ready(tmp_path: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        (worker,) = edge.children("worker")
        os.kill(worker, signal.SIGSTOP)  # its successor is not there before it is gone
        assert (await edge.admin("/readyz"))[0] == 200
        os.kill(worker, signal.SIGKILL)
        await edge.line("worker 0 has ended")
        assert await edge.admin("/readyz") == (503, "no worker serves\n")
        await edge.ask("who")
        assert (await edge.admin("/readyz"))[0] == 200


async def test_kill_9_of_the_supervisor_ends_all_children_whatever_they_do(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        children = edge.children()
        assert len(children) == 3
        reader, writer = await asyncio.open_connection("127.0.0.1", await edge.port())
        writer.write(b"block\n")  # one of them sees no more events
        assert await reader.readexactly(7) == b"blocked"
        edge.process.kill()
        await gone(children)
        writer.close()


# -- signals ---------------------------------------------------------------------------------------------


async def test_sighup_changes_nothing_in_a_server_that_has_nothing_to_reload_from(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        before = edge.children()
        os.killpg(edge.process.pid, signal.SIGHUP)  # as when a terminal closes: to the children, too
        await edge.line("^there is nothing to reload from$")
        assert await edge.ask("who")
        assert edge.children() == before


async def test_sigusr1_reaches_the_workers(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        edge.process.send_signal(signal.SIGUSR1)
        await edge.line("worker 0 opens its log anew")
        await edge.line("worker 1 opens its log anew")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_idle_server_stops_within_a_second(tmp_path: Path, number: signal.Signals) -> None:
    took = []
    for _ in range(3):
        async with server(tmp_path / "c", workers=2) as edge:
            await edge.line("^ready$")
            children = edge.children()
            began = time.monotonic()
            os.killpg(edge.process.pid, number)  # Ctrl-C reaches the whole group
            assert await edge.wait() == 0
            took.append((time.monotonic() - began) / await slowness())
            assert alive(children) == []
            assert quiet(edge)
        if took[-1] < 1:
            break
    assert min(took) < 1


async def test_a_stop_that_has_ended_the_children_before_the_supervisor_hears_of_it_is_quiet(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2, node="ends-silently") as edge:
        await edge.line("^ready$")
        children = edge.children()
        await halt(edge.process.pid)  # the machine is busy with something else
        os.killpg(edge.process.pid, signal.SIGTERM)
        await gone(children)
        edge.process.send_signal(signal.SIGCONT)
        assert await edge.wait() == 0
        assert quiet(edge)


async def test_a_stop_may_be_told_to_one_process_after_the_other(tmp_path: Path) -> None:
    for _ in range(10):  # if the machine lets us be quick enough once
        async with server(tmp_path / "c", workers=2, node="ends-silently") as edge:
            await edge.line("^ready$")
            children = edge.children()
            for pid in children:
                os.kill(pid, signal.SIGTERM)
            await gone(children)
            assert await edge.end() == 0
            if quiet(edge):
                break
    assert quiet(edge)


async def test_a_worker_that_alone_is_told_to_stop_is_replaced(tmp_path: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        (before,) = edge.children("worker")
        os.kill(before, signal.SIGTERM)
        await edge.line(r"worker 0 has ended \(exit code 0\), a successor starts$")
        assert await edge.ask("who") != f"0 {before}"


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "it forks"),
        (signal.SIGTERM, "it makes a directory"),
        pytest.param(signal.SIGTERM, "it forks", marks=pytest.mark.long),
        pytest.param(signal.SIGINT, "it makes a directory", marks=pytest.mark.long),
    ],
)
async def test_a_stop_before_the_first_line_is_one_like_any_other(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    number: signal.Signals,
) -> None:
    run = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    async with server(tmp_path / "c", workers=2) as edge:
        await begun(edge, run if moment == "it makes a directory" else None)
        family = [edge.process.pid, *children_of(edge.process.pid)]
        os.killpg(edge.process.pid, number)
        assert await edge.wait() == 0
        assert quiet(edge)
        await gone(family)
    assert list(run.iterdir()) == []
    assert not (tmp_path / "c" / "control").exists()


async def test_signals_that_come_before_the_server_is_set_up_do_not_end_it(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await begun(edge)
        for number in (signal.SIGHUP, signal.SIGUSR1):
            os.killpg(edge.process.pid, number)
        await edge.line("^ready$")
        assert await edge.end() == 0
        assert quiet(edge)


async def begun(edge: Server, directory: Path | None = None) -> None:
    """Until it has forked for the first time, or has made something in a directory."""
    async with asyncio.timeout(20):
        while not (list(directory.iterdir()) if directory else children_of(edge.process.pid)):
            await asyncio.sleep(0.0005)


async def test_a_signal_at_the_very_end_changes_nothing(tmp_path: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        edge.process.send_signal(signal.SIGTERM)
        await edge.line("^stopped$")
        for _ in range(20):
            with contextlib.suppress(ProcessLookupError):
                edge.process.send_signal(signal.SIGTERM)
                edge.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.001)
        assert await edge.wait() == 0
        assert quiet(edge)


@pytest.mark.parametrize("moment", ["for players on", "misses are fetched", "cache: nothing"])
async def test_ctrl_c_during_the_start_ends_it_in_order(tmp_path: Path, moment: str) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line(moment)
        os.killpg(edge.process.pid, signal.SIGINT)
        assert await edge.wait() == 0
        assert not any("Traceback" in line or "KeyboardInterrupt" in line for line in edge.lines)


async def test_a_child_that_is_not_ready_yet_holds_up_no_stop(tmp_path: Path) -> None:
    async with server(tmp_path / "c", node="worker-stuck") as edge:
        await edge.line("cache: nothing")
        async with asyncio.timeout(10):
            while not (workers := edge.children("worker")):  # it is forked first and takes its name then
                await asyncio.sleep(0.01)
            (worker,) = workers
            while not catches(worker, signal.SIGTERM):
                await asyncio.sleep(0.01)
        began = time.monotonic()
        assert await edge.end() == 0
        assert time.monotonic() - began < 5  # drain_timeout is 30 s
        assert not any("killed" in line for line in edge.lines)


async def test_signals_that_come_before_a_child_is_set_up_do_not_end_it(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("misses are fetched")
        async with asyncio.timeout(10):
            while len(edge.children()) < 3:
                await asyncio.sleep(0)
        for pid in edge.children():
            for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
                os.kill(pid, number)
        await edge.line("^ready$")
        assert not any("has ended" in line for line in edge.lines)


# -- the end ---------------------------------------------------------------------------------------------


async def test_a_stop_lets_answers_finish_and_nobody_new_in(tmp_path: Path) -> None:
    alone = "127.0.0.77"  # an address at which no other test listens, so that the port is nobody else's afterwards
    async with server(tmp_path / "c", "--listen", f"{alone}:0", workers=2) as edge:
        await edge.line("^ready$")
        port = await edge.port()
        reader, writer = await asyncio.open_connection(alone, port)
        writer.write(b"slow\n")
        assert await reader.readexactly(6) == b"begun "
        edge.process.send_signal(signal.SIGTERM)
        await edge.line("^draining")
        assert await edge.admin("/readyz") == (503, "draining\n")
        async with asyncio.timeout(10):
            while True:  # until both workers have closed their copies, as the supervisor has
                try:
                    _, other = await asyncio.open_connection(alone, port)
                except ConnectionRefusedError:
                    break
                except ConnectionResetError:  # it came in while the last copy was being closed
                    continue
                other.close()
        assert edge.process.returncode is None
        writer.write(b"\n")
        assert await reader.read() == b"done"
        writer.close()
        assert await edge.wait() == 0


async def test_keepers_end_after_workers(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        assert await edge.end() == 0
        said = [line for line in edge.lines if line.endswith(" stops")]
        assert sorted(said[:2]) == ["worker 0 stops", "worker 1 stops"]
        assert said[2:] == ["keeper stops"]


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        children = edge.children()
        reader, writer = await asyncio.open_connection("127.0.0.1", await edge.port())
        writer.write(b"slow\n")
        assert await reader.readexactly(6) == b"begun "
        edge.process.send_signal(signal.SIGTERM)
        await edge.line("^draining")
        began = time.monotonic()
        assert await edge.end(signal.SIGINT) == 1
        assert time.monotonic() - began < 5  # drain_timeout is 30 s
        assert alive(children) == []
        writer.close()


async def test_a_worker_that_does_not_end_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('[server]\ndrain_timeout = "50ms"\n')
    async with server(tmp_path / "c", "--config", str(config), node="worker-deaf") as edge:
        await edge.line("^ready$")
        children = edge.children()
        assert await edge.end() == 0
        assert "worker 0 did not end within 1.05 s: killed" in edge.lines
        assert "keeper stops" in edge.lines
        assert alive(children) == []


async def test_a_worker_that_dies_during_the_drain_is_not_replaced(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2) as edge:
        await edge.line("^ready$")
        reader, writer = await asyncio.open_connection("127.0.0.1", await edge.port())
        writer.write(b"slow\n")
        assert await reader.readexactly(6) == b"begun "
        edge.process.send_signal(signal.SIGTERM)
        await edge.line("worker . stops")  # the one without an answer under way
        async with asyncio.timeout(10):
            while len(edge.children("worker")) == 2:
                await asyncio.sleep(0.01)
        (left,) = edge.children("worker")
        os.kill(left, signal.SIGKILL)
        assert await edge.wait() == 0
        assert not any("successor" in line for line in edge.lines)
        writer.close()
