"""After every attempt to poison the cache, a clean request gets the clean answer."""

import asyncio
import time
from pathlib import Path

from tests.conformance.case import Answer, Step
from tests.conformance.origin import Script, ScriptedOrigin, Seen, scripted_origin
from tests.conformance.poisoning import ATTEMPTS, LOOPS, Attempt
from tests.conformance.runner import Client, Wrong
from tests.support.edgeproc import running_edge

NODES_MOST = 8
LATER = 0.3  # seconds in which others come to wait for what is refused
LIFE = (("Cache-Control", "max-age=3600"), ("ETag", '"clean"'))


def gullible(seen: Seen) -> Answer:
    """Evil in, evil out; and errors for what is odd, all of it to be kept."""
    loop = (seen.value("cdn-loop") or "").lower()
    if "evil" in loop or loop.count(",") >= NODES_MOST:
        return Answer(status=508, fields=LIFE, body="evil loop", delay=LATER)
    text = " ".join([seen.method, seen.target, *(f"{name} {value}" for name, value in seen.fields)]).lower()
    if "evil" in text:
        return Answer(fields=LIFE, body="evil")
    if len(text) > 4000 or seen.method not in ("GET", "HEAD"):
        return Answer(status=400, fields=LIFE, body="evil error")
    if seen.value("range") not in (None, "bytes=0-1048575"):
        return Answer(status=416, fields=LIFE, body="evil range")
    if seen.value("if-match") or seen.value("if-unmodified-since"):
        return Answer(status=412, fields=LIFE, body="evil condition")
    return Answer(fields=LIFE, body="clean")


async def attack(attempt: Attempt, url: str, origin: ScriptedOrigin) -> str:
    """Make the attempt, then ask cleanly, twice; what went wrong."""
    path = f"/c/{attempt.id}"
    script = origin.scripts[attempt.id] = Script(time.time(), otherwise=gullible)
    client, others = Client(url), Client(url)
    step = Step(method=attempt.method, fields=attempt.fields, raw=attempt.raw)
    try:
        async with asyncio.timeout(10):
            try:
                await client.ask(step, path + attempt.at, script.now)
            except (Wrong, ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError, IndexError):
                pass  # whatever came of it
            for _ in range(2):
                got = await others.ask(Step(), path, script.now)
                if (got.status, got.body) != (200, b"clean"):
                    return f"{attempt.id}: {got.status} {got.body[:40]!r} {got.fields}"
    finally:
        client.close()
        others.close()
    return ""


async def attack_beside(attempt: Attempt, url: str, origin: ScriptedOrigin) -> str:
    """Make the attempt, and ask cleanly while it is under way; what went wrong."""
    name = f"{attempt.id}-beside"
    script = origin.scripts[name] = Script(time.time(), otherwise=gullible)
    client, others = Client(url), [Client(url) for _ in range(3)]
    step = Step(method=attempt.method, fields=attempt.fields)
    try:
        async with asyncio.timeout(20):
            evil = asyncio.create_task(client.ask(step, f"/c/{name}", script.now))
            while not script.seen and not evil.done():
                await asyncio.sleep(0.001)
            for got in await asyncio.gather(*(each.ask(Step(), f"/c/{name}", script.now) for each in others)):
                if (got.status, got.body) != (200, b"clean"):
                    return f"{name}: {got.status} {got.body[:40]!r} {got.fields}"
            await evil
    finally:
        for each in (client, *others):
            each.close()
    return "" if len(script.seen) <= 2 else f"{name}: the origin was asked {len(script.seen)} times"


async def test_what_is_refused_for_one_request_is_not_refused_to_those_who_wait_with_it(tmp_path: Path) -> None:
    async with scripted_origin() as origin, running_edge(tmp_path, origin.url) as edge:
        wrong = [await attack_beside(attempt, edge.url, origin) for attempt in LOOPS]
    assert not any(wrong), "\n".join(wrong)


async def test_no_attempt_makes_a_bad_answer_stick(tmp_path: Path) -> None:
    async with scripted_origin() as origin, running_edge(tmp_path, origin.url) as edge:
        places = asyncio.Semaphore(16)

        async def one(attempt: Attempt) -> str:
            async with places:
                return await attack(attempt, edge.url, origin)

        wrong = [said for said in await asyncio.gather(*map(one, ATTEMPTS)) if said]
    assert not wrong, "\n".join(wrong)


def test_there_are_a_hundred_attempts_and_each_has_its_name() -> None:
    assert len({attempt.id for attempt in ATTEMPTS}) == len(ATTEMPTS) >= 100


def test_the_origin_is_gullible_indeed() -> None:
    assert gullible(Seen("GET", "/c/a", [("X-Forwarded-Host", "evil.example")], b"")).body == "evil"
    assert gullible(Seen("POST", "/c/a", [], b"")).status == 400
    assert gullible(Seen("GET", "/c/a", [("Range", "bytes=9-")], b"")).status == 416
    assert gullible(Seen("GET", "/c/a", [("CDN-Loop", "evil, edge")], b"")).status == 508
    assert gullible(Seen("GET", "/c/a", [("CDN-Loop", "a, b, c, d, e, f, g, h, edge")], b"")).status == 508
    assert gullible(Seen("GET", "/c/a", [("CDN-Loop", "edge")], b"")).body == "clean"
