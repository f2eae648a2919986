"""Cache-Status over two hops, with all that it can say, read by another parser than ours."""

import asyncio
from pathlib import Path

from tests.support.cache_status import Member, members
from tests.support.edgeproc import client
from tests.support.rawserver import Asked, RawServer, Wire
from tests.support.tiers import node, upstream

HEAD = (
    b'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: "a"\r\n'
    b'Cache-Status: "far, 1"; hit\r\nContent-Length: 8\r\n\r\n'
)
SITE = '[[site]]\nname = "films"\ncache_status_key = true\n'


async def test_each_hop_says_what_it_did_and_who_joins_a_fetch_says_so(tmp_path: Path) -> None:
    may_end = asyncio.Event()

    async def slowly(asked: Asked, wire: Wire) -> None:
        if asked.target == "/no.ts":
            wire.close()
            return
        await wire.send(HEAD + b"the ")
        await may_end.wait()
        await wire.send(b"body")

    async with RawServer(slowly) as origin:
        first = node(tmp_path, "shield1", [upstream(origin.url, "origin")])
        async with first as shield, client() as http:
            second = node(tmp_path, "edge1", [upstream(shield.url, "shield")], more=SITE)
            async with second as edge:
                url = f"{edge.url}/a.ts"
                async with http.get(url) as leads, http.get(url) as joins:
                    may_end.set()
                    assert await leads.read() == await joins.read() == b"the body"
                async with http.get(url) as hits:
                    assert await hits.read() == b"the body"
                async with http.get(f"{edge.url}/no.ts") as fails:
                    assert fails.status == 502
    assert len([asked for asked in origin.asked if asked.target == "/a.ts"]) == 1
    led, joined, hit, failed = (
        members(", ".join(got.headers.getall("Cache-Status"))) for got in (leads, joins, hits, fails)
    )
    assert [[member.cache for member in told] for told in (led, joined, hit)] == [["far, 1", "shield1", "edge1"]] * 3
    miss = {"fwd": "uri-miss", "fwd-status": 200, "stored": True, "ttl": 60}
    assert [said(member, "ttl") for member in led] == [{"hit": True}, miss, miss | {"key": "films/a.ts"}]
    assert said(joined[-1], "ttl") == miss | {"key": "films/a.ts", "collapsed": True}
    assert said(hit[-1], "ttl") == {"hit": True, "ttl": 60, "key": "films/a.ts"}
    assert [member.cache for member in failed] == ["shield1", "edge1"]
    assert failed[0].said["detail"]
    assert "fwd-status" not in failed[0].said  # nobody answered it
    assert (str(failed[1].said["fwd"]), failed[1].said["fwd-status"]) == ("uri-miss", 502)


def said(member: Member, *about: str) -> dict[str, object]:
    """As it was said, but for how many seconds are left of the minute."""
    return {
        name: 60 if name in about and isinstance(value, int) and 30 <= value <= 60 else
        value if isinstance(value, bool | int) else str(value)
        for name, value in member.said.items()
    }  # fmt: skip
