"""Surrogate keys: names that an origin gives to groups of objects, to purge them by."""

import hashlib
from typing import Final

from edge.http import fields as header
from edge.http.fields import Fields

NAMES: Final = (b"surrogate-key", b"cache-tag")
TAG_MOST: Final = 255  # bytes; a longer one is known by its digest
ALL_MOST: Final = 60_000  # bytes of all tags of an object, with one more for each: what a record can hold


def surrogate_tags(fields: Fields) -> tuple[bytes, ...] | None:
    """The tags of an answer, each once; None when there are more than a record can hold: then it is not kept.

    `Surrogate-Key` separates by blanks, `Cache-Tag` by commas; both are taken in both.
    """
    found: dict[bytes, None] = {}
    for name in NAMES:
        for value in header.values(fields, name):
            found.update(dict.fromkeys(tag_name(tag) for tag in value.replace(b",", b" ").split()))
    if sum(len(tag) + 1 for tag in found) > ALL_MOST:
        return None
    return tuple(found)


def tag_name(tag: bytes) -> bytes:
    """A tag as it is stored and compared."""
    return tag if len(tag) <= TAG_MOST else b"#" + hashlib.blake2b(tag, digest_size=16).hexdigest().encode()
