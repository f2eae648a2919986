"""What a scrape costs a node of many busy sites while it serves players.

    python -m benchmarks.scrape [--sites 100] [--scrapes 40] [--players 8] [--json FILE]

A real edge (two workers, one keeper) whose sites have all been asked for hits, misses and errors of several kinds goes
on serving while it is scraped. Time is the scraper's own, from asking to the last byte, beside that of `/healthz` in
the same run, which waits for the same busy machine and renders nothing; CPU is the supervisor's, which renders. The
budget: 100 ms with 100 sites.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.bench import Server, edge, machine, origin, scratch_directory
from edge.words import KIB

BUDGET_MS = 100.0
KINDS = (".ts", ".m4s", ".mp4", ".m3u8", ".mpd", ".key", ".vtt")
SIZE = 20 * KIB


def configuration(directory: Path, sites: int) -> Path:
    """As many sites as asked for, each with a host of its own."""
    path = directory / "edge.toml"
    path.write_text("".join(f'[[site]]\nname = "site{n}"\nhosts = ["site{n}.example"]\n' for n in range(sites)))
    return path


async def ask(http: aiohttp.ClientSession, url: str, path: str, site: int, **fields: str) -> None:
    async with http.get(url + path, headers={"Host": f"site{site}.example", **fields}) as got:
        await got.read()


async def visit(http: aiohttp.ClientSession, url: str, site: int) -> None:
    """Hits, misses, ranges and errors of every kind, so that a site has the series that a busy one has."""
    for kind in KINDS:
        path = f"/s/{SIZE}/a{kind}"
        await ask(http, url, path, site)
        await ask(http, url, path, site, Range="bytes=0-99")
        await ask(http, url, path, site)
        await ask(http, url, f"/s/1/e{kind}?status=404", site)
    await ask(http, url, "/s/1/e.ts?status=500", site)


async def play(http: aiohttp.ClientSession, url: str, sites: int, player: int, stop: asyncio.Event) -> int:
    """A player goes round the sites until told to stop."""
    asked = 0
    while not stop.is_set():
        await ask(http, url, f"/s/{SIZE}/a{KINDS[asked % len(KINDS)]}", (player + asked) % sites)
        asked += 1
    return asked


async def timed(http: aiohttp.ClientSession, url: str) -> tuple[float, bytes]:
    begun = time.monotonic()
    async with http.get(url) as got:
        text = await got.read()
    return time.monotonic() - begun, text


async def measure(server: Server, admin: str, sites: int, scrapes: int, players: int) -> dict[str, float]:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        for first in range(0, sites, 8):
            await asyncio.gather(*(visit(http, server.url, site) for site in range(first, min(first + 8, sites))))
        stop = asyncio.Event()
        playing = [asyncio.create_task(play(http, server.url, sites, n, stop)) for n in range(players)]
        took, waited, lines = [], [], 0
        spent, begun = server.cpu_seconds(), time.monotonic()
        for _ in range(scrapes):
            await asyncio.sleep(0.25)
            waited.append((await timed(http, admin + "/healthz"))[0])
            seconds, text = await timed(http, admin + "/metrics")
            took.append(seconds)
            lines = sum(not line.startswith(b"#") for line in text.splitlines())
        seconds, spent = time.monotonic() - begun, server.cpu_seconds() - spent
        stop.set()
        requests = sum(await asyncio.gather(*playing))
    return {
        "sites": sites,
        "series": lines,
        "requests_per_second": requests / seconds,
        "p50_ms": statistics.median(took) * 1000,
        "healthz_p50_ms": statistics.median(waited) * 1000,
        "most_ms": max(took) * 1000,
        "cpu_ms": spent / scrapes * 1000,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--scrapes", type=int, default=40)
    parser.add_argument("--players", type=int, default=8)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(machine())
    with scratch_directory() as directory, origin(core=None) as url:
        said = configuration(directory, min(args.sites, 1000))
        with edge(directory / "e", url, "--config", str(said), workers=2, core=None) as server:
            server.pids = [server.process.pid]
            admin = server.admin  # type: ignore[attr-defined]
            sites, scrapes, players = min(args.sites, 1000), min(args.scrapes, 1000), min(args.players, 100)
            found = asyncio.run(measure(server, admin, sites, scrapes, players))
    print(
        f"{found['sites']} sites, {found['series']} series, {found['requests_per_second']:.0f} requests/s beside it: "
        f"a scrape takes {found['p50_ms']:.0f} ms (p50; most {found['most_ms']:.0f}; budget {BUDGET_MS:.0f}; "
        f"/healthz {found['healthz_p50_ms']:.0f}), "
        f"{found['cpu_ms']:.0f} ms of the supervisor's CPU"
    )
    if args.json:
        args.json.write_text(json.dumps(found | {"machine": machine()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
