"""An https upstream: whom it is asked for, and who is believed to be it."""

import ssl
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.config.schema import Settings
from edge.errors import OriginError
from edge.origin.client import OriginClient
from edge.origin.group import Group, Member
from edge.origin.settings import OriginSettings, UpstreamRequest
from edge.runtime import convert
from edge.server.settings import TlsCert
from edge.words import Reason
from tests.support.certs import make_cert
from tests.support.fillbench import fill_bench
from tests.support.rawserver import Asked, RawServer, Wire, answer

GET = UpstreamRequest(b"GET", b"/a")
NAME = "media.example"


class TlsServer(RawServer):
    """Speaks TLS; `names` are those that were asked for in the handshake, `shown` what certificates were shown.

    `client`: the only one whose certificate is known here; who shows none is served all the same.
    """

    def __init__(self, directory: Path, name: str = NAME, *, client: TlsCert | None = None, away: bool = False) -> None:
        made = make_cert(directory, name)
        self.name = name
        self.ca_file = str(made.cert)
        self.names: list[str | None] = []
        self.shown: list[bool] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.cert, made.key)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        if client is not None:
            context.load_verify_locations(client.cert)
            context.verify_mode = ssl.CERT_OPTIONAL

        async def serve(asked: Asked, wire: Wire) -> None:
            self.shown.append(bool(wire.writer.get_extra_info("peercert")))
            await wire.send(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n" if away else answer(asked, b"hello"))

        super().__init__(serve, tls=context)

    def member(self, **more: object) -> dict[str, object]:
        """It as an operator names it."""
        return {"url": f"https://127.0.0.1:{self.port}", "server_name": self.name, **more}


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


def group_of(*members: dict[str, object], **origin: object) -> Group:
    """The group that a keeper would make of this."""
    said = convert.members(Settings.model_validate({"origin": origin, "upstream": list(members)}))
    return Group([Member(OriginClient(one.origin, SystemClock()), one.weight, one.role) for one in said])


async def test_where_a_shield_of_a_private_authority_is_away_an_origin_that_the_world_knows_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one authority for all members every miss failed that had to go to the other one."""
    ours = make_cert(tmp_path, "edge.example")
    shield = TlsServer(tmp_path, "shield.example", client=ours, away=True)
    origin = TlsServer(tmp_path, "origin.example", client=ours)
    monkeypatch.setenv("SSL_CERT_FILE", origin.ca_file)  # whom the system trusts
    fleet = {"ca_file": shield.ca_file, "client_cert": str(ours.cert), "client_key": str(ours.key)}
    async with shield, origin:
        group = group_of(
            shield.member(role="shield"), origin.member(ca_file="", client_cert=""), fallback=True, **fleet
        )
        async with fill_bench(tmp_path, "http://unused.example", grouped=lambda _: group) as bench:
            assert (await bench.get("/a.ts")).bytes() == b"hello"
    assert len(shield.asked) >= 1
    assert all(shield.shown)  # what [origin] says of us is for those who do not say otherwise
    assert origin.shown == [False]


async def test_each_member_has_an_authority_and_a_client_certificate_of_its_own(tmp_path: Path) -> None:
    first, second = make_cert(tmp_path, "first.example"), make_cert(tmp_path, "second.example")
    one = TlsServer(tmp_path, "one.example", client=first)
    other = TlsServer(tmp_path, "other.example", client=second)
    async with one, other:
        group = group_of(
            one.member(ca_file=one.ca_file, client_cert=str(first.cert), client_key=str(first.key)),
            other.member(ca_file=other.ca_file, client_cert=str(second.cert), client_key=str(second.key)),
        )
        for member in group.members:
            async with member.client.fetch(GET) as response:
                assert response.status == 200
        await group.close()
    assert (one.shown, other.shown) == ([True], [True])


async def test_a_member_may_be_believed_unseen_beside_others_that_are_not(tmp_path: Path) -> None:
    lax, strict = TlsServer(tmp_path, "lax.example"), TlsServer(tmp_path, "strict.example")
    async with lax, strict:
        group = group_of(lax.member(verify=False), strict.member())
        open_, closed = group.members
        async with open_.client.fetch(GET) as response:
            assert response.status == 200
        with pytest.raises(OriginError):
            async with closed.client.fetch(GET):
                pass
        await group.close()
