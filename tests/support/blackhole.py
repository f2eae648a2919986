"""An address that takes no connection and refuses none: the kernel drops each SYN, as on a path that leads nowhere."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def black_hole() -> Iterator[str]:
    """Its URL. A listener on loopback whose backlog is full, and from which nobody accepts."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        waiting = []
        for _ in range(4):  # the kernel keeps one more than it was told, or two
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for sock in waiting:
                sock.close()
