"""What every fill of a keeper works with; made once, in `desk`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cachetools import LRUCache, TTLCache

from edge.clock import Clock
from edge.fill.flight import Flight
from edge.fill.settings import FillSettings
from edge.fill.sinks import ScratchBudget
from edge.origin.client import OriginClient
from edge.policy.rules import SiteRules
from edge.store.thread import StoreThread
from edge.words import Kind


@dataclass(slots=True)
class Shop:
    """What a fill works with; one per keeper, wired in `desk`."""

    settings: FillSettings
    client: OriginClient
    store: StoreThread
    clock: Clock
    sites: Mapping[str, SiteRules]
    scratch: ScratchBudget
    slice_size: int
    secret: bytes  # the volume's, which keys the names
    landing: dict[bytes, Flight]  # all has come and is being kept: in a moment it is in the index
    alone: TTLCache[bytes, bool]  # names whose answers are not shareable
    rangeless: TTLCache[Kind, bool]  # kinds for which this upstream ignores Range, or has no strong validator
    spread: int = 0  # bytes asked for in pieces and not given out yet, of all fills
    sizes: LRUCache[bytes, int] = field(
        default_factory=lambda: LRUCache(4096)
    )  # directory of a path -> length of the last object from there

    def rules(self, site: str, path: bytes) -> SiteRules:
        """What holds for a path of a site."""
        return (self.sites.get(site) or next(iter(self.sites.values()))).at(path)
