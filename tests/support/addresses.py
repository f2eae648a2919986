"""What addresses this machine has: containers often have no IPv6, and the edge must do without it, too."""

import socket

import pytest


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_address() -> str:
    """One on which nobody listens now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 address")
