"""A title: what its lists name, and which of them could not be read."""

import pytest

from edge.control.title import referred
from edge.errors import BadRequest, OriginError
from edge.words import Reason

LISTS = {
    "http://a/m.m3u8": b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhigh.m3u8\n",
    "http://a/low.m3u8": b"#EXTM3U\n#EXTINF:4,\n1.ts\nlow.m3u8\n",
    "http://a/empty.m3u8": b"#EXTM3U\n",
    "http://a/page.html": b"<html>",
}


async def read(url: str) -> bytes:
    if url not in LISTS:
        raise OriginError(Reason.BAD_RESPONSE, "the answer was 404")
    return LISTS[url]


async def test_lists_within_are_followed_and_those_that_cannot_be_read_are_named() -> None:
    title = await referred("http://a/m.m3u8", read)
    assert title.urls == ["http://a/low.m3u8", "http://a/high.m3u8", "http://a/1.ts"]
    assert list(title.unread) == ["http://a/high.m3u8"]
    assert "404" in title.unread["http://a/high.m3u8"]


async def test_only_chosen_lists_are_followed() -> None:
    title = await referred("http://a/m.m3u8", read, lambda url: "low" in url)
    assert (title.urls, title.unread) == (["http://a/low.m3u8", "http://a/1.ts"], {})


@pytest.mark.parametrize("url", ["http://a/none.m3u8", "http://a/empty.m3u8", "http://a/page.html"])
async def test_what_names_nothing_is_no_title(url: str) -> None:
    with pytest.raises(BadRequest, match=r"cannot be read|names nothing"):
        await referred(url, read)
