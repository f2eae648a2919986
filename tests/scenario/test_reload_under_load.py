"""Everything that a reload may change, changed again and again under load: no request fails, no connection is reset."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.scenario.test_reload import reload
from tests.support.certs import make_cert
from tests.support.crowd import Crowd
from tests.support.edgeproc import Edge, client, proven, running_edge

CHANGES = ("rules", "certificate", "tokens", "sites", "upstreams", "paths")


CATCH_UP = 5.0  # seconds


@asynccontextmanager
async def own_origin() -> AsyncIterator[str]:
    """A describing origin in a process of its own, which the crowd's work does not hold up: its URL."""
    words = sys.executable, "-m", "edge.demo.origin_server", "--listen", "127.0.0.1:0"
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield line.decode().rpartition(" ")[2].strip()
    finally:
        process.terminate()
        await process.wait()


class Node:
    """A configuration of which each turn changes one thing, and the look that shows that the change holds."""

    def __init__(self, directory: Path, origins: tuple[str, str]) -> None:
        self.directory, self.origins = directory, origins
        self.path = directory / "edge.toml"
        self.turn = dict.fromkeys(CHANGES, 0)
        for name in ("a", "b"):
            (directory / name).mkdir()
        self.certs = [make_cert(directory / name, "films.example") for name in ("a", "b")]
        self.write()

    def write(self) -> None:
        turn = self.turn
        cert = self.certs[turn["certificate"] % 2]
        (self.directory / "admin.token").write_text(f"token-number-{turn['tokens']:06}\n")
        (self.directory / "keys").write_text(f"k{turn['tokens']} {'s' * 40}\n")
        extra = "".join(
            f'[[site]]\nname = "site-{n}"\nhosts = ["{n}.example"]\ncors_origin = "https://{n}.example"\n'
            for n in range(turn["sites"] % 3 + 1)
        )
        self.path.write_text(
            f'[server]\nlisten = ["127.0.0.1:0"]\nlisten_plain = ["127.0.0.1:0"]\nworkers = 2\n'
            f'[admin]\nlisten = "127.0.0.1:0"\n'
            f'[[operator]]\nname = "one"\nrole = "admin"\ntoken_file = "{self.directory}/admin.token"\n'
            f'[cache]\ndir = "{self.directory / "cache"}"\nsize = "128MiB"\n'
            f'[origin]\nurl = "{self.origins[turn["upstreams"] % 2]}"\nkeys_file = "{self.directory}/keys"\n'
            f'first_byte_timeout = "30s"\ntotal_first_byte = "60s"\n'  # a busy machine is no fault of a reload
            f'[[tls]]\ncert = "{cert.cert}"\nkey = "{cert.key}"\n'
            f'[[site]]\nname = "films"\ncors_origin = "https://{turn["rules"]}.example"\n'
            f'[[site.rule]]\npath = "/s/2000/path-*"\ncors_origin = "https://path-{turn["paths"]}.example"\n{extra}'
        )

    def change(self, what: str) -> None:
        self.turn[what] += 1
        self.write()

    async def holds(self, edge: Edge, plain: str, secure: str, what: str) -> None:
        """The change is seen from outside."""
        count = self.turn[what]
        match what:
            case "rules":
                assert await _cors(plain, "/s/2000/0-1.ts") == f"https://{count}.example"
            case "paths":
                assert await _cors(plain, "/s/2000/path-1.ts") == f"https://path-{count}.example"
            case "sites":
                last = count % 3
                assert await _cors(plain, "/s/2000/0-1.ts", f"{last}.example") == f"https://{last}.example"
            case "certificate":
                expected = ssl.PEM_cert_to_DER_cert(self.certs[count % 2].cert.read_text())
                assert await _shown(secure) == expected
            case "upstreams":
                path = f"/s/2000/from-{count}.ts"
                await _cors(plain, path)
                async with client() as http, http.get(self.origins[count % 2] + "/_counts") as got:
                    assert f'"{path}": 1' in await got.text()
            case "tokens":
                assert await _admitted(edge, f"token-number-{count:06}") == 200
                assert await _admitted(edge, f"token-number-{count - 1:06}") == 401


async def _cors(url: str, path: str, host: str = "a") -> str:
    async with client() as http, http.get(url + path, headers={"Host": host}) as got:
        proven(path, await got.read())
        return got.headers["Access-Control-Allow-Origin"]


async def _shown(url: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = url.removeprefix("https://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
    writer.close()
    return found


async def _admitted(edge: Edge, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with client() as http, http.get(edge.admin + "/v1/config", headers=headers) as got:
        return got.status


def _urls(edge: Edge) -> tuple[str, str]:
    said = [line.rpartition(" ")[2] for line in edge.lines if "for players on" in line]
    plain = next(url for url in said if url.startswith("http://"))
    return plain, next(url for url in said if url.startswith("https://"))


@pytest.mark.parametrize(
    ("reloads", "rate"),
    [(len(CHANGES), 200.0), pytest.param(50, 2000.0, marks=(pytest.mark.long, pytest.mark.timeout(900)))],
)
async def test_no_request_fails_and_none_is_reset_over_many_reloads_under_load(
    tmp_path: Path, reloads: int, rate: float
) -> None:
    async with own_origin() as first, own_origin() as second:
        node = Node(tmp_path, (first, second))
        async with running_edge(None, first, "--config", str(node.path), listen=False) as edge:
            plain, secure = _urls(edge)
            crowd = Crowd([plain, plain, plain, secure], rate, clients=20 if rate < 1000 else 60, new_each=50)
            crowd.start()
            for turn in range(reloads):
                before, what = crowd.done, CHANGES[turn % len(CHANGES)]
                node.change(what)
                await reload(edge)
                await node.holds(edge, plain, secure, what)
                assert crowd.done > before
                await crowd.catches_up(CATCH_UP)
            await crowd.stop()
            print(f"{reloads} reloads: {crowd}")
            assert (crowd.failures, crowd.resets) == ([], [])
            assert crowd.by_url[secure] > 0
            assert crowd.done >= 0.95 * rate * crowd.seconds or reloads < 50  # the long one is of this very rate
            assert await edge.metric('edge_config_reloads_total{result="ok"}') == reloads
            assert await edge.metric("edge_worker_restarts_total") == 0
            assert crowd.closes >= reloads  # connections of before each reload have ended
