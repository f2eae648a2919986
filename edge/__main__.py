"""`python -m edge` and the command `edge`: Ctrl-C is quiet while the first modules are still being imported, too."""

import sys


def main() -> int:
    """The verb's exit code."""
    try:
        from edge.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130  # as `edge.cli.main` says it, once it is there


if __name__ == "__main__":
    sys.exit(main())
