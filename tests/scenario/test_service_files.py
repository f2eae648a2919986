"""The unit, the socket and the files beside them: systemd, logrotate and the kernel accept them, and they suit us."""

import argparse
import asyncio
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from edge.cli.main import VERBS
from edge.config.schema import ServerSection
from edge.runtime.doctor.system import WISHES
from tests.support.edgeproc import Edge, _read, client, describing_origin, end_edge, proven, running_edge

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd/edge.service"


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_units_are_accepted_by_systemd(tmp_path: Path) -> None:
    for name in ("edge.service", "edge.socket"):
        text = (DEPLOY / "systemd" / name).read_text().replace("/opt/edge/bin/edge", "/bin/true")
        (tmp_path / name).write_text(text)
    checked = run(tool("systemd-analyze"), "verify", str(tmp_path / "edge.service"), str(tmp_path / "edge.socket"))
    assert checked.returncode == 0, checked.stderr
    assert "Unknown" not in checked.stderr


def test_the_unit_exposes_little() -> None:
    checked = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", "--threshold=20", str(UNIT))
    assert checked.returncode == 0, checked.stdout
    assert "Overall exposure level" in checked.stdout


def said_by(name: str) -> dict[str, list[str]]:
    """The directives of a unit, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_waits_for_ready_watches_drains_and_reloads_as_the_program_does() -> None:
    said = said_by("edge.service")
    assert said["Type"] == ["notify"]
    assert int(said["WatchdogSec"][0]) > 0
    assert int(said["TimeoutStopSec"][0]) > ServerSection().drain_timeout
    assert said["ExecStartPre"] == ["/opt/edge/bin/edge check-config /etc/edge/edge.toml"]
    for what in ("ExecStartPre", "ExecStart", "ExecReload"):
        program, verb, *rest = said[what][0].split()
        parser = argparse.ArgumentParser()
        importlib.import_module(VERBS[verb][0]).add_arguments(parser)
        parser.parse_args(rest)
        assert program == "/opt/edge/bin/edge"


def test_the_socket_listens_where_the_program_does_by_default_and_starts_it() -> None:
    said = said_by("edge.socket")
    assert said["ListenStream"] == list(ServerSection().listen)
    assert said["Service"] == ["edge.service"]


def allowed_calls() -> set[str]:
    """What the unit's filter lets through, as systemd resolves its groups."""
    listing = run(tool("systemd-analyze"), "syscall-filter", "--no-pager").stdout
    groups: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=@)", "\n" + listing):
        name, *lines = block.strip().splitlines() or [""]
        groups[name] = [line.strip() for line in lines if line.startswith("    ") and "#" not in line]

    def resolved(name: str) -> Iterator[str]:
        for member in groups[name] if name.startswith("@") else ():
            yield from resolved(member)
        if not name.startswith("@"):
            yield name

    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        calls = {call for name in line.removeprefix("~").split() for call in resolved(name)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


def test_workers_may_ask_what_is_in_memory_which_a_trace_need_not_name() -> None:
    assert "cachestat" in allowed_calls()


async def test_a_serving_edge_makes_only_system_calls_that_the_unit_allows(tmp_path: Path) -> None:
    strace, allowed = tool("strace"), allowed_calls()
    assert {"openat", "sendfile"} <= allowed
    assert "mount" not in allowed
    record = tmp_path / "calls"
    async with describing_origin() as origin, client() as http:
        command = [strace, "-f", "-qq", "-c", "-o", str(record), sys.executable, "-m", "edge", "serve"]
        command += ["--origin", origin.url, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]
        command += ["--cache-dir", str(tmp_path / "cache"), "--cache-size", "256MiB"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
        )
        edge = Edge(process)
        edge.reading = asyncio.create_task(_read(edge))  # type: ignore[attr-defined]
        try:
            await edge.wait_for_line("^strace: .*Operation not permitted|^ready$", 60)
            if "ready" not in edge.lines:
                pytest.skip("tracing is not allowed here")
            for path in ("/s/3000000/a.ts", "/s/3000000/a.ts"):
                async with http.get(edge.url + path) as got:
                    proven(path, await got.read())
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                os.kill(int(child), signal.SIGTERM)
            async with asyncio.timeout(40):
                await process.wait()
        finally:
            await end_edge(edge)
    rows = (line.split() for line in record.read_text().splitlines())
    made = {row[-1] for row in rows if row and re.fullmatch(r"\d+\.\d+", row[0]) and row[-1] != "total"}
    assert {"sendfile", "execve"} <= made
    assert made <= allowed


def settings_of(path: Path) -> dict[str, str]:
    """Settings of a sysctl file; each has a reason before it, alone or for its group."""
    found: dict[str, str] = {}
    explained = False
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            explained = bool(line) and not line.startswith("# ---")
            continue
        assert explained, f"no reason for {line}"
        name, _, value = line.partition("=")
        found[name.strip()] = value.strip()
    return found


def test_the_sysctl_file_gives_the_doctor_all_that_it_asks_for_and_names_what_the_kernel_knows() -> None:
    said = settings_of(DEPLOY / "sysctl/90-edge.conf")
    assert {wish.name for wish in WISHES} <= set(said)
    for wish in WISHES:
        value = said[wish.name]
        assert value in wish.wanted if wish.wanted else int(value.split()[-1]) >= wish.least
    there = Path("/proc/sys")
    elsewhere = {"net.core.netdev_max_backlog", "net.core.default_qdisc", "net.core.rmem_max", "net.core.wmem_max"}
    for name in set(said) - elsewhere:  # those are of the first network namespace only
        assert (there / name.replace(".", "/")).exists(), name


def test_the_limits_are_those_of_the_unit() -> None:
    lines = [line.split() for line in (DEPLOY / "limits/edge.conf").read_text().splitlines() if line[:1] not in "#"]
    assert all(len(line) == 4 and line[0] == "edge" for line in lines)
    explained = re.findall(r"^# .*\n(?=edge )", (DEPLOY / "limits/edge.conf").read_text(), re.MULTILINE)
    assert len(explained) == len({line[2] for line in lines}), "each item has its reason before it"
    nofile = {line[3] for line in lines if line[2] == "nofile"}
    assert nofile == set(re.findall(r"^LimitNOFILE=(\d+)$", UNIT.read_text(), re.MULTILINE))


async def test_logrotate_moves_the_access_log_and_the_next_line_is_in_the_new_one(tmp_path: Path) -> None:
    logrotate, log = tool("logrotate"), tmp_path / "logs/access.log"
    log.parent.mkdir(mode=0o755)
    config = tmp_path / "edge.toml"
    config.write_text(f'[log]\naccess = "{log}"\n')
    async with (
        describing_origin() as origin,
        running_edge(tmp_path / "cache", origin.url, "--config", str(config), workers=1) as edge,
        client() as http,
    ):
        rules = (DEPLOY / "logrotate/edge").read_text().replace("/var/log/edge", str(log.parent))
        rules = re.sub(r"(su|create 0640) edge edge", "", rules)
        ours = re.sub(r"systemctl kill .*", f"kill -USR1 {edge.process.pid}", rules)
        assert ours.count("kill -USR1") == 1
        (tmp_path / "rules").write_text(ours)
        await seen(http, edge.url + "/s/1000/before.ts", log, "before.ts")
        state = str(tmp_path / "state")
        done = await asyncio.to_thread(run, logrotate, "--force", "--state", state, str(tmp_path / "rules"))
        assert done.returncode == 0, done.stderr
        await edge_reopens(log)
        await seen(http, edge.url + "/s/1000/after.ts", log, "after.ts")
        (rotated,) = [path for path in log.parent.iterdir() if path != log]
        assert "before.ts" in rotated.read_text()
        assert "before.ts" not in log.read_text()


async def seen(http: aiohttp.ClientSession, url: str, log: Path, word: str) -> None:
    async with http.get(url) as got:
        await got.read()
    async with asyncio.timeout(20):
        while not log.exists() or word not in log.read_text():
            await asyncio.sleep(0.02)


async def edge_reopens(log: Path) -> None:
    async with asyncio.timeout(20):
        while not log.exists():
            await asyncio.sleep(0.02)
