"""What the benchmarks share: starting the edge, nginx and an origin on pinned cores, and counting their CPU."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = "0", "1"


@dataclass
class Server:
    """A server under test: `pids` are the processes whose CPU counts."""

    name: str
    url: str
    pids: list[int]
    process: "subprocess.Popen[str]"

    def cpu_seconds(self) -> float:
        """User and system time of its processes."""
        total = 0
        for pid in self.pids:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
        return total / TICK


def need(program: str) -> str:
    """The path of a program, or a clear end."""
    found = shutil.which(program)
    if found is None:
        sys.exit(f"this benchmark needs {program}, which is not installed (Debian: apt install {program})")
    return found


def pinned(core: str, *command: str) -> list[str]:
    return ["taskset", "-c", core, *command]


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="edge-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _wait_line(process: "subprocess.Popen[str]", pattern: str, lines: list[str], seconds: float = 30.0) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            break
        lines.append(line.rstrip())
        if re.search(pattern, line):
            return line.rstrip()
    raise SystemExit("a server did not start:\n" + "\n".join(lines))


def end(process: "subprocess.Popen[str]") -> None:
    """SIGTERM, and SIGKILL when that does not help within five seconds."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def origin(host: str = "127.0.0.1", *, core: str | None = LOAD_CORE, inside: tuple[str, ...] = ()) -> Iterator[str]:
    """The self-describing origin in a process of its own; its URL. `inside` is put before the command."""
    command = [sys.executable, "-m", "edge.demo.origin_server", "--listen", f"{host}:0"]
    command = [*inside, *(pinned(core, *command) if core is not None else command)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield "http://" + _wait_line(process, "origin on", []).rpartition("//")[2]
    finally:
        end(process)


def children_of(pid: int) -> dict[int, str]:
    """Pid to command line of all children."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def edge_processes(supervisor: int) -> list[int]:
    """The workers and keepers of a running server; they are forked by a child of it."""
    parents = [supervisor, *children_of(supervisor)]
    children = {pid for parent in parents for pid in children_of(parent)}
    named = {pid: Path(f"/proc/{pid}/comm").read_text() for pid in children}
    return sorted(pid for pid, name in named.items() if name.startswith(("edge-worker-", "edge-keeper-")))


@contextlib.contextmanager
def edge(
    directory: Path,
    origin_url: str,
    *more: str,
    workers: int = 1,
    core: str | None = SERVER_CORE,
    inside: tuple[str, ...] = (),
    host: str = "127.0.0.1",
) -> Iterator[Server]:
    """An edge with all its processes on one core; the CPU of workers and keeper counts."""
    command = [sys.executable, "-m", "edge", "serve", "--origin", origin_url, "--listen", f"{host}:0"]
    command += ["--admin", "127.0.0.1:0", "--cache-dir", str(directory), "--cache-size", "8GB"]
    command += ["--workers", str(workers), *more]
    command = [*inside, *(pinned(core, *command) if core is not None else command)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: list[str] = []
    try:
        _wait_line(process, "^ready", lines)
        scheme = "https" if "--tls-cert" in more else "http"
        url = f"{scheme}://" + next(line for line in lines if "for players" in line).rpartition("//")[2]
        pids = edge_processes(process.pid)
        server = Server("edge", url, pids, process)
        server.admin = "http://" + next(line for line in lines if "admin" in line).rpartition("//")[2]  # type: ignore[attr-defined]
        yield server
    finally:
        end(process)


NGINX = """
worker_processes {workers}; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; sendfile_max_chunk 1m; tcp_nodelay on;
  keepalive_timeout 75; keepalive_requests 10000000; open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s;
  client_body_temp_path {directory}/b; proxy_temp_path {directory}/p; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
  proxy_cache_path {directory}/cache levels=1:2 keys_zone=c:64m max_size=8g inactive=1d use_temp_path=off;
  upstream o {{ server {origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} {tls}; {certificate}
    location / {{
      proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache c; proxy_cache_valid 200 206 1d; proxy_cache_lock on; proxy_cache_lock_timeout 60s;
      proxy_cache_lock_age 60s; {more}
    }}
  }}
}}
"""


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def nginx(
    directory: Path,
    origin_url: str,
    *,
    tls: tuple[Path, Path] | None = None,
    workers: int = 1,
    core: str | None = SERVER_CORE,
    more: str = "",
    inside: tuple[str, ...] = (),
) -> Iterator[Server]:
    """nginx's proxy_cache, well tuned; the CPU of its workers counts."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    certificate = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}; ssl_protocols TLSv1.3;" if tls else ""
    text = NGINX.format(
        directory=directory,
        origin=origin_url.removeprefix("http://"),
        port=port,
        tls="ssl" if tls else "",
        certificate=certificate,
        workers=workers,
        more=more,
        user="user root;" if os.geteuid() == 0 else "",
    )
    (directory / "nginx.conf").write_text(text)
    command = [
        need("nginx"),
        "-c",
        str(directory / "nginx.conf"),
        "-p",
        str(directory),
        "-e",
        str(directory / "error.log"),
    ]
    command = [*inside, *(pinned(core, *command) if core is not None else command)]
    process = subprocess.Popen(command, text=True)
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and len(children_of(process.pid)) < workers:
            time.sleep(0.05)
        time.sleep(0.2)
        yield Server(
            "nginx",
            url,
            [pid for pid, words in children_of(process.pid).items() if "worker" in words],
            process,
        )
    finally:
        end(process)


def fetch(url: str) -> bytes:
    """One GET, certificates not checked."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(url, timeout=60, context=context) as response:
        return bytes(response.read())


def machine() -> str:
    """One line about where this ran."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1] if model else "cpu"
    return f"{name} x {os.cpu_count()}, Linux {os.uname().release}, Python {sys.version.split()[0]}"
