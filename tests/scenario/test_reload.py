"""SIGHUP: new settings are taken up without a dropped request, or refused with everything going on as it was."""

import asyncio
import contextlib
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.words import KIB, MIB
from tests.support.addresses import free_address
from tests.support.certs import make_cert
from tests.support.edgeproc import Edge, client, describing_origin, proven, running_edge
from tests.support.processes import halt

SEGMENT = f"/s/{100 * KIB}/seg.ts"


class File:
    """A configuration file that a test changes."""

    def __init__(self, directory: Path, origin: str) -> None:
        self.path = directory / "edge.toml"
        self.origin = origin
        self.cache = directory / "cache"
        self.cors = "*"
        self.more = ""
        self.listen = '"127.0.0.1:0"'
        self.write()

    def write(self) -> None:
        self.path.write_text(
            f'[server]\nlisten = [{self.listen}]\nworkers = 2\n[admin]\nlisten = "127.0.0.1:0"\n'
            f'[cache]\ndir = "{self.cache}"\nsize = "128MiB"\n[origin]\nurl = "{self.origin}"\n'
            f'[[site]]\nname = "films"\ncors_origin = "{self.cors}"\n{self.more}\n'
        )


async def reload(edge: Edge, expected: str = "^reloaded") -> str:
    """Send the signal; the line that tells what became of it."""
    said = len(edge.lines)
    edge.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(30):
        while True:
            for line in edge.lines[said:]:
                if line.startswith(("reloaded", "not reloaded")):
                    assert re.search(expected, line), edge.lines[said:]
                    return line
            edge.said.clear()
            await edge.said.wait()


@asynccontextmanager
async def served(tmp_path: Path, origin: str) -> AsyncIterator[tuple[Edge, File]]:
    file = File(tmp_path, origin)
    async with running_edge(None, origin, "--config", str(file.path), listen=False) as edge:
        yield edge, file


async def cors(edge: Edge, url: str | None = None) -> str:
    async with client() as http, http.get((url or edge.url) + SEGMENT) as got:
        proven(SEGMENT, await got.read())
        return got.headers["Access-Control-Allow-Origin"]


async def test_new_rules_hold_for_new_connections_and_old_ones_end_with_their_next_answer(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        assert await cors(edge) == "*"
        host, port = edge.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        ask = f"GET {SEGMENT} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        writer.write(ask)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(100 * KIB)
        assert b"Connection: close" not in head
        before = edge.children("worker")
        file.cors = "https://player.example"
        file.write()
        await reload(edge)
        assert await cors(edge) == "https://player.example"
        assert not set(edge.children("worker")) <= set(before)
        writer.write(ask)  # on the connection of before the reload
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: close" in head
        assert b"Access-Control-Allow-Origin: *" in head
        proven(SEGMENT, await reader.readexactly(100 * KIB))
        assert await reader.read() == b""
        writer.close()
        async with asyncio.timeout(10):
            while len(edge.children("worker")) > 2:
                await asyncio.sleep(0.05)
        assert not set(edge.children("worker")) & set(before)
        assert await edge.metric('edge_config_reloads_total{result="ok"}') == 1
        assert await edge.metric("edge_worker_restarts_total") == 0
        assert origin.origin.counts[SEGMENT] == 1  # what was cached stays


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("colour = 1", "colour"),
        ("[[tls]]\ncert = '/nonexistent'\nkey = '/nonexistent'", "nonexistent"),
        ("[log]\naccess = '/proc/nonexistent/log'", "does not start"),
    ],
)
async def test_wrong_settings_are_refused_and_everything_goes_on(tmp_path: Path, wrong: str, said: str) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        before = edge.children("worker")
        file.more = wrong
        file.write()
        assert said in await reload(edge, "^not reloaded")
        assert await cors(edge) == "*"
        assert set(before) <= set(edge.children("worker"))
        assert await edge.metric('edge_config_reloads_total{result="refused"}') == 1
        file.more = ""
        file.cors = "https://b.example"
        file.write()
        await reload(edge)
        assert await cors(edge) == "https://b.example"


