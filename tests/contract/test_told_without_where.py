"""Why an upstream could not be asked is told to players, in Cache-Status: what has failed, and not where."""

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from edge.clock import SystemClock
from edge.errors import OriginError
from edge.origin.client import OriginClient
from edge.origin.settings import OriginSettings, Signer, UpstreamRequest
from edge.origin.telling import PassSigner
from edge.words import Reason
from tests.contract.test_upstream_tls import NAME, TlsServer
from tests.support.addresses import free_address
from tests.support.rawserver import Asked, RawServer, Wire


async def failure(url: str, *, signer: Signer | None = None, resolver: Any = None, **more: Any) -> OriginError:
    client = OriginClient(OriginSettings(url, **more), SystemClock(), signer=signer, resolver=resolver)
    try:
        with pytest.raises(OriginError) as failed:
            async with client.fetch(UpstreamRequest(b"GET", b"/a")):
                pass
        return failed.value
    finally:
        await client.close()


async def test_a_refused_connection() -> None:
    error = await failure(f"http://{free_address()}")
    assert (error.reason, error.detail) == (Reason.CONNECT_FAILED, "Connection refused")


async def test_a_name_that_nobody_knows() -> None:
    class Unknown:
        async def resolve(self, host: str, port: int) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: Name or service not known")

        async def close(self) -> None: ...

    error = await failure("http://origin.example", resolver=Unknown())
    assert (error.reason, error.detail) == (Reason.CONNECT_FAILED, "the name cannot be resolved")


@pytest.mark.parametrize(("name", "known"), [(NAME, False), ("other.example", True), (None, True)])
async def test_a_certificate_that_does_not_serve(tmp_path: Path, name: str | None, known: bool) -> None:
    async with TlsServer(tmp_path) as server:
        more = {"sni": name, "ca_file": server.ca_file if known else None}
        error = await failure(f"https://127.0.0.1:{server.port}", **more)
        assert error.reason is Reason.CONNECT_FAILED
        assert re.fullmatch(r"certificate: [a-zA-Z -]*(self.signed|mismatch)[a-zA-Z -]*", error.detail)


async def test_one_that_speaks_no_tls() -> None:
    async def never(asked: Asked, wire: Wire) -> None:
        raise AssertionError("nobody asks")

    async with RawServer(never) as server:
        error = await failure(f"https://127.0.0.1:{server.port}", connect_timeout=1.0)
        assert "127.0.0.1" not in str(error)


async def test_a_shield_that_does_not_let_us_in() -> None:
    async def refuses(asked: Asked, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 403 Forbidden\r\nEdge-Pass: refused\r\nContent-Length: 0\r\n\r\n")

    async with RawServer(refuses) as shield:
        error = await failure(shield.url, signer=PassSigner(SystemClock(), None, sibling=False))
        assert (error.reason, error.detail) == (Reason.NOT_ADMITTED, "it does not let us in: 403")
