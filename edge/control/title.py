"""A title: a playlist or manifest and everything that it refers to, lists within lists too."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from edge.errors import BadRequest, EdgeError
from edge.media.kinds import kind_of
from edge.media.references import in_manifest, in_playlist
from edge.words import Kind

LISTS_MOST: Final = 200  # of one title: renditions, subtitles, languages
URLS_MOST: Final = 200_000

Read = Callable[[str], Awaitable[bytes]]
Chosen = Callable[[str], bool]


@dataclass(slots=True)
class Title:
    """The URLs of a title without its own, each once, lists before what they name.

    `unread`: lists within it that could not be read, and why: nobody knows what they name.
    """

    urls: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)


async def referred(url: str, read: Read, chosen: Chosen = lambda _: True) -> Title:
    """What a title refers to. `chosen` leaves lists out. `read` gives the body of a list, or EdgeError.

    BadRequest: its own list cannot be read, or names nothing: that is no title.
    """
    unread: dict[str, str] = {}
    found: dict[str, None] = {}
    lists = deque([url])
    seen = {url}
    while lists and len(seen) <= LISTS_MOST:
        this = lists.popleft()
        try:
            named = await asyncio.to_thread(references, this, await read(this))  # 200,000 of them take seconds
        except EdgeError as error:
            if this == url:
                raise BadRequest(f"the list {url} cannot be read: {error}") from error
            unread[this] = str(error)
            continue
        if this == url and not named:
            raise BadRequest(f"{url} is no playlist or manifest, or names nothing")
        for other in named:
            kind = kind_of(urlsplit(other).path.encode())
            if kind in (Kind.PLAYLIST, Kind.MANIFEST):
                if other in seen or not chosen(other):
                    continue
                seen.add(other)
                lists.append(other)
            if other != url and len(found) < URLS_MOST:
                found[other] = None
    return Title(list(found), unread)


def references(url: str, body: bytes) -> list[str]:
    """What a list refers to; its beginning tells what it is."""
    if body.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"#EXTM3U"):
        return in_playlist(body, url)
    return in_manifest(body, url)
