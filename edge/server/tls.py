"""TLS towards players: certificate by SNI, kTLS where kernel, OpenSSL and Python offer it (DESIGN D7)."""

import socket
import ssl
from collections.abc import Sequence
from typing import Final

from edge.errors import ConfigError
from edge.server.settings import Certificate

OP_ENABLE_KTLS: Final = 8  # named from Python 3.12 on


def make_server_context(certificates: Sequence[Certificate]) -> ssl.SSLContext:
    """TLS 1.2 and 1.3; the first certificate also serves names that nobody has. ConfigError: unusable files."""
    contexts = [_context(certificate) for certificate in certificates]
    by_name = {
        name.lower(): context
        for certificate, context in zip(certificates, contexts, strict=True)
        for name in certificate.names
    }

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        found = _find(by_name, name.lower()) if name else None
        if found is not None:
            connection.context = found

    contexts[0].sni_callback = choose
    return contexts[0]


def _find(by_name: dict[str, ssl.SSLContext], name: str) -> ssl.SSLContext | None:
    return by_name.get(name) or by_name.get("*." + name.partition(".")[2])


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ktls_offered():
        context.options |= OP_ENABLE_KTLS
    try:
        context.load_cert_chain(certificate.cert, certificate.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            "tls.cert", certificate.cert, f"certificate or key cannot be loaded: {error}"
        ) from error
    return context


def ktls_offered() -> bool:
    """Can the kernel take over TLS records? Asked by attaching the `tls` protocol to a connected socket."""
    server = socket.socket()
    client = socket.socket()
    try:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        client.connect(server.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
    except OSError:
        return False
    finally:
        client.close()
        server.close()
    return True
