"""What profile `video` does otherwise than a plain cache, before a real edge: statuses, fields, queries, live lists."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.conformance.build import answer, fields
from tests.conformance.case import Answer, Step
from tests.conformance.origin import Script, ScriptedOrigin, scripted_origin
from tests.conformance.poisoning import UNKEYED
from tests.conformance.runner import Client, Got
from tests.support.cache_status import members
from tests.support.edgeproc import running_edge

pytestmark = pytest.mark.asyncio(loop_scope="module")
FOR_AN_HOUR = ("Cache-Control: public, max-age=3600, stale-if-error=3600", "Last-Modified: <now-864000>")
SITES = """
[[site]]
name = "players"
[[site]]
name = "edges"
hosts = ["shield.example"]
honour_client_cache_control = true
"""
NEVER = (400, 401, 402, 403, 405, 408, 409, 413, 414, 416, 421, 422, 425, 429, 431, 451, 500, 501, 502, 504, 599)


@dataclass
class Bench:
    url: str
    origin: ScriptedOrigin

    async def ask(self, path: str, says: Answer, *lines: str, times: int = 1, method: str = "GET") -> list[Got]:
        """Ask for a path of a script of its own, so often, each time on a connection of its own."""
        id_ = path.partition("/")[0]
        script = self.origin.scripts.setdefault(id_, Script(time.time()))
        script.otherwise = lambda seen: says
        found = []
        for _ in range(times):
            client = Client(self.url)
            found.append(await client.ask(Step(method=method, fields=fields(*lines)), f"/c/{path}", script.now))
            client.close()
        return found

    def asked(self, id_: str) -> int:
        return len(self.origin.scripts[id_].seen)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    directory: Path = tmp_path_factory.mktemp("video")
    (directory / "edge.toml").write_text(SITES)
    flags = ("--config", str(directory / "edge.toml"))
    async with scripted_origin() as origin, running_edge(directory / "c", origin.url, *flags, workers=1) as edge:
        yield Bench(edge.url, origin)


def life(got: Got) -> int:
    """Seconds for which an answer was fresh when it was new: what is left, and its age."""
    said = members(got.value("cache-status") or "")[-1].said
    return int(str(said["ttl"])) + int(got.value("age") or 0)


@pytest.mark.parametrize("status", NEVER)
async def test_what_a_client_may_have_provoked_is_never_kept_whatever_it_says(bench: Bench, status: int) -> None:
    id_ = f"never-{status}"
    first, second = await bench.ask(id_, answer(*FOR_AN_HOUR, status=status, body="no"), times=2)
    asked = bench.asked(id_)
    assert first.status == second.status
    assert asked >= 2
    (good,) = await bench.ask(id_, answer(*FOR_AN_HOUR))
    assert (good.status, good.body) == (200, b"the body")
    assert all("stored" not in members(got.value("cache-status") or "")[-1].said for got in (first, second))


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_missing_is_kept_for_ten_seconds_at_most(bench: Bench, status: int) -> None:
    for name, lines in (("silent", ()), ("explicit", FOR_AN_HOUR)):
        id_ = f"missing-{name}-{status}"
        first, second = await bench.ask(f"{id_}/1.ts", answer(*lines, status=status, body="no"), times=2)
        assert [got.status for got in (first, second)] == [status, status]
        assert bench.asked(id_) == 1
        assert life(second) <= 10


async def test_a_503_is_kept_only_if_it_says_so_and_for_five_seconds_at_most(bench: Bench) -> None:
    first, second = await bench.ask("busy-explicit", answer(*FOR_AN_HOUR, status=503, body="no"), times=2)
    assert [got.status for got in (first, second)] == [503, 503]
    assert life(second) <= 5
    await bench.ask("busy-silent", answer(status=503, body="no"), times=1)
    before = bench.asked("busy-silent")
    await bench.ask("busy-silent", answer(status=503, body="no"), times=1)
    assert bench.asked("busy-silent") > before


@pytest.mark.parametrize("status", [401, 403])
async def test_who_may_not_have_it_any_more_does_not_get_what_is_stale(bench: Bench, status: int) -> None:
    id_ = f"barred-{status}"
    await bench.ask(id_, answer("Cache-Control: max-age=10, stale-if-error=3600", "Age: 20"))
    (got,) = await bench.ask(id_, answer(status=status, body="no"))
    assert (got.status, got.body) == (status, b"no")


async def test_only_what_is_ours_and_in_the_key_reaches_the_origin(bench: Bench) -> None:
    sent = [f"{name}: {value}" for attempt in UNKEYED for name, value in attempt.fields]
    query = "?utm_source=evil&a=1&CMCD=evil&token=evil&B=2&expires=evil&md5=evil&hdnts=evil"
    await bench.ask(f"told/1.ts{query}", answer(*FOR_AN_HOUR), *sent, "X-Own: evil", "Cache-Control: no-cache")
    (seen,) = bench.origin.scripts["told"].seen
    assert {name.lower() for name, _ in seen.fields} == {"host", "via", "cdn-loop", "accept-encoding"}
    assert "evil" not in " ".join([seen.target, *(value for _, value in seen.fields)])
    assert seen.target == "/c/told/1.ts?a=1&B=2"


LIVE = "#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\n1.ts\n"
LISTS = {
    "live.m3u8": (LIVE, 3),
    "long.m3u8": (LIVE.replace(":6", ":60"), 6),
    "short.m3u8": (LIVE.replace(":6", ":1"), 1),
    "low-latency.m3u8": (LIVE + "#EXT-X-PART-INF:PART-TARGET=0.3\n", 1),
    "ended.m3u8": (LIVE + "#EXT-X-ENDLIST\n", 300),
    "vod.m3u8": (LIVE + "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n", 300),
    "dynamic.mpd": ('<MPD type="dynamic" minimumUpdatePeriod="PT4S"/>', 2),
    "static.mpd": ('<MPD type="static"/>', 300),
}


@pytest.mark.parametrize("name", list(LISTS))
async def test_live_lists_are_right_though_nobody_wrote_a_rule(bench: Bench, name: str) -> None:
    body, seconds = LISTS[name]
    first, second = await bench.ask(f"lists-{name.replace('.', '-')}/{name}", answer(body=body), times=2)
    assert [got.body.decode() for got in (first, second)] == [body, body]
    assert seconds - 1 <= life(second) <= seconds


async def test_what_players_say_of_caches_is_ignored_and_what_trusted_edges_say_is_obeyed(bench: Bench) -> None:
    wishes = ("no-cache", "no-store", "max-age=0", "min-fresh=9999")
    for host, heard in (("players.example", False), ("shield.example", True)):
        id_ = f"wishes-{host.partition('.')[0]}"
        said = answer("Cache-Control: max-age=3600", "Age: 5")
        await bench.ask(f"{id_}/1.ts", said, f"Host: {host}")
        for number, wish in enumerate(wishes):
            (got,) = await bench.ask(f"{id_}/1.ts", said, f"Host: {host}", f"Cache-Control: {wish}")
            assert got.status == 200
            told = members(got.value("cache-status") or "")[-1].said
            obeyed = heard and wish != "no-store"  # which asks that its answer is not kept: what is kept may be had
            assert (str(told.get("fwd")) == "request") is obeyed, (host, wish, told)
            assert bench.asked(id_) == 1 + (number + 1 - (number >= 1) if heard else 0)
        (late,) = await bench.ask(f"{id_}/2.ts", said, f"Host: {host}", "Cache-Control: only-if-cached")
        assert late.status == (504 if heard else 200)
