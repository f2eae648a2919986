"""What operators say of sockets, read back from the sockets themselves."""

import socket
from pathlib import Path

import pytest

from edge.clock import SystemClock
from edge.config.load import load_settings
from edge.config.schema import Settings
from edge.origin.client import OriginClient
from edge.origin.settings import OriginSettings, UpstreamRequest
from edge.runtime import convert
from edge.runtime.holdings import Holdings
from edge.runtime.inherited import Inherited
from edge.runtime.listeners import bind, spoken
from edge.server.exchange import Exchange
from edge.server.listener import Listener
from edge.server.settings import ServerSettings
from edge.sockets import SocketOptions
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.sockopts import Options, options_of

EXAMPLES = Path(__file__).parents[2] / "config" / "examples"
OURS = {
    "congestion_control": "reno",
    "receive_buffer": 65536,
    "send_buffer": 32768,
    "notsent_lowat": 16384,
    "max_pacing_rate": 10**10,
}
AS_SAID = ("reno", 65536, 32768, 16384, 10**10)
OTHERS = {"congestion_control": "cubic", "send_buffer": 49152, "notsent_lowat": 8192, "max_pacing_rate": 2 * 10**10}
OTHERWISE = ("cubic", 65536, 49152, 8192, 2 * 10**10)


async def fine(asked: Asked, wire: Wire) -> None:
    await wire.send(answer(asked, b"hello"))


async def test_connections_to_each_member_have_its_own_options_and_else_those_of_all() -> None:
    async with RawServer(fine) as one, RawServer(fine) as other:
        raw = {"origin": OURS, "upstream": [{"url": one.url}, {"url": other.url, **OTHERS}]}
        found = []
        for said in convert.members(Settings.model_validate(raw)):
            client = OriginClient(said.origin, SystemClock())
            async with client.fetch(UpstreamRequest(b"GET", b"/a")) as response:
                found.append(options_of(response._connection._transport.get_extra_info("socket")))
            await client.close()
    assert found == [AS_SAID, OTHERWISE]


async def test_what_is_named_holds_where_a_route_has_taken_its_place_when_a_connection_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A route may name a congestion control (congctl). The kernel then puts that in the place of the socket's."""
    monkeypatch.setattr(SocketOptions, "apply", lambda *_: None)
    seen: list[str] = []

    class Answers:
        def handle(self, exchange: Exchange) -> None:
            exchange.respond(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", b"ok", length=2)

    sock = bind("127.0.0.1:0", "f")
    name = "cubic" if options_of(sock)[0] == "reno" else "reno"
    named = SocketOptions(name)
    listener = Listener(sock, Answers(), ServerSettings(), clock=SystemClock(), options=named)
    insist = SocketOptions.insist

    def noted(self: SocketOptions, connected: socket.socket) -> None:
        insist(self, connected)
        seen.append(options_of(connected)[0])

    monkeypatch.setattr(SocketOptions, "insist", noted)
    listener.start()
    client = OriginClient(OriginSettings(f"http://{spoken(sock)}", sockets=named), SystemClock())
    async with client.fetch(UpstreamRequest(b"GET", b"/a")) as response:
        assert [chunk async for chunk in response] == [b"ok"]
    assert seen == [name, name]  # at both ends
    await client.close()
    await listener.drain(1.0)


def accepted_options(listening: socket.socket) -> Options:
    """Of what it accepts now."""
    with socket.create_connection(listening.getsockname(), 5):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            return options_of(accepted)


@pytest.mark.parametrize("name", ["shield.toml", "mirror-shield-moscow.toml"])
def test_a_shield_as_it_is_shipped_sends_with_bbr_to_edges_and_as_the_kernel_does_to_its_origin(name: str) -> None:
    usual = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    settings = load_settings(EXAMPLES / name)
    (options,) = convert.listener_options(settings)
    assert options.congestion_control == "bbr"
    has_it = options.refusal() is None
    with bind("127.0.0.1:0", "f", options) as sock:
        assert accepted_options(sock)[0] == ("bbr" if has_it else usual)
    (member,) = convert.members(settings)
    with socket.socket() as sock:
        member.origin.sockets.apply(sock)
        assert options_of(sock)[0] == usual


def test_what_each_address_accepts_has_its_own_options_and_else_those_of_all_after_a_reload_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    first, second, third = (f"127.0.0.{number}:0" for number in (1, 2, 3))
    raw = {
        "server": {"listen": [first], "listen_plain": [second], **OURS},
        "admin": {"listen": "127.0.0.1:0"},
        "cache": {"dir": str(tmp_path / "cache")},
        "listener": [{"listen": second, **OTHERS}],
    }
    holdings = Holdings.take(Settings.model_validate(raw), Inherited([]))
    try:
        assert [accepted_options(sock) for sock, _ in holdings.players] == [AS_SAID, OTHERWISE]
        raw["server"] = {"listen": [first, third], "listen_plain": [second], **OURS}
        raw["listener"] = [{"listen": listen, **OTHERS} for listen in (first, third)]
        changed = Settings.model_validate(raw)
        holdings.switch(holdings.listen_on(changed), changed)
        found = [accepted_options(sock) for sock, _ in holdings.players]
        assert found == [OTHERWISE, OTHERWISE, AS_SAID]
    finally:
        holdings.close()
