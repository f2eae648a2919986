"""An edge whose shields are all away, as real processes: its origin is asked in their place, if that is allowed."""

from pathlib import Path

import pytest

from tests.support.addresses import free_address
from tests.support.edgeproc import client, describing_origin, proven
from tests.support.tiers import node, upstream

SIZE = 1000
FILMS = 3


@pytest.mark.parametrize("fallback", [True, False])
async def test_when_no_shield_is_there_the_origin_is_asked_if_that_is_allowed(tmp_path: Path, fallback: bool) -> None:
    more = f'[origin]\nconnect_timeout = "1s"\nfallback = {str(fallback).lower()}\n'
    async with describing_origin() as origin, client() as http:
        shields = [upstream(f"http://{free_address()}", "shield") for _ in range(2)]
        async with node(tmp_path, "edge", [*shields, upstream(origin.url, "origin")], more=more) as edge:
            for number in range(FILMS):
                path = f"/s/{SIZE}/{number}x.ts"
                async with http.get(edge.url + path) as got:
                    body = await got.read()
                    assert got.status == (200 if fallback else 502)
                    if fallback:
                        proven(path, body)
                    else:
                        said = got.headers["Cache-Status"] + body.decode()
                        assert said.count("connect_failed: Connection refused") == 2
                        assert "127.0.0.1" not in said, "where its shields are is no affair of a player's"
        assert sum(origin.origin.counts.values()) == (FILMS if fallback else 0)
