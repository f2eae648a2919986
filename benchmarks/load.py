"""The load test for any edge: players that play HLS, DASH and MP4 as people do, bounded in number and time.

    python -m benchmarks.load --target http://edge:8080 --players 50 --seconds 60 [--admin http://edge:9180]
        [--catalogue FILE] [--seed 1] [--plot load.png] [--json load.json] [--insecure]

Each player picks a title by popularity (Zipf), starts it, keeps a buffer, adapts its rendition to the measured
throughput, pauses, seeks, gives up early. The catalogue is the demo's film unless a JSON file lists titles:
[{"kind": "hls"|"dash"|"mp4"|"object", "url": "/path"}]. `--objects N` plays N titles of the self-describing
origin (`python -m edge.demo.origin_server`) instead, and proves every byte. Exit 1 on any wrong byte, 2 on bad usage.
"""

import argparse
import asyncio
import json
import math
import random
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from edge.demo.describing import check, version_of
from edge.words import KIB, MIB

MOST_PLAYERS, MOST_SECONDS = 2000, 3600
KINDS = ("hls", "dash", "mp4", "object")
BUFFER_SECONDS = 12.0
SEGMENT_BYTES = (300 * KIB, 900 * KIB, 2 * MIB)  # renditions of a self-describing title, 4 s each
SEGMENT_SECONDS = 4.0
BUCKETS = [0.0005 * 1.25**n for n in range(60)]  # first-byte histogram: 0.5 ms to 300 s in steps of a quarter


@dataclass
class Title:
    """`object`: a self-describing title whose segments are made up from its name."""

    kind: str
    url: str