async def test_a_stop_ends_a_reload_whose_workers_have_just_begun(tmp_path: Path) -> None:
    async with describing_origin() as origin:
        file = File(tmp_path, origin.url)
        flags = ("--config", str(file.path), "--workers", "1")
        async with running_edge(None, origin.url, *flags, listen=False) as edge:
            listen, done = file.listen, 0

            def reloads() -> int:
                return sum("reloaded" in line for line in edge.lines)

            async with asyncio.timeout(60):
                while len(edge.children("worker")) < 2:
                    if reloads() == done:  # at first, and when one was over before it was seen
                        more = free_address()
                        file.listen = f'{listen}, "{more}"'
                        buffer = f'send_buffer = "{1 + done}MiB"'
                        file.more = f'[[listener]]\nlisten = "127.0.0.1:0"\n{buffer}\n'  # for sockets that there are
                        file.write()
                        edge.process.send_signal(signal.SIGHUP)
                        done += 1
                    await asyncio.sleep(0.001)
            await halt(edge.process.pid)  # it hears that the new worker serves, and to stop, at once
            await cors(edge, f"http://{more}")
            edge.process.send_signal(signal.SIGTERM)
            edge.process.send_signal(signal.SIGCONT)
            assert await edge.process.wait() == 0
            await edge.wait_for_line("^stopped$")
            assert reloads() == done - 1
            assert not any("crashed" in line for line in edge.lines)


async def test_the_command_checks_first_tells_the_server_and_waits_for_the_outcome(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        file.cors = "https://cli.example"
        file.write()
        flags = ["--config", str(file.path), "--admin", edge.admin.removeprefix("http://")]
        assert await command(*flags) == (0, f"reloaded (pid {edge.process.pid})\n")
        assert await cors(edge) == "https://cli.example"
        file.cache = tmp_path / "other"
        file.write()
        code, said = await command(*flags, "--cache-dir", str(tmp_path / "cache"))
        assert code == 1
        assert re.search("refused, the server .* goes on as it was: cache = .*restart the server", said)
        code, said = await command(*flags)
        assert code == 1
        assert "no server runs" in said
        file.more = "colour = 1"
        file.write()
        code, said = await command(*flags)
        assert code == 2
        assert "colour" in said


async def command(*flags: str) -> tuple[int, str]:
    """Exit code and words of `edge reload`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge", "reload", *flags, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_what_is_only_read_at_a_start_is_named(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        file.cache = tmp_path / "other"
        file.write()
        line = await reload(edge, "^not reloaded")
        assert "cache" in line
        assert "restart the server" in line


async def test_another_origin_is_asked_from_then_on(tmp_path: Path) -> None:
    async with describing_origin() as first, describing_origin() as second, served(tmp_path, first.url) as (edge, file):
        assert await cors(edge) == "*"
        file.origin = second.url
        file.write()
        keeper = edge.children("keeper")
        await reload(edge)
        other = SEGMENT.replace("seg", "other")
        async with client() as http, http.get(edge.url + other) as got:
            proven(other, await got.read())
        assert second.origin.counts[other] == 1
        assert first.origin.counts[other] == 0
        assert edge.children("keeper") == keeper  # in place: nothing that it fills is broken off


async def test_an_address_can_be_added_and_taken_away(tmp_path: Path) -> None:
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        file.listen = '"127.0.0.1:0", "127.0.0.78:0"'
        file.write()
        await reload(edge)
        assert await cors(edge) == "*"
        file.listen = '"127.0.0.1:0"'
        file.write()
        await reload(edge)
        assert await cors(edge) == "*"


async def test_a_new_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = make_cert(tmp_path / "one", "a.example"), make_cert(tmp_path / "two", "b.example")
    async with describing_origin() as origin:
        file = File(tmp_path, origin.url)
        file.more = f'[[tls]]\ncert = "{one.cert}"\nkey = "{one.key}"'
        file.write()
        async with running_edge(None, origin.url, "--config", str(file.path), listen=False) as edge:
            shown = [await certificate(edge)]
            file.more = f'[[tls]]\ncert = "{two.cert}"\nkey = "{two.key}"'
            file.write()
            await reload(edge)
            shown.append(await certificate(edge))
    assert shown == [ssl.PEM_cert_to_DER_cert(pair.cert.read_text()) for pair in (one, two)]


async def certificate(edge: Edge) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    host, port = edge.url.removeprefix("https://").split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    with contextlib.suppress(ssl.SSLError, OSError):
        await writer.wait_closed()
    return found


async def test_a_slow_download_goes_on_over_a_reload_to_its_last_byte(tmp_path: Path) -> None:
    path = f"/s/{12 * MIB}/film.mp4"
    async with describing_origin() as origin, served(tmp_path, origin.url) as (edge, file):
        async with client() as http, http.get(edge.url + path) as got:
            data = await got.content.readexactly(MIB)
            for cors_origin in ("https://a.example", "https://b.example"):
                file.cors = cors_origin
                file.write()
                await reload(edge)
            data += await got.content.read()
            proven(path, data)
            assert len(data) == 12 * MIB
