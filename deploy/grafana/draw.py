"""Draw a dashboard without Grafana, from the same Prometheus: its single figures, and its time series row by row.

python deploy/grafana/draw.py http://127.0.0.1:9090 deploy/grafana/dashboards/node.json node.png --minutes 5
"""

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POINTS = 200
LINES_MOST = 8  # of a panel: the rest would hide one another
DAY = 86400
SUFFIXES = {"bps": "bit/s", "Bps": "B/s", "bytes": "B", "s": "s", "reqps": "/s", "ops": "/s"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from: the last `seconds` before `end`, all values of each variable together."""

    prometheus: str
    variables: tuple[str, ...]
    rate: str
    end: float
    seconds: float

    def ask(self, expression: str) -> list[Any]:
        """The series of an expression, each with its points; without those that never were a number."""
        expression = expression.replace("$__rate_interval", self.rate)
        for name in self.variables:
            expression = expression.replace(f"${name}", ".*")
        start, step = self.end - self.seconds, max(1.0, self.seconds / POINTS)
        said = {"query": expression, "start": start, "end": self.end, "step": step}
        url = f"{self.prometheus}/api/v1/query_range?{urllib.parse.urlencode(said)}"
        with urllib.request.urlopen(url, timeout=30) as got:
            found = list(json.load(got)["data"]["result"])
        return [series for series in found if any(value != "NaN" for _, value in series["values"])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", help="its URL")
    parser.add_argument("dashboard", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--rate", default="1m", help="for $__rate_interval: four scrapes or more (1m)")
    args = parser.parse_args()
    dashboard = json.loads(args.dashboard.read_text())
    names = tuple(variable["name"] for variable in dashboard["templating"]["list"])
    source = Source(args.prometheus, names, args.rate, time.time(), args.minutes * 60)
    draw(dashboard, source, args.picture)


def draw(dashboard: dict[str, Any], source: Source, picture: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    rows = [(title, panels) for title, panels in rows_of(dashboard["panels"]) if panels]
    stats = [panel for panel in dashboard["panels"] if panel["type"] == "stat"]
    heights = [0.9, *(0.4 + 2.5 * -(-len(panels) // columns_of(panels)) for _, panels in rows)]
    figure = pyplot.figure(figsize=(15, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights)
    parts[0].suptitle(f"{dashboard['title']} (last values; below: minutes)", fontsize=12)
    for axis, panel in zip(parts[0].subplots(1, len(stats), squeeze=False)[0], stats, strict=True):
        draw_stat(axis, panel, source)
    for part, (title, panels) in zip(parts[1:], rows, strict=True):
        part.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
        columns = columns_of(panels)
        axes = list(part.subplots(-(-len(panels) // columns), columns, squeeze=False).flat)
        for axis, panel in zip(axes, panels, strict=False):
            draw_series(axis, panel, source)
        for axis in axes[len(panels) :]:
            axis.remove()
    figure.savefig(picture, dpi=70)
    pyplot.close(figure)


def rows_of(panels: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each row's title and its time series."""
    title, found = "", []
    for panel in panels:
        if panel["type"] == "row":
            yield title, found
            title, found = panel["title"], []
        elif panel["type"] == "timeseries":
            found.append(panel)
    yield title, found


def columns_of(panels: list[dict[str, Any]]) -> int:
    """As many as Grafana puts side by side, which has 24 units of width."""
    return 24 // int(panels[0]["gridPos"]["w"])


def draw_stat(axis: Any, panel: dict[str, Any], source: Source) -> None:
    """One figure: the last one."""
    series = source.ask(panel["targets"][0]["expr"])
    value = float(series[0]["values"][-1][1]) if series else None
    text = "no data" if value is None else formatter(panel)(value, 0)
    axis.text(0.5, 0.45, text, fontsize=15, ha="center", va="center")
    axis.set_title(panel["title"], fontsize=9)
    axis.set_axis_off()


def draw_series(axis: Any, panel: dict[str, Any], source: Source) -> None:
    lines = 0
    for target in panel["targets"]:
        for series in source.ask(target["expr"]):
            if lines < LINES_MOST:
                times = [(float(at) - source.end) / 60 for at, _ in series["values"]]
                label = legend(target["legendFormat"], series["metric"])
                axis.plot(times, [float(value) for _, value in series["values"]], label=label, linewidth=1.2)
                lines += 1
    axis.set_title(panel["title"], fontsize=9)
    axis.tick_params(labelsize=7)
    axis.set_xlim(-source.seconds / 60, 0)
    lowest, highest = axis.dataLim.intervaly if lines else (0, 0)
    most = panel["fieldConfig"]["defaults"].get("max", highest)
    top = 1.25 * most if most > 0 else 1.0  # the legend needs some room
    axis.set_ylim(min(-0.03 * top, lowest), top)
    axis.yaxis.set_major_formatter(formatter(panel))
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize=6, loc="upper left", framealpha=0.6)


def formatter(panel: dict[str, Any]) -> Any:
    """Grafana's unit, as matplotlib writes it."""
    from matplotlib.ticker import EngFormatter, FuncFormatter

    unit = panel["fieldConfig"]["defaults"]["unit"]
    large = EngFormatter(SUFFIXES.get(unit, ""), places=1 if panel["type"] == "stat" else None)

    def written(value: float, _: float) -> str:
        if unit == "percentunit":
            return f"{100 * value:.3g} %"
        if unit == "s" and abs(value) >= DAY:
            return f"{value / DAY:.3g} d"
        if abs(value) < 1 and unit != "s":
            return f"{value:.3g} {SUFFIXES.get(unit, '')}"  # nobody counts in thousandths
        return str(large(value))

    return FuncFormatter(written)


def legend(template: str, labels: dict[str, str]) -> str:
    """Grafana's {{label}}."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), template)


if __name__ == "__main__":
    main()