@dataclass
class Figures:
    """What all players together saw; bounded, however long it runs."""

    requests: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    ttfb: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    starts: list[float] = field(default_factory=list)
    stalls: int = 0
    stalled_seconds: float = 0.0
    played_seconds: float = 0.0
    sessions: Counter[str] = field(default_factory=Counter)
    timeline: list[dict[str, float | None]] = field(default_factory=list)

    def first_byte(self, seconds: float) -> None:
        at = next((i for i, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
        self.ttfb[at] += 1

    def quantile(self, share: float, counts: list[int] | None = None) -> float:
        """Seconds; the upper edge of the bucket."""
        counts = self.ttfb if counts is None else counts
        left = sum(counts) * share
        for bound, count in zip(BUCKETS, counts, strict=False):
            left -= count
            if left <= 0:
                return bound
        return BUCKETS[-1]


class Player:
    """One viewer after the other on one set of connections, until the time is over."""

    def __init__(self, target: str, titles: list[Title], figures: Figures, seed: int, until: float, ssl: bool) -> None:
        self._target = target
        self._titles = titles
        self._figures = figures
        self._random = random.Random(seed)
        self._until = until
        self._ssl = ssl
        self._rate = 2e6
        self._weights = [1 / (rank + 1) ** 0.8 for rank in range(len(titles))]

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        connector = aiohttp.TCPConnector(limit=6, ssl=self._ssl)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as self._http:
            await asyncio.sleep(self._random.random())
            while time.monotonic() < self._until:
                title = self._random.choices(self._titles, self._weights)[0]
                self._figures.sessions[title.kind] += 1
                try:
                    await getattr(self, f"_play_{title.kind}")(urljoin(self._target, title.url))
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    self._figures.codes[type(error).__name__] += 1
                    await asyncio.sleep(0.5)

    # -- fetching --------------------------------------------------------------------------------

    async def _get(self, url: str, headers: dict[str, str] | None = None, abort_after: int | None = None) -> bytes:
        """One request, counted and, where possible, proven; after `abort_after` bytes the player loses interest."""
        figures = self._figures
        begun = time.monotonic()
        async with self._http.get(url, headers=headers) as got:
            data = bytearray()
            first = True
            async for chunk in got.content.iter_any():
                if first:
                    figures.first_byte(time.monotonic() - begun)
                    first = False
                data += chunk
                figures.bytes += len(chunk)
                if abort_after is not None and len(data) > abort_after:
                    got.close()
                    break
            figures.requests += 1
            figures.codes[str(got.status)] += 1
            if got.status in (200, 206):
                self._prove(url, got, bytes(data))
                if len(data) > 64 * KIB:
                    rate = len(data) / max(time.monotonic() - begun, 1e-4)
                    self._rate = 0.7 * self._rate + 0.3 * rate
                return bytes(data)
        raise aiohttp.ClientError(f"{got.status} for {url}")

    def _prove(self, url: str, got: aiohttp.ClientResponse, data: bytes) -> None:
        path = got.url.path
        if not path.startswith("/s/"):
            return
        start = int(re.split(r"[ -]", got.headers["Content-Range"])[1]) if got.status == 206 else 0
        mismatch = check(path, version_of(data, start), start, data)
        if mismatch is not None and len(self._figures.wrong) < 100:
            self._figures.wrong.append(f"{url}: {mismatch}")

    # -- playing ---------------------------------------------------------------------------------

    async def _play_segments(self, renditions: list[list[str]], seconds: float, bits: list[float]) -> None:
        """Segments with a buffer; leaves early as people do (35 % soon), seeks now and then, aborts at switches."""
        choose = self._random
        count = len(renditions[0])
        stay = choose.randint(1, 4) if choose.random() < 0.35 else count
        at = choose.randrange(count) if choose.random() < 0.2 else 0
        buffered, level = 0.0, 0
        begun = time.monotonic()
        played_from: float | None = None
        clock = time.monotonic()
        for _ in range(stay):
            if time.monotonic() >= self._until or at >= count:
                return
            wanted = max((n for n, rate in enumerate(bits) if rate / 8 < self._rate * 0.7), default=0)
            abort = None
            if wanted != level and choose.random() < 0.1:
                abort = 50_000  # a switch: what is on its way is not wanted any more
                await self._get(renditions[level][at], abort_after=abort)
            level = wanted
            await self._get(renditions[level][at])
            now = time.monotonic()
            if played_from is None:
                played_from = now
                self._figures.starts.append(now - begun)
                del self._figures.starts[:-10_000]
            else:
                buffered -= now - clock
                if buffered < 0:
                    self._figures.stalls += 1
                    self._figures.stalled_seconds -= buffered
                    buffered = 0.0
            clock = now
            buffered += seconds
            self._figures.played_seconds += seconds
            at += 1
            if choose.random() < 0.05:
                at, buffered = choose.randrange(count), 0.0  # a seek: its wait counts as a start
                played_from, begun = None, time.monotonic()
            if choose.random() < 0.03:
                await asyncio.sleep(min(2.0, max(0.0, self._until - time.monotonic())))  # a pause
                clock = time.monotonic()
            if buffered > BUFFER_SECONDS:
                await asyncio.sleep(min(seconds, max(0.0, self._until - time.monotonic())))

    async def _play_object(self, url: str) -> None:
        names = [[f"{url}".replace("SIZE", str(size)) + f"-{n}.ts" for n in range(24)] for size in SEGMENT_BYTES]
        await self._play_segments(names, SEGMENT_SECONDS, [size * 8 / SEGMENT_SECONDS for size in SEGMENT_BYTES])

    async def _play_hls(self, url: str) -> None:
        master = (await self._get(url)).decode()
        lines = master.splitlines()
        levels = sorted(
            (float(found[1]), urljoin(url, lines[n + 1]))
            for n, line in enumerate(lines)
            if (found := re.search(r"#EXT-X-STREAM-INF.*BANDWIDTH=(\d+)", line))
        ) or [(1e6, url)]
        renditions = []
        for _, media in levels:
            text = (await self._get(media)).decode() if media != url else master
            renditions.append([urljoin(media, line) for line in text.splitlines() if line and line[0] != "#"])
            if found := re.search(r'EXT-X-MAP:URI="([^"]+)"', text):
                await self._get(urljoin(media, found[1]))
        await self._play_segments(renditions, SEGMENT_SECONDS, [bits for bits, _ in levels])

    async def _play_dash(self, url: str) -> None:
        text = (await self._get(url)).decode()
        total = float((re.search(r'mediaPresentationDuration="PT([\d.]+)S"', text) or [0, "32"])[1])
        found = re.findall(
            r'<Representation id="(\w+)" mimeType="video[^>]*bandwidth="(\d+)".*?'
            r'initialization="([^"]+)" media="([^"]+)"',
            text,
            re.DOTALL,
        )
        found.sort(key=lambda item: int(item[1]))
        renditions = []
        for name, _, init, media in found:
            await self._get(urljoin(url, init.replace("$RepresentationID$", name)))
            numbers = range(1, int(total / SEGMENT_SECONDS) + 1)
            text = media.replace("$RepresentationID$", name)
            renditions.append([urljoin(url, re.sub(r"\$Number(%03d)?\$", f"{n:03d}", text)) for n in numbers])
        await self._play_segments(renditions, SEGMENT_SECONDS, [float(item[1]) for item in found])

    async def _play_mp4(self, url: str) -> None:
        """Open-ended ranges as browsers ask, left early, then a seek by a bounded one."""
        await self._get(url, {"Range": "bytes=0-1"})
        await self._get(url, {"Range": "bytes=0-"}, abort_after=self._random.choice([100_000, 400_000, 4_000_000]))
        start = self._random.randrange(100_000)
        await self._get(url, {"Range": f"bytes={start}-{start + 99_999}"})
        await asyncio.sleep(min(1.0, max(0.0, self._until - time.monotonic())))


# -- the whole ---------------------------------------------------------------------------------------


async def watch(figures: Figures, until: float, begun: float) -> None:
    """A point of the timeline each second, and the progress bar."""
    from rich.progress import Progress, TimeElapsedColumn

    last_bytes, last_ttfb = 0, list(figures.ttfb)
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), transient=True) as bar:
        task = bar.add_task("playing", total=until - begun)
        while (now := time.monotonic()) < until:
            await asyncio.sleep(min(1.0, until - now))
            new = [a - b for a, b in zip(figures.ttfb, last_ttfb, strict=True)]
            figures.timeline.append(
                {
                    "second": time.monotonic() - begun,
                    "mbit": (figures.bytes - last_bytes) * 8 / 1e6,
                    "p50": figures.quantile(0.5, new) if sum(new) else None,
                    "p99": figures.quantile(0.99, new) if sum(new) else None,
                    "stalls": float(figures.stalls),
                }
            )
            last_bytes, last_ttfb = figures.bytes, list(figures.ttfb)
            rate = figures.timeline[-1]["mbit"]
            bar.update(
                task,
                completed=time.monotonic() - begun,
                description=f"{figures.requests} requests, {rate:.0f} Mbit/s",
            )


