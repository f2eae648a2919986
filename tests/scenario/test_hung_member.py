"""A member that takes connections and never answers, before a real edge: players wait for it a few times, no more."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from edge.origin.breaker import FAILURES, State
from tests.support.edgeproc import Edge, client
from tests.support.rawserver import Asked, RawServer, Wire, answer
from tests.support.tiers import node, upstream

BODY = bytes(range(256)) * 40
LIMITS = """[origin]
selection = "primary-backup"
first_byte_timeout = "1s"
total_first_byte = "8s"
hedge = false
"""
CHECK = "bytes=0-0"


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():
            await asyncio.sleep(0.02)


def said(edge: Edge, what: str) -> bool:
    return any(what in line for line in edge.lines)


async def told_states(edge: Edge, member: RawServer) -> list[str]:
    """Those in which its breaker is, as metrics have it."""
    name = member.url.removeprefix("http://")
    found = []
    for state in State:
        if await edge.metric("edge_circuit_breaker_state{", f'member="{name}"', f'state="{state.value}"'):
            found.append(state.value)
    return found


async def test_a_member_that_hangs_is_left_alone_but_for_checks_and_is_back_when_it_answers(tmp_path: Path) -> None:
    hangs = True

    async def script(asked: Asked, wire: Wire) -> None:
        if hangs:
            await wire.reader.read()
        else:
            await wire.send(answer(asked, BODY))

    async def fine(asked: Asked, wire: Wire) -> None:
        await wire.send(answer(asked, BODY))

    async with (
        RawServer(script) as first,
        RawServer(fine) as backup,
        node(tmp_path, "edge", [upstream(first.url, "origin"), upstream(backup.url, "origin")], more=LIMITS) as edge,
        client() as http,
    ):

        def of_players() -> list[str]:
            return [asked.target for asked in first.asked if asked.fields.get("range") != CHECK]

        def checks() -> int:
            return len(first.asked) - len(of_players())

        async def play(number: int) -> None:
            async with http.get(f"{edge.url}/{number}.ts") as got:
                assert (got.status, await got.read()) == (200, BODY)

        async def is_told(state: str) -> None:
            """/metrics says so of the member, and of the other one that nothing ails it."""
            async with asyncio.timeout(30):
                while await told_states(edge, first) != [state] or await told_states(edge, backup) != ["closed"]:
                    await asyncio.sleep(0.1)

        await is_told("closed")
        await asyncio.gather(*(play(number) for number in range(FAILURES)))
        await until(lambda: said(edge, "breaker open"))
        await is_told("open")
        waited = of_players()
        number = FAILURES
        for seen in (1, 2):  # each would have closed it
            await until(lambda seen=seen: checks() >= seen)  # type: ignore[misc]
            for _ in range(3):
                await play(number := number + 1)
        assert of_players() == waited
        hangs = False
        await until(lambda: said(edge, "breaker half-open"))
        await is_told("half_open")
        await play(1000)
        assert of_players()[-1] == "/1000.ts"
        await until(lambda: said(edge, "breaker closed"))
        await is_told("closed")
