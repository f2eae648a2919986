"""What a purge is about: which objects it names. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never


class Scope(StrEnum):
    """How a purge names its objects."""

    KEY = "key"  # one cache key, with all its variants
    PATH = "path"  # a key without its query: whatever query there is
    PREFIX = "prefix"  # every key that begins so; a site is the prefix of its name and a slash
    TAG = "tag"  # what the origin tagged so


@dataclass(frozen=True, slots=True)
class Purge:
    """`text` is (the beginning of) a cache key, or a tag; `site` bounds a tag to one site, empty: all of them.

    `soft`: what is stored becomes stale and is asked about before its next use, else it is forgotten.
    """

    scope: Scope
    text: bytes
    site: bytes = b""
    soft: bool = False

    def matches(self, key: bytes, tags: Sequence[bytes]) -> bool:
        """Is an object with this cache key and these tags meant?"""
        match self.scope:
            case Scope.KEY:
                return key == self.text
            case Scope.PATH:
                return key == self.text or key.startswith(self.text + b"?")
            case Scope.PREFIX:
                return key.startswith(self.text)
            case Scope.TAG:
                return self.text in tags and (not self.site or key.startswith(self.site + b"/"))
            case _:
                assert_never(self.scope)
