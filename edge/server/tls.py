"""TLS towards players: contexts, the choice among certificates, and how encrypted bytes leave."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import aiofastnet

from edge.errors import ConfigError, why
from edge.server.settings import TlsCert

_OP_ENABLE_KTLS: Final = 8  # ssl.OP_ENABLE_KTLS from Python 3.12 on
_TCP_ULP: Final = 31  # linux/tcp.h


class Certificates:
    """One context per certificate; `choose` picks by the name that a client asks for."""

    def __init__(self, default: ssl.SSLContext, by_name: dict[str, ssl.SSLContext]) -> None:
        self._default = default
        self._by_name = by_name

    def __repr__(self) -> str:
        return f"<Certificates {sorted(self._by_name)}>"

    @property
    def only(self) -> ssl.SSLContext | None:
        """The context, if there is nothing to choose."""
        return self._default if len({id(context) for context in self._by_name.values()}) <= 1 else None

    def choose(self, name: str | None) -> ssl.SSLContext:
        """By lower-case name: exact, then a wildcard for one label (RFC 9525 section 6.3), then the first."""
        if name is None:
            return self._default
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name.get("*." + name.partition(".")[2])
        return found if found is not None else self._default


def make_server_context(certs: Sequence[TlsCert], client_ca: Path | None = None) -> Certificates:
    """TLS 1.2 and 1.3 for these certificates; the first also serves names that none has.

    With `client_ca` clients are asked for a certificate that it has signed. Who shows none gets in here: whether that
    is enough, and what is answered if not, is for whom the listener hands requests to.

    Raises ConfigError for files that cannot be used, and for several certificates without names.
    """
    if not certs:
        raise ConfigError("tls", [], "give a certificate and its key")
    ktls = tls_send_path() == "ktls"
    contexts = [_context(cert, ktls, client_ca) for cert in certs]
    by_name: dict[str, ssl.SSLContext] = {}
    for cert, context in zip(certs, contexts, strict=True):
        if len(certs) > 1 and not cert.names:
            raise ConfigError("tls.names", str(cert.cert), "with several certificates each needs the names it is for")
        for name in cert.names:
            if by_name.setdefault(name.lower().rstrip("."), context) is not context:
                raise ConfigError("tls.names", name, "two certificates have this name")
    return Certificates(contexts[0], by_name)


def _context(cert: TlsCert, ktls: bool, client_ca: Path | None) -> ssl.SSLContext:
    """Session tickets are OpenSSL's default (two after a TLS 1.3 handshake)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    if ktls:
        context.options |= _OP_ENABLE_KTLS
    try:
        context.load_cert_chain(cert.cert, cert.key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            "tls.cert", str(cert.cert), f"certificate or key {cert.key} cannot be used: {why(error)}"
        ) from error
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise ConfigError("admission.client_ca", str(client_ca), f"cannot be used: {why(error)}") from error
    return context


def tls_send_path() -> Literal["ktls", "mmap"]:
    """How encrypted bodies leave: by the kernel (sendfile), or encrypted here from mapped files."""
    linked = aiofastnet.OPENSSL_DYN_LIBS is not None and ssl.OPENSSL_VERSION_INFO >= (3, 0, 0)
    return "ktls" if linked and _kernel_takes_records() and Path("/sys/module/tls").exists() else "mmap"


def _kernel_takes_records() -> bool:
    """Asked by attaching the `tls` protocol to a connected socket, which also loads its module."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            socket.create_connection(server.getsockname()) as client,
        ):
            client.setsockopt(socket.IPPROTO_TCP, _TCP_ULP, b"tls")
    except OSError:
        return False
    return True
