"""`python -m edge.demo.bound PARENT DIRECTORY serve ...`: `python -m edge serve ...` that ends with the demo.

The kernel sends SIGTERM when the parent dies, by `kill -9` too; then the edge stops in order, and its directory goes.
"""

import ctypes
import os
import runpy
import shutil
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def main(argv: list[str]) -> None:
    """Run the edge with the arguments after PARENT and DIRECTORY; SystemExit has its exit code."""
    parent, directory, *arguments = argv
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it died before the promise was made
        sys.exit(1)
    sys.argv[1:] = arguments
    try:
        runpy.run_module("edge", run_name="__main__", alter_sys=True)
    finally:
        if os.getppid() != int(parent):
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
