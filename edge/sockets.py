"""What a socket is told before it listens or connects. Connections that a listener accepts have its options."""

import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final

# tcp(7), socket(7): numbers of Linux that the socket module does not name in each Python that we run on
TCP_NOTSENT_LOWAT: Final = 25
SO_MAX_PACING_RATE: Final = 47
INT_MOST: Final = (1 << 31) - 1  # what the kernel takes; of buffers it gives no more than net.core allows anyway
U64_MOST: Final = (1 << 64) - 1
NOT_OURS: Final = (errno.ENOENT, errno.EPERM)  # a kernel without it; a process that may not use it


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """Sizes in bytes, the rate in bytes a second; 0 and None leave it to the kernel.

    Buffers that are named do not grow any more. The rate is each connection's own (with the queueing discipline fq,
    or by the kernel's own timers).
    """

    congestion_control: str | None = None
    receive_buffer: int = 0
    send_buffer: int = 0
    notsent_lowat: int = 0
    max_pacing_rate: int = 0

    def apply(self, sock: socket.socket) -> None:
        """Before it connects: buffers decide what window a handshake can offer. OSError: not on this kernel.

        A congestion control that cannot be had is left out, see `refusal`: it costs speed, not answers.
        """
        if self.congestion_control:
            _congestion(sock, self.congestion_control)
        if self.receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, min(self.receive_buffer, INT_MOST))
        if self.send_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, min(self.send_buffer, INT_MOST))
        if self.notsent_lowat:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, min(self.notsent_lowat, INT_MOST))
        if self.max_pacing_rate:
            sock.setsockopt(
                socket.SOL_SOCKET, SO_MAX_PACING_RATE, struct.pack("=Q", min(self.max_pacing_rate, U64_MOST))
            )

    def insist(self, sock: socket.socket) -> None:
        """Once it is connected: where its route names a congestion control (congctl), that has taken ours' place."""
        if self.congestion_control:
            _congestion(sock, self.congestion_control)

    def refusal(self) -> str | None:
        """Why this machine does not send by `congestion_control`, and what mends it; None: it does."""
        if not self.congestion_control:
            return None
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            number = _congestion(sock, self.congestion_control)
        if number == errno.ENOENT:
            return f"this kernel does not have it: modprobe tcp_{self.congestion_control}, or leave it out"
        if number == errno.EPERM:
            return "not allowed to this user: name it in sysctl net.ipv4.tcp_allowed_congestion_control"
        return None


AS_IT_IS: Final = SocketOptions()


def _congestion(sock: socket.socket, name: str) -> int:
    """Set it; returns the number of the error if it is not to be had, else 0."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        return error.errno or 0
    return 0
