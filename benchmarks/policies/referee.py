"""Published policies over a trace, run by libcachesim; byte hit ratio counted after the warm-up.

libcachesim reads `oracleGeneral` records: time u32, object u64, size u32, index of the next request of the same
object i64 (Belady looks at it), little-endian without padding.
"""

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import libcachesim as lcs
import numpy as np

from benchmarks.policies.workload import UNIT, Floats, Ints

RECORD = np.dtype([("time", "<u4"), ("object", "<u8"), ("size", "<u4"), ("next", "<i8")])
POLICIES = {
    "FIFO": lcs.FIFO,
    "LRU": lcs.LRU,
    "SIEVE": lcs.Sieve,
    "S3-FIFO": lcs.S3FIFO,
    "W-TinyLFU": lcs.WTinyLFU,
    "Belady": lcs.Belady,
}


@dataclass(frozen=True, slots=True)
class Requests:
    """What a cache is asked for, in order: object numbers and bytes."""

    objects: Ints
    sizes: Ints
    times: Floats | None = None


def next_request(objects: Ints) -> Ints:
    """For each request the index of the next one for the same object, or 2^62."""
    order = np.argsort(objects, kind="stable")
    follows = np.full(len(objects), 1 << 62, dtype=np.int64)
    same = objects[order[1:]] == objects[order[:-1]]
    follows[order[:-1][same]] = order[1:][same]
    return follows


class Referee:
    """A trace in a file of its own; leave the `with` and it is gone."""

    def __init__(self, requests: Requests) -> None:
        rows = np.empty(len(requests.objects), dtype=RECORD)
        rows["time"] = np.arange(len(rows)) if requests.times is None else requests.times.astype(np.int64)
        rows["object"] = requests.objects + 1
        rows["size"] = requests.sizes // UNIT
        rows["next"] = next_request(requests.objects)
        self._directory = tempfile.TemporaryDirectory(prefix="edge-policy-")
        self._path = Path(self._directory.name) / "trace.oracleGeneral"
        rows.tofile(self._path)

    def __enter__(self) -> "Referee":
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def run(self, policy: str, cache_bytes: int, marks: Ints, *, by_bytes: bool = True) -> Floats:
        """Hit ratio of each window between two marks (indices of requests), in one run over the trace."""
        reader = lcs.TraceReader(str(self._path), lcs.TraceType.ORACLE_GENERAL_TRACE, lcs.ReaderInitParam())
        cache = POLICIES[policy](cache_size=int(cache_bytes) // UNIT, hashpower=20)
        ratios = []
        for start, end in pairwise(marks):
            missed, missed_bytes = cache.process_trace(reader, int(start), int(end - start))
            ratios.append(1 - (missed_bytes if by_bytes else missed))
        return np.asarray(ratios)
