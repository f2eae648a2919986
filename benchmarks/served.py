"""The real server and the model of its packs on the same trace: byte hit ratio of the second half.

    python -m benchmarks.served [--requests 24000] [--share 0.2] [--divisor 16] [--restart] [--law bent]

A day of `benchmarks.policy`'s workload, smaller (40 titles, objects of a fraction of their size) and played as fast as
the server answers, one request after the other. `--restart`: the server is stopped and started anew half way.
"""

import argparse
import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import bench
from benchmarks.policies import served
from benchmarks.policies.workload import Law, Shape, Trace, generate, reduced


async def replay(trace: Trace, capacity: int, directory: Path, *, restart: bool) -> float:
    """The server's byte hit ratio in the second half."""
    half, end = len(trace.objects) // 2, len(trace.objects)
    sizes = served.sizes_of(trace)
    paths = list(sizes)
    size = ("--cache-size", str(capacity))
    async with served.origin(sizes) as url:
        with ExitStack() as stack:
            edge = stack.enter_context(bench.edge(directory, url, *size, core=None))
            await served.play(edge.url, trace, paths, 0, half)
            if restart:
                stack.pop_all().close()
                edge = stack.enter_context(bench.edge(directory, url, *size, core=None))
            return (await served.play(edge.url, trace, paths, half, end)).ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=24_000)
    parser.add_argument("--titles", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.2, help="cache, of the footprint")
    parser.add_argument("--divisor", type=int, default=16, help="of the objects' sizes")
    parser.add_argument("--law", type=Law, default=Law.BENT)
    parser.add_argument("--restart", action="store_true", help="stop and start the server half way")
    options = parser.parse_args()
    shape = Shape(options.law, titles=options.titles, requests=options.requests, days=1)
    trace = reduced(generate(shape), options.divisor, seconds=60)
    capacity = int(options.share * trace.footprint)
    requests = len(trace.objects)  # a small trace may have some less than asked for
    expected = [100 * ratio for ratio in served.expected(trace, capacity, from_half=True)]
    began = time.monotonic()
    with bench.scratch_directory() as directory:
        found = asyncio.run(replay(trace, capacity, directory, restart=options.restart))
    print(
        f"{options.law}, {requests} requests, footprint {trace.footprint / 1e9:.2f} GB, cache {capacity / 1e6:.0f} MB: "
        f"server {100 * found:.2f} %, model {sum(expected) / len(expected):.2f} % (caches of 3 % less to 3 % more: "
        f"{min(expected):.2f} to {max(expected):.2f}); {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
