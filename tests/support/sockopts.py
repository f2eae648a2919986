"""What a socket says of itself."""

import socket
import sys

from edge.sockets import SO_MAX_PACING_RATE, TCP_NOTSENT_LOWAT

Options = tuple[str, int, int, int, int]


def options_of(sock: socket.socket) -> Options:
    """In the order of `SocketOptions`."""
    return (
        sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode(),
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,  # the kernel doubles it for its own needs
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2,
        sock.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT),
        int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, 8), sys.byteorder),
    )
