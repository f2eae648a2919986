"""Reads the name that a TLS client asks for (SNI) out of its first message, before the handshake begins.

The transports drive OpenSSL below Python's own SSL objects, where Python's SNI callback cannot run (it would
crash the process). So the certificate is chosen first, from the ClientHello that waits in the socket, and the
handshake then starts with the right one.
"""

from typing import Final

RECORD_HEADER: Final = 5
MAX_HELLO: Final = 16 * 1024  # with post-quantum key shares a hello has about 2 KiB
_HANDSHAKE_RECORD: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0


class MoreNeeded(Exception):
    """The message is not complete; `total` bytes at least are needed from its start."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self.total = total


def server_name(data: bytes) -> str | None:
    """The lower-case host name asked for; None: none, or no ClientHello at all. May raise MoreNeeded.

    RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3.
    """
    try:
        return _name_in_hello(_message(data))
    except _Malformed:
        return None


class _Malformed(Exception):
    """Not a ClientHello."""


def _message(data: bytes) -> "_Cursor":
    """The ClientHello's body, put together from its records."""
    message, at = b"", 0
    while True:
        if len(data) < at + RECORD_HEADER:
            raise MoreNeeded(at + RECORD_HEADER) if data[at : at + 1] in (b"", b"\x16") else _Malformed
        size = int.from_bytes(data[at + 3 : at + 5])
        end = at + RECORD_HEADER + size
        if data[at] != _HANDSHAKE_RECORD or size == 0 or end > MAX_HELLO:
            raise _Malformed
        if len(data) < end:
            raise MoreNeeded(end)
        message += data[at + RECORD_HEADER : end]
        if message[0] != _CLIENT_HELLO:
            raise _Malformed
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4]):
            return _Cursor(message[4 : 4 + int.from_bytes(message[1:4])])
        at = end


class _Cursor:
    """Takes fields off a message; running over its end is malformed."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise _Malformed
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def sized(self, width: int) -> "_Cursor":
        """A vector with a length of `width` bytes before it."""
        return _Cursor(self.take(int.from_bytes(self.take(width))))


def _name_in_hello(body: _Cursor) -> str | None:
    body.take(2 + 32)  # legacy_version, random
    body.sized(1)  # legacy_session_id
    body.sized(2)  # cipher_suites
    body.sized(1)  # legacy_compression_methods
    if not body.data:
        return None
    extensions = body.sized(2)
    while extensions.data:
        kind = int.from_bytes(extensions.take(2))
        content = extensions.sized(2)
        if kind == _SERVER_NAME:
            names = content.sized(2)
            if names.take(1)[0] != _HOST_NAME:
                return None
            return names.sized(2).data.decode("ascii", "replace").lower().rstrip(".")
    return None
