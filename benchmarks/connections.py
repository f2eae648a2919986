"""What connections cost the server in memory: idle ones and slow readers, plain and over TLS.

    python benchmarks/connections.py [--idle 5000] [--slow 500] [--json]

A server process of its own is measured (RSS growth divided by the number of connections, budgets in
edge/DESIGN.md section 7); this process holds the clients' ends. An idle connection has been used once.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edge.clock import SystemClock
from edge.server.exchange import BodyBroken, Exchange, FileWindow
from edge.server.listener import Listener
from edge.server.settings import ServerSettings, TlsCert
from edge.server.tls import make_server_context, tls_send_path

KIB = 1024
FILM = 50 * KIB * KIB
SMALL = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /film HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROWS = (
    ("idle", "plain", 16 * KIB),
    ("idle", "tls", 64 * KIB),
    ("slow reader", "plain", 256 * KIB),
    ("slow reader", "tls", 1024 * KIB),
)


class Film:
    """50 MB in a file, mapped once."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._file.truncate(FILM)
        self._zeros = memoryview(bytes(FILM))

    def fileno(self) -> int:
        return self._file.fileno()

    def view(self, offset: int, count: int) -> memoryview:
        return self._zeros[offset : offset + count]

    def is_there(self, offset: int, count: int) -> bool:
        return True


class Showing:
    """One reader's place in the film."""

    def __init__(self, film: Film) -> None:
        self._film = film
        self._at = 0

    def next_window(self, limit: int) -> FileWindow | None:
        count = min(limit, FILM - self._at)
        self._at += count
        return FileWindow(self._film, self._at - count, count) if count else None

    def take_back(self, count: int) -> None:
        raise BodyBroken("the film is in memory")

    def close(self) -> None:
        pass


class Cinema:
    """The handler: a small answer, or the film."""

    def __init__(self) -> None:
        self._film = Film()

    def handle(self, exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
        if exchange.request.target == b"/film":
            exchange.respond(head % FILM, Showing(self._film), length=FILM)
        else:
            exchange.respond(head % 2048, bytes(2048), length=2048)


async def serve(tls: TlsCert | None) -> None:
    """The measured process: says its port, and serves until its input ends."""
    sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
    context = make_server_context([tls]) if tls else None
    settings = ServerSettings(drain_grace=3600.0)
    listener = Listener(sock, Cinema(), settings, ssl_context=context, clock=SystemClock())
    listener.start()
    print(sock.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    await listener.drain(0.0)


def certificate(directory: Path) -> TlsCert:
    """A self-signed one, by the `cryptography` package."""
    from tests.support.certs import make_cert

    return make_cert(directory, "localhost")


class Server:
    """The process, from here."""

    def __init__(self, tls: TlsCert | None) -> None:
        arguments = [sys.executable, __file__, "--serve"]
        if tls is not None:
            arguments += ["--cert", str(tls.cert), "--key", str(tls.key)]
        root = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        assert self._process.stdout is not None
        self.address = "127.0.0.1", int(self._process.stdout.readline())

    def resident(self) -> int:
        """Its RSS in bytes, once it has stopped changing."""
        last = -1
        while True:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
            if pages == last:
                return pages * os.sysconf("SC_PAGE_SIZE")
            last = pages
            time.sleep(0.5)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def connect(address: tuple[str, int], context: ssl.SSLContext | None, ask: bytes) -> socket.socket:
    """A connection that has asked; what it asked for with SMALL is read, the film is not."""
    sock = socket.socket()
    if ask is LARGE:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
    sock.connect(address)
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(ask)
    left = 2048 if ask is SMALL else 0
    while left > 0:
        left -= len(sock.recv(8192))
    return sock


def measure(count: int, ask: bytes, tls: TlsCert | None) -> float:
    """RSS growth per connection, in bytes; a hundred connections before the count warm everything up."""
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tls.cert)
    server = Server(tls)
    try:
        held = [connect(server.address, context, ask) for _ in range(min(100, count))]
        before = server.resident()
        held += [connect(server.address, context, ask) for _ in range(count)]
        each = (server.resident() - before) / count
        for sock in held:
            sock.close()
    finally:
        server.close()
    return each


def raise_limit() -> int:
    """Descriptors that this process and its child may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(soft, hard)


def report(idle: int, slow: int, show: Callable[[str], None]) -> list[dict[str, object]]:
    """Measure all rows."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as directory:
        cert = certificate(Path(directory))
        for kind, way, budget in ROWS:
            count, ask = (idle, SMALL) if kind == "idle" else (slow, LARGE)
            each = measure(count, ask, cert if way == "tls" else None)
            gc.collect()
            rows.append({"kind": kind, "way": way, "count": count, "bytes_each": round(each), "budget": budget})
            verdict = "ok" if each <= budget else "OVER"
            figures = f"{each / KIB:9.1f} KiB each   budget {budget // KIB:5} KiB"
            show(f"{kind:12} {way:6} {count:6} {figures}   {verdict}")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--idle", type=int, default=5000, help="idle connections (at most 20000)")
    parser.add_argument("--slow", type=int, default=500, help="slow readers (at most 2000)")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cert", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--key", type=Path, help=argparse.SUPPRESS)
    said = parser.parse_args()
    descriptors = raise_limit()
    if said.serve:
        import uvloop

        uvloop.run(serve(TlsCert(said.cert, said.key) if said.cert else None))
        return 0
    room = descriptors - 200
    idle, slow = min(said.idle, 20_000, room), min(said.slow, 2_000, room)
    if not said.json:
        print(f"TLS sends by {tls_send_path()}; RSS growth of the server per connection")
    rows = report(idle, slow, (lambda line: None) if said.json else print)
    if said.json:
        print(json.dumps(rows))
    return 0 if all(row["bytes_each"] <= row["budget"] for row in rows) else 1  # type: ignore[operator]


if __name__ == "__main__":
    sys.exit(main())
