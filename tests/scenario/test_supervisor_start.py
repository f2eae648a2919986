"""How a server starts, or says why it does not: a real supervisor, real processes, roles that do little."""

import asyncio
import json
import os
import signal
import socket
import stat
from pathlib import Path

import pytest

from edge import __file__ as program
from tests.support.addresses import needs_ipv6
from tests.support.certificate import self_signed
from tests.support.fakeserve import server


@pytest.fixture(autouse=True)
def runtime_base(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Link sockets of a test's servers lie here, so that what they leave can be counted."""
    base = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base


async def test_a_start_says_one_line_a_fact_and_ends_with_ready(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=2, node="fake") as edge:
        await edge.line("^ready$")
        said = "\n".join(edge.lines)
        for fact in (
            r"listening for players on http://127.0.0.1:",
            r"admin (metrics, health) on http://127.0.0.1:",
            r"2 workers, 1 keeper, event loop: uvloop",
            r"bodies leave by sendfile (aiofastnet",
            r"misses are fetched from http://origin.example",
            r"cache: nothing in it",
        ):
            assert fact in said
        assert len(edge.children("worker")) == 2
        assert len(edge.children("keeper")) == 1


async def test_readiness_waits_for_every_worker(tmp_path: Path) -> None:
    async with server(tmp_path / "c", workers=1, node="worker-waits") as edge:
        assert await edge.admin("/readyz") == (503, "starting\n")
        assert (await edge.admin("/healthz"))[0] == 200
        assert await edge.ask("ready") == "ready"
        await edge.line("^ready$")
        assert await edge.admin("/readyz") == (200, "ready\n")


@needs_ipv6
async def test_children_inherit_what_their_charter_names_and_nothing_else(tmp_path: Path) -> None:
    flags = ("--listen", "127.0.0.1:0", "--listen", "[::1]:0")
    async with server(tmp_path / "c", *flags, workers=1) as edge:
        await edge.line("^ready$")
        for nth, host in ((0, "127.0.0.1"), (1, "::1")):
            about = json.loads(await edge.ask("about", host, nth))
            assert about["listening"] == 2  # the players' listeners; not the admin's, not the link's
            assert about["descriptors"] == 6
            assert about["open_files"][0] == about["open_files"][1]
            assert about["blocked"] == []
            assert about["stdin"] == "/dev/null"
            assert about["loop"] == "uvloop"


@needs_ipv6
async def test_all_addresses_means_both_families(tmp_path: Path) -> None:
    async with server(tmp_path / "c", "--listen", "[::]:0") as edge:
        await edge.line("^ready$")
        for host in ("127.0.0.1", "::1"):
            assert (await edge.ask("who", host)).startswith("0 ")


async def test_a_certificate_makes_listeners_https_but_for_plain_ones(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    config = tmp_path / "edge.toml"
    config.write_text('[server]\nlisten_plain = ["127.0.0.1:0"]\n')
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--config", str(config))
    async with server(tmp_path / "c", *flags) as edge:
        await edge.line("^ready$")
        assert [line.partition("://")[0][-5:] for line in edge.lines if "for players" in line] == ["https", " http"]
        assert any("encrypted bodies leave" in line for line in edge.lines)
        assert await edge.ask("who", nth=1)


async def test_the_directory_the_server_is_started_in_does_not_shadow_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asyncio.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        assert json.loads(await edge.ask("about"))["edge"] == os.path.dirname(program)


async def test_a_second_server_on_one_directory_is_refused_and_told_the_firsts_pid(
    tmp_path: Path, runtime_base: Path
) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        async with server(tmp_path / "c") as other:
            assert await other.wait() == 2
            assert len(other.lines) == 1
            assert f"another server uses this directory (pid {edge.process.pid})" in other.lines[0]
            assert "cache.dir" in other.lines[0]
        assert await edge.ask("who")
        assert (await edge.ask("keeper")).isdigit()  # the other has not swept our link socket away


async def test_a_port_in_use_is_said_in_one_line_and_nothing_is_left(tmp_path: Path, runtime_base: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for field, flag in (("server.listen", "--listen"), ("admin.listen", "--admin")):
            async with server(tmp_path / "c", flag, address) as edge:
                assert await edge.wait() == 2
                assert edge.lines == [
                    f"{field} = '{address}': another program listens there already: stop it, or choose another port"
                ]
    assert list(runtime_base.iterdir()) == []


async def test_a_cache_directory_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with server(tmp_path / "file" / "cache") as edge:
        assert await edge.wait() == 2
        assert edge.lines == [f"cache.dir = '{tmp_path}/file/cache': cannot be written: Not a directory"]


async def test_a_log_or_an_index_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'[cache]\nindex_dir = "{config}/index"\n')
    async with server(tmp_path / "c", "--access-log", f"{tmp_path}/none/access.log") as edge:
        assert await edge.wait() == 2
        assert edge.lines == [
            f"log.access = '{tmp_path}/none/access.log': cannot be written: No such file or directory"
        ]
    async with server(tmp_path / "c", "--config", str(config)) as edge:
        assert await edge.wait() == 2
        assert edge.lines == [f"cache.index_dir = '{config}/index': cannot be written: Not a directory"]


async def test_bad_flags_are_said_by_their_names(tmp_path: Path) -> None:
    flags = ("--origin", "ftp://x", "--cache-size", "ten", "--listen", "8080", "--tls-cert", "cert.pem")
    async with server(tmp_path / "c", *flags) as edge:
        assert await edge.wait() != 0
        said = "\n".join(edge.lines)
        for text in (
            "origin.url = 'ftp://x': must look like http://host[:port][/base/path] or https://... (--origin)",
            "cache.size = 'ten': write a size",
            "(--cache-size)",
            "server.listen[0] = '8080': write HOST:PORT",
            "tls[0].key = '': is needed (--tls-key)",
        ):
            assert text in said


async def test_what_a_child_refuses_ends_the_start_at_once(tmp_path: Path) -> None:
    async with server(tmp_path / "c", node="keeper-refuses") as edge:
        assert await edge.wait() == 2
        assert "keeper 0 does not start: cache.size = 1: a keeper's own objection" in edge.lines
        assert "stopped" in edge.lines


async def test_a_child_that_never_starts_is_tried_three_times(tmp_path: Path) -> None:
    async with server(tmp_path / "c", node="worker-fails") as edge:
        assert await edge.wait() == 1
        said = "\n".join(edge.lines)
        assert said.count("worker 0 has ended (OSError: [Errno 5] a disk's own failure), a successor starts") == 2
        assert "worker 0 does not start: OSError" in said
        assert "Traceback" not in said


async def test_a_crash_shows_where_it_happened(tmp_path: Path) -> None:
    async with server(tmp_path / "c", node="worker-crashes") as edge:
        assert await edge.wait() == 1
        said = "\n".join(edge.lines)
        assert 'raise RuntimeError("a worker\'s own crash")' in said
        assert "worker 0 does not start: RuntimeError: a worker's own crash" in said


async def test_the_link_sockets_directory_is_private_and_goes_with_the_server(
    tmp_path: Path, runtime_base: Path
) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        (directory,) = runtime_base.iterdir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert await edge.end() == 0
        assert list(runtime_base.iterdir()) == []


async def test_what_a_killed_server_left_is_used_again_and_swept(tmp_path: Path, runtime_base: Path) -> None:
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        await edge.end(signal.SIGKILL)
        left = list(runtime_base.iterdir())
        assert len(left) == 1
    async with server(tmp_path / "c") as edge:
        await edge.line("^ready$")
        assert list(runtime_base.iterdir()) == left
        assert (await edge.ask("keeper")).isdigit()
        await edge.end()
    assert list(runtime_base.iterdir()) == []


async def test_nobody_reads_what_it_says_and_it_serves_all_the_same(tmp_path: Path) -> None:
    """`edge serve | head -1`: the pipe's reader leaves after one line."""
    async with server(tmp_path / "c") as edge:
        await edge.line("for players on")
        port = await edge.port()
        transport = edge.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        await edge.line("^ready$")
        transport.close()
        edge.process.send_signal(signal.SIGHUP)
        edge.process.send_signal(signal.SIGUSR1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"who\n")
        assert (await reader.read()).startswith(b"0 ")
        writer.close()
        edge.process.send_signal(signal.SIGTERM)
        assert await edge.process.wait() == 0