async def statuses(admin: str | None) -> dict[str, float]:
    """Requests by cache status from the edge's metrics; empty without an admin address."""
    found: dict[str, float] = {}
    if admin is not None:
        async with aiohttp.ClientSession() as http, http.get(urljoin(admin, "/metrics")) as got:
            for line in (await got.text()).splitlines():
                if match := re.match(r'edge_cache_requests_total\{.*status="(\w+)".*\} ([\d.e+]+)', line):
                    found[match[1]] = found.get(match[1], 0.0) + float(match[2])
    return found


async def run(args: argparse.Namespace, titles: list[Title]) -> dict[str, object]:
    figures = Figures()
    before = await statuses(args.admin)
    begun = time.monotonic()
    until = begun + args.seconds
    ssl = not args.insecure
    players = [Player(args.target, titles, figures, args.seed * 10_007 + n, until, ssl) for n in range(args.players)]
    tasks = [asyncio.create_task(player.run()) for player in players]
    await watch(figures, until, begun)
    done, late = await asyncio.wait(tasks, timeout=10)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in done:
        task.result()
    took = time.monotonic() - begun
    after = await statuses(args.admin)
    by_status = {name: count - before.get(name, 0.0) for name, count in after.items()}
    total = sum(by_status.values())
    starts = sorted(figures.starts) or [0.0]
    return {
        "target": args.target,
        "players": args.players,
        "seconds": took,
        "requests": figures.requests,
        "requests_per_second": figures.requests / took,
        "throughput_mbit": figures.bytes * 8 / took / 1e6,
        "ttfb_ms": {f"p{q}": figures.quantile(q / 100) * 1000 for q in (50, 95, 99)},
        "startup_ms": {"p50": starts[len(starts) // 2] * 1000, "p95": starts[int(len(starts) * 0.95)] * 1000},
        "stalls": figures.stalls,
        "rebuffer_ratio": figures.stalled_seconds / max(figures.played_seconds, 1e-9),
        "sessions": dict(figures.sessions),
        "codes": dict(figures.codes),
        "hit_ratio": by_status.get("hit", 0.0) / total if total else None,
        "cache_statuses": by_status,
        "wrong_bytes": figures.wrong,
        "timeline": figures.timeline,
    }


def plot(found: dict[str, object], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    line: list[dict[str, float | None]] = found["timeline"]  # type: ignore[assignment]
    seconds = [point["second"] for point in line]
    figure, axes = pyplot.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    axes[0].plot(seconds, [point["mbit"] for point in line])
    axes[0].set_ylabel("throughput, Mbit/s")
    for name in ("p50", "p99"):
        times = [point[name] for point in line]
        axes[1].plot(seconds, [math.nan if t is None else t * 1000 for t in times], ".-", label=name)
    axes[1].set_ylabel("first byte, ms")
    axes[1].set_yscale("log")
    axes[1].legend()
    axes[2].plot(seconds, [point["stalls"] for point in line])
    axes[2].set_ylabel("stalls so far")
    axes[2].set_ylim(bottom=0)
    axes[2].set_xlabel("seconds")
    figure.suptitle(f"{found['players']} players at {found['target']}")
    figure.savefig(path, dpi=110)


def catalogue(args: argparse.Namespace) -> list[Title]:
    if args.catalogue is not None:
        titles = [Title(**entry) for entry in json.loads(args.catalogue.read_text())]
        if not titles or any(title.kind not in KINDS for title in titles):
            raise ValueError(f"at least one title, each of a kind among {', '.join(KINDS)}")
        return titles
    if args.objects:
        return [Title("object", f"/s/SIZE/title-{n}") for n in range(args.objects)]
    return [
        Title("hls", "/film/master.m3u8"),
        Title("dash", "/film/film.mpd"),
        Title("mp4", "/film/film.mp4"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", required=True, metavar="URL")
    parser.add_argument("--players", type=int, default=10, help=f"at most {MOST_PLAYERS}")
    parser.add_argument("--seconds", type=float, default=30.0, help=f"at most {MOST_SECONDS}")
    parser.add_argument("--admin", metavar="URL", help="the edge's admin address, for the hit ratio")
    parser.add_argument("--catalogue", type=Path, metavar="FILE")
    parser.add_argument("--objects", type=int, default=0, metavar="N", help="titles of the self-describing origin")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="PNG")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--insecure", action="store_true", help="do not check certificates")
    args = parser.parse_args()
    if not 1 <= args.players <= MOST_PLAYERS or not 1 <= args.seconds <= MOST_SECONDS:
        parser.error(f"players 1 to {MOST_PLAYERS}, seconds 1 to {MOST_SECONDS}")
    if not re.match(r"https?://", args.target):
        parser.error("--target must be an http(s) URL")
    try:
        titles = catalogue(args)
    except (OSError, ValueError, TypeError) as error:
        parser.error(f"--catalogue cannot be used: {error}")
    found = asyncio.run(run(args, titles))
    for name, value in found.items():
        if name != "timeline":
            print(f"{name:20} {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    if args.plot:
        plot(found, args.plot)
    return 1 if found["wrong_bytes"] else 0


if __name__ == "__main__":
    sys.exit(main())
