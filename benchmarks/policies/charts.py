"""Plots of what `benchmarks/policy.py` finds."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first


def draw(found: dict[str, Any], directory: Path) -> list[Path]:
    """A picture per law: byte hit ratio over cache size; and one of the nights with a crawler."""
    paths = []
    for law, by_size in found["ratios"].items():
        figure, axes = plt.subplots(figsize=(7, 4.5))
        shares = [100 * float(share) for share in by_size]
        for policy in next(iter(by_size.values())):
            style = {"ours": "k-o", "LRU": "--", "Belady": ":"}.get(policy, "-")
            axes.plot(shares, [100 * row[policy] for row in by_size.values()], style, label=policy)
        axes.set(xscale="log", xlabel="cache, % of the footprint", ylabel="byte hit ratio, %", title=law)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        paths.append(_save(figure, directory / f"policy-{law}.png"))
    scan = found["scan"]
    figure, axes = plt.subplots(figsize=(7, 3.5))
    axes.plot([100 * ratio for ratio in scan["without"]], label="without a crawler")
    axes.plot([100 * ratio for ratio in scan["with"]], label="with a crawler, 03-05 h each night")
    axes.set(xlabel="hour", ylabel="byte hit ratio, %", title=f"ours, cache {100 * scan['share']:g} %")
    axes.legend()
    paths.append(_save(figure, directory / "policy-scan.png"))
    return paths


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
