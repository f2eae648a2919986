"""The name of an object: what a cache key is called in the index."""

import hashlib


def name_of(key: bytes, secret: bytes) -> bytes:
    """16 bytes of BLAKE2b keyed with the volume's secret: collisions cannot be made on purpose (DESIGN D4)."""
    return hashlib.blake2b(key, digest_size=16, key=secret).digest()
