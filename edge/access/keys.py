"""Keys in a file, `ID SECRET` a line: the first one signs, all of them are accepted, so that they can be rotated.

To rotate: add the new key as the last line everywhere, then move it to the top everywhere, then drop the old one.
The file is read again when it has changed; one that cannot be read any more changes nothing.
"""

import logging
import os
import re
from pathlib import Path
from typing import Final

from edge.access.passes import Key
from edge.errors import ConfigError, why

SECRET_LEAST: Final = 32  # characters: `openssl rand -hex 16` gives so many
LINES: Final = f'write "ID SECRET" a line, the secret with at least {SECRET_LEAST} characters (openssl rand -hex 16)'
LOOK_SECONDS: Final = 2.0  # between looks at the file: rotation takes minutes, a look microseconds
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")

log = logging.getLogger("edge.access")


def read_keys(path: Path) -> tuple[Key, ...]:
    """At least one; ConfigError says what is wrong, without what is secret."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("keys_file", str(path), f"cannot be read: {why(error)}; {LINES}") from error
    keys: dict[str, Key] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or _ID.fullmatch(words[0]) is None or len(words[1]) < SECRET_LEAST:
            hint = f"line {number}: {LINES}"
            raise ConfigError("keys_file", str(path), hint)
        if words[0] in keys:
            raise ConfigError("keys_file", str(path), f"line {number}: two keys have the id {words[0]!r}")
        keys[words[0]] = Key(words[0], words[1].encode())
    if not keys:
        raise ConfigError("keys_file", str(path), f"has no key; {LINES}")
    return tuple(keys.values())


class KeyFile:
    """The keys of a file as it is now. ConfigError if it cannot be used at the start. Times are monotonic."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = stamp(path)
        self._looked_at = float("-inf")
        self._use(read_keys(path))

    def __repr__(self) -> str:
        return f"<KeyFile {self._path} {list(self._by_id)}>"

    def _use(self, keys: tuple[Key, ...]) -> None:
        self._first = keys[0]
        self._by_id = {key.id: key for key in keys}

    def signing(self, now: float) -> Key:
        """The key to sign with."""
        self._look(now)
        return self._first

    def find(self, key_id: str, now: float) -> Key | None:
        self._look(now)
        return self._by_id.get(key_id)

    def _look(self, now: float) -> None:
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        found = stamp(self._path)
        if found == self._stamp:
            return
        self._stamp = found
        try:
            self._use(read_keys(self._path))
        except ConfigError as error:
            log.error("the keys stay as they were: %s", error)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes when a file is written or replaced."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size
