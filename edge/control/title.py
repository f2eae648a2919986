"""A title: a playlist or manifest and everything that it refers to, lists within lists too."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from edge.media.kinds import kind_of
from edge.media.references import in_manifest, in_playlist
from edge.words import Kind

LISTS_MOST: Final = 200  # of one title: renditions, subtitles, languages
URLS_MOST: Final = 200_000

Read = Callable[[str], Awaitable[bytes]]
Chosen = Callable[[str], bool]


async def referred(url: str, read: Read, chosen: Chosen = lambda _: True) -> list[str]:
    """The URLs of a title without its own, each once, lists before what they name. `chosen` leaves lists out.

    `read` gives the body of a list, and raises what it cannot; a list within that cannot be read names nothing.
    """
    found: dict[str, None] = {}
    lists = deque([url])
    seen = {url}
    while lists and len(seen) <= LISTS_MOST:
        this = lists.popleft()
        for other in references(this, await read(this)):
            kind = kind_of(urlsplit(other).path.encode())
            if kind in (Kind.PLAYLIST, Kind.MANIFEST):
                if other in seen or not chosen(other):
                    continue
                seen.add(other)
                lists.append(other)
            if other != url and len(found) < URLS_MOST:
                found[other] = None
    return list(found)


def references(url: str, body: bytes) -> list[str]:
    """What a list refers to; its beginning tells what it is."""
    if body.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"#EXTM3U"):
        return in_playlist(body, url)
    return in_manifest(body, url)
