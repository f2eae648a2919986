"""A worker looks a hundred times a second at what it has just answered, and lays down what it saw most.

One that answers nothing looks 25 times a second: looks that see nothing cost an idle worker 1 % of a core. No seldomer,
or of a playlist and the segment that follows it only the segment would be seen.
"""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from edge.delivery.serving import Told
from edge.observe.busiest import Busiest

LOOK_SECONDS: Final = 0.01
IDLE_SECONDS: Final = 0.04
LAY_DOWN_SECONDS: Final = 2.0
FADE: Final = 0.97  # every two seconds: half of a count is gone after 46 s
TOLD: Final = 1000


def path_of(runtime_dir: str, worker: int) -> Path:
    return Path(runtime_dir) / f"top-{worker}.json"


async def sample(last: Callable[[], Told | None], path: Path) -> None:
    """Until cancelled. `last` = what was answered last."""
    busiest = Busiest()
    before: Told | None = None
    pause = LOOK_SECONDS
    while True:
        passed = 0.0
        while passed < LAY_DOWN_SECONDS:
            await asyncio.sleep(pause)
            passed += pause
            seen = last()
            if seen is not None and seen is not before and seen.place is not None:
                busiest.saw(seen.place.key)
            pause = LOOK_SECONDS if seen is not before else min(2 * pause, IDLE_SECONDS)
            before = seen
        if len(busiest):
            await asyncio.to_thread(_write, path, json.dumps(busiest.top(TOLD)))
        busiest.fade(FADE)


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(text)
    os.replace(draft, path)


def gathered(paths: list[Path], count: int) -> list[dict[str, Any]]:
    """The busiest objects of several workers, which see alike crowds."""
    shares: dict[str, float] = {}
    found = []
    for path in paths:
        try:
            found.append(json.loads(path.read_text()))
        except (OSError, ValueError):
            continue  # it has not seen anything yet
    for told in found:
        for key, share in told:
            shares[key] = shares.get(key, 0.0) + share / len(found)
    ranked = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    return [{"key": key, "share": round(share, 4)} for key, share in ranked[:count]]
