"""How bytes would leave this machine: event loop, sendfile, TLS, the question what is in memory."""

import os
import socket
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from edge.config.schema import Settings
from edge.runtime.child import loop_factory
from edge.runtime.doctor.findings import Finding, State, judged
from edge.runtime.doctor.machine import existing
from edge.server.tls import tls_send_path
from edge.store.residency import Residency

PROBE: Final = 64 * 1024  # bytes; a socket's buffer takes them at once


def look_at_sending(settings: Settings) -> Iterator[Finding]:
    said = loop_factory()[1]
    mend = "pip install uvloop: the same work takes about twice the processor time without it"
    yield judged("sending", "event loop", said, good=said.startswith("uvloop"), mend=mend)
    for volume in settings.volumes:
        yield _sendfile(Path(volume.path))
    mend = "Linux 6.5 or newer, and no filter in its way: without cachestat(2) every body is read in a thread first"
    works = Residency().works
    yield judged("sending", "cachestat", "works" if works else "does not work", good=works, mend=mend)
    path = tls_send_path()
    mend = "modprobe tls, OpenSSL 3 and a Python linked to it dynamically: then the kernel encrypts what sendfile sends"
    found = f"{path} (aiofastnet {version('aiofastnet')})" + (
        "" if settings.tls else ", and no certificate asks for it"
    )
    yield judged("sending", "TLS bodies", found, good=path == "ktls" or not settings.tls, mend=mend)


def _sendfile(directory: Path) -> Finding:
    """Send a file of that disk to ourselves."""
    what = f"sendfile from {directory}"
    try:
        with (
            tempfile.TemporaryFile(dir=existing(directory)) as file,
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            file.write(bytes(PROBE))
            file.flush()
            sent = os.sendfile(client.fileno(), file.fileno(), 0, PROBE)
    except OSError as error:
        mend = "another file system for the cache: every body leaves this way"
        return Finding("sending", what, State.WRONG, str(error.strerror), mend)
    return judged("sending", what, f"{sent} bytes at once", good=sent > 0, mend="look at the kernel's log")
