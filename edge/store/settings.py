"""What a volume is told, what it tells its readers, and its figures."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from edge.store.eviction import Policy
from edge.words import MIB


@dataclass(frozen=True, slots=True)
class VolumeSettings:
    """Sizes in bytes; `index_dir` and `live_dir` may lie on other file systems."""

    size_bytes: int
    slice_size: int = MIB
    index_dir: Path | None = None
    live_dir: Path | None = None
    live_bytes: int = 64 * MIB
    index_map_bytes: int | None = None
    min_free_ratio: float = 0.05
    pack_size: int | None = None
    policy: Policy = Policy.POPULAR
    daily_writes: int = 0  # bytes a day that the disk may be written; 0 = no bound
    name: str = "cache"


Unmet = tuple[bool, str, str, str, int]  # soft, scope, site and text in hexadecimal, sequence: older is meant


@dataclass(frozen=True, slots=True)
class VolumeHello:
    """What a reader in another process needs to open the volume."""

    directory: str
    index_path: str
    live_path: str
    epoch: int
    secret: bytes
    suspect_from: int  # packs in [suspect_from, suspect_to) are verified before first use
    suspect_to: int
    slice_size: int
    index_map_bytes: int
    live_bytes: int
    version_cell: int = -1  # where the index's versions are counted (`version.Versions`); -1: nowhere
    off: bool = False  # its disk is bad: its objects are to live elsewhere
    writable: bool = True  # its disk is good
    unmet: tuple[Unmet, ...] = ()  # purges that are not in the index yet: readers go by them
    unmet_number: int = 0  # of this list, as the version cell has it

    def to_json(self) -> bytes:
        return json.dumps({**asdict(self), "secret": self.secret.hex()}).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        said = json.loads(raw)
        unmet = tuple((bool(soft), *map(str, texts), int(sequence)) for soft, *texts, sequence in said["unmet"])
        return cls(**{**said, "secret": bytes.fromhex(said["secret"]), "unmet": unmet})


@dataclass(frozen=True, slots=True)
class VolumeStats:
    """A moment's figures; counters since this keeper's start."""

    size_bytes: int
    max_bytes: int
    objects: int
    packs: int
    evictions: dict[str, int]
    evicted_bytes: int
    admissions: int
    rewritten_bytes: int
    rebuilding: bool
    rebuild_progress: float
