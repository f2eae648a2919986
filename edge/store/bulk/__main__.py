"""`python -m edge.store.bulk DIR`: build what the order in DIR says, for as long as standard input stays open."""

import os
import sys
from pathlib import Path
from typing import Final

from edge.store.bulk.building import build
from edge.store.bulk.order import DONE

NICE: Final = 5  # hits and fills go first
TOLD: Final = 100  # times in all


def main() -> None:
    os.nice(NICE)
    last = 0.0

    def told(share: float) -> None:
        nonlocal last
        if share - last >= 1 / TOLD:
            last = share
            print(f"{share:.3f}", flush=True)

    build(Path(sys.argv[1]), told, sys.stdin.fileno())
    print(DONE, flush=True)


if __name__ == "__main__":
    main()
