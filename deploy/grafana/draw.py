"""Draw a dashboard's time series without Grafana, from the same Prometheus.

python deploy/grafana/draw.py http://127.0.0.1:9090 deploy/grafana/dashboards/node.json node.png --minutes 5
"""

import argparse
import json
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

COLUMNS = 3
POINTS = 200
LINES_MOST = 8  # of a panel: the rest would hide one another


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", help="its URL")
    parser.add_argument("dashboard", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--rate", default="1m", help="for $__rate_interval: four scrapes or more (1m)")
    args = parser.parse_args()
    dashboard = json.loads(args.dashboard.read_text())
    draw(dashboard, args.prometheus, args.picture, args.minutes * 60, args.rate)


def draw(dashboard: dict[str, Any], prometheus: str, picture: Path, seconds: float, rate: str) -> None:
    """Every panel of type `timeseries`, for the last `seconds`, all values of each variable together."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    panels = [panel for panel in dashboard["panels"] if panel["type"] == "timeseries"]
    rows = -(-len(panels) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(15, 2.6 * rows), squeeze=False)
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    end = time.time()
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    for axis, panel in zip(axes.flat, panels, strict=False):
        lines = 0
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", rate)
            for name in names:
                expression = expression.replace(f"${name}", ".*")
            for series in ask(prometheus, expression, end - seconds, end):
                if lines < LINES_MOST:
                    times = [(float(at) - end) / 60 for at, _ in series["values"]]
                    label = legend(target["legendFormat"], series["metric"])
                    axis.plot(times, [float(value) for _, value in series["values"]], label=label, linewidth=1.2)
                    lines += 1
        axis.set_title(f"{panel['title']} ({panel['fieldConfig']['defaults']['unit']})", fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        if lines:
            axis.legend(fontsize=6, loc="upper left")
    figure.suptitle(f"{dashboard['title']} (minutes)", fontsize=11)
    figure.tight_layout(rect=(0, 0, 1, 0.99))  # below the title
    figure.savefig(picture, dpi=70)
    pyplot.close(figure)


def ask(prometheus: str, expression: str, start: float, end: float) -> list[Any]:
    said = {"query": expression, "start": start, "end": end, "step": max(1.0, (end - start) / POINTS)}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(said)}"
    with urllib.request.urlopen(url, timeout=30) as got:
        return list(json.load(got)["data"]["result"])


def legend(template: str, labels: dict[str, str]) -> str:
    """Grafana's {{label}}."""
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


if __name__ == "__main__":
    main()
