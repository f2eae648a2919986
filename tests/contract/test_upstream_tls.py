"""An https upstream: whom it is asked for, and who is believed to be it."""

import ssl
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.errors import OriginError
from edge.origin.client import OriginClient
from edge.origin.settings import OriginSettings, UpstreamRequest
from edge.words import Reason
from tests.support.certs import make_cert
from tests.support.rawserver import Asked, RawServer, Wire, answer

GET = UpstreamRequest(b"GET", b"/a")
NAME = "media.example"


async def fine(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, b"hello"))


class TlsServer(RawServer):
    """Speaks TLS; `names` are those that were asked for in the handshake."""

    def __init__(self, directory: Path) -> None:
        made = make_cert(directory, NAME)
        self.ca_file = str(made.cert)
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert, made.key)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        super().__init__(fine, tls=context)


async def ask(server: TlsServer, **more: object) -> bytes:
    settings = OriginSettings(f"https://127.0.0.1:{server.port}", **more)  # type: ignore[arg-type]
    client = OriginClient(settings, SystemClock())
    try:
        async with client.fetch(GET) as response:
            return b"".join([chunk async for chunk in response])
    finally:
        await client.close()


async def test_the_name_in_the_handshake_and_the_host_are_what_is_configured(tmp_path: Path) -> None:
    async with TlsServer(tmp_path) as server:
        got = await ask(server, sni=NAME, host_header="player.example", ca_file=server.ca_file)
        assert got == b"hello"
        assert server.names == [NAME]
        assert server.asked[0].fields["host"] == "player.example"


@pytest.mark.parametrize("why", ["unknown authority", "another name"])
async def test_one_that_cannot_prove_its_name_is_not_asked(tmp_path: Path, why: str) -> None:
    async with TlsServer(tmp_path) as server:
        more = {"sni": NAME} if why == "unknown authority" else {"sni": "other.example", "ca_file": server.ca_file}
        with pytest.raises(OriginError) as failed:
            await ask(server, **more)
        assert failed.value.reason is Reason.CONNECT_FAILED
        assert server.asked == []


async def test_where_that_is_configured_anybody_is_believed(tmp_path: Path) -> None:
    async with TlsServer(tmp_path) as server:
        assert await ask(server, verify=False) == b"hello"
