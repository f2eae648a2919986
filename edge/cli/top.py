"""`edge top`: what a running edge does now: live in a terminal, picture after picture into a pipe."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from edge.cli import api_client
from edge.observe.overview import Order, Overview, Reading, Row, overview
from edge.observe.scraped import read

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table

MEGABIT: Final = 125_000  # bytes
PLAIN_COLUMNS: Final = 160  # where there is no terminal to ask
FIRST_LOOK: Final = 1.0  # seconds between the two scrapes of the first frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interval", metavar="SECONDS", type=api_client.number(0.1, 3600), default=2.0, help="default %(default)s"
    )
    parser.add_argument(
        "--count",
        metavar="N",
        type=api_client.number(1, 1000, whole=True),
        default=10,
        help="busiest objects (default %(default)s)",
    )
    frames = parser.add_mutually_exclusive_group()
    frames.add_argument("--once", action="store_true", help="one picture, then end")
    frames.add_argument(
        "--frames",
        metavar="N",
        type=api_client.number(1, 1_000_000, whole=True),
        default=0,
        help="so many pictures, then end",
    )
    parser.add_argument(
        "--sort", choices=[order.value for order in Order], default=Order.BIGGEST.value,
        help="which sites, upstreams and kinds come first: by bytes, requests, time to the first byte, or errors",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the busiest sites and objects once, for programs")
    api_client.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    try:
        return api_client.told(_top, args)
    except KeyboardInterrupt:
        return api_client.OK  # that is how one leaves it


def _top(client: api_client.Client, args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.live import Live

    if args.json:
        print(json.dumps(client.call("GET", "/v1/top", count=str(args.count))))
        return api_client.OK
    console = Console()
    frames = 1 if args.once else args.frames
    pictures = itertools.islice(_pictures(client, args), frames or None)
    if not console.is_terminal or console.is_dumb_terminal or frames == 1:
        _print_one_after_another(console, pictures)
        return api_client.OK
    with Live(next(pictures), console=console, screen=True) as live:
        for picture in pictures:
            live.update(picture, refresh=True)
    return api_client.OK


def _pictures(client: api_client.Client, args: argparse.Namespace) -> Iterator[Group]:
    """One an interval, for ever; the first one comes soon."""
    before, at, pause = scrape(client), time.monotonic(), min(FIRST_LOOK, args.interval)
    while True:
        time.sleep(pause)
        after, now, pause = scrape(client), time.monotonic(), args.interval
        yield _picture(client, args, overview(before, after, now - at, Order(args.sort)))
        before, at = after, now


def _print_one_after_another(console: Console, pictures: Iterator[Group]) -> None:
    """For a pipe, a file or a terminal that can only print: nothing is cut, and each picture says when it was."""
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PLAIN_COLUMNS
    for number, picture in enumerate(pictures):
        if number:
            console.print()
        console.print(time.strftime("%Y-%m-%dT%H:%M:%S%z"), highlight=False)
        console.print(picture)


def scrape(client: api_client.Client) -> Reading:
    """Refused when nobody answers there, or something else."""
    reading = read(client.text("/metrics"))
    if not reading:
        raise api_client.Refused("what answers there has no metrics of an edge")
    return reading


def _picture(client: api_client.Client, args: argparse.Namespace, seen: Overview) -> Group:
    try:
        objects = client.call("GET", "/v1/top", count=str(args.count))["objects"]
    except api_client.Refused:  # they are for operators; the metrics are for everybody who reaches them
        objects = []
    return frame(seen, client.where, objects)


def frame(seen: Overview, node: str, objects: Sequence[dict[str, Any]] = ()) -> Group:
    """One picture of it; `objects` as the admin API tells the busiest ones."""
    from rich.columns import Columns
    from rich.console import Group

    tables: list[RenderableType] = [
        _rows("sites", seen.sites, hits=True),
        _rows("upstreams", seen.upstreams, errors=True),
        _rows("kinds", seen.kinds),
    ]
    parts: list[RenderableType] = [_head(seen, node), _volumes(seen), Columns(tables, padding=(0, 3))]
    return Group(*parts, *([_objects(objects)] if objects else []))


def _objects(objects: Sequence[dict[str, Any]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="objects", box=None, title_justify="left", header_style="dim")
    table.add_column("share", justify="right")
    table.add_column("", no_wrap=True, overflow="ellipsis")
    for said in objects:
        table.add_row(f"{said['share']:.1%}", escape(said["key"]))
    return table


def _head(seen: Overview, node: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"edge at {escape(node)}", box=None, show_header=False, title_justify="left", padding=(0, 2, 0, 0)
    )
    for _ in range(6):
        table.add_column(no_wrap=True)
    facts = [
        ("requests/s", f"{seen.requests:,.0f}"),
        ("egress", rate(seen.egress)),
        ("from upstream", rate(seen.ingress)),
        ("hit ratio", share(seen.hit_ratio)),
        ("byte hit ratio", share(seen.byte_hit_ratio)),
        ("5xx/s", f"{seen.errors:,.1f}"),
        ("connections", f"{seen.connections:,.0f}"),
        ("in flight", f"{seen.inflight:,.0f}"),
        ("fills", f"{seen.flights:,.0f}"),
        ("hit p50 / p99", f"{wait(seen.ttfb_hit_p50)} / {wait(seen.ttfb_hit_p99)}"),
        ("miss p50 / p99", f"{wait(seen.ttfb_miss_p50)} / {wait(seen.ttfb_miss_p99)}"),
        ("loop lag p99", wait(seen.loop_lag_p99)),
        ("starved/s", f"{seen.starved:,.1f}"),
        ("restarts", f"{seen.restarts:,.0f}"),
        ("log lines lost", f"{seen.dropped_lines:,.0f}"),
    ]
    for at in range(0, len(facts), 3):
        cells = [
            cell for label, value in facts[at : at + 3] for cell in (f"[dim]{label}[/dim]", f"[bold]{value}[/bold]")
        ]
        table.add_row(*cells)
    return table


def _rows(title: str, rows: tuple[Row, ...], *, hits: bool = False, errors: bool = False) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=None, title_justify="left", header_style="dim")
    table.add_column("")
    for head in ("req/s", "Mbit/s", *(["hits"] if hits else []), *(["failed/s", "first byte"] if errors else [])):
        table.add_column(head, justify="right")
    for row in rows:
        cells = [escape(row.name), f"{row.requests:,.1f}", f"{row.bytes / MEGABIT:,.1f}"]
        cells += [share(row.hit_ratio)] if hits else []
        cells += [f"{row.errors:,.1f}", wait(row.seconds)] if errors else []
        table.add_row(*cells)
    return table


def _volumes(seen: Overview) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="volumes", box=None, title_justify="left", header_style="dim")
    for head in ("", "full", "size", "objects", "written", "evicted"):
        table.add_column(head, justify="right" if head else "left")
    for row in seen.volumes:
        full = row.size_bytes / row.max_bytes if row.max_bytes else None
        table.add_row(
            escape(row.name),
            share(full),
            f"{row.size_bytes / 1e9:,.1f} GB",
            f"{row.objects:,.0f}",
            rate(row.written),
            rate(row.evicted),
        )
    return table


def rate(bytes_a_second: float) -> str:
    """Network rates are told in bits."""
    bits = bytes_a_second * 8
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits >= size:
            return f"{bits / size:,.1f} {unit}"
    return f"{bits:,.0f} bit/s"


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def wait(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.1f} ms" if seconds < 1 else f"{seconds:,.2f} s"
