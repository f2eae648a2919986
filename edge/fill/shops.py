"""What fills work with, by the upstream that a site's rules choose: by the settings in force, and by those before."""

from collections import ChainMap, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from cachetools import TTLCache

from edge.clock import Clock
from edge.fill.ahead import Ahead
from edge.fill.hottest import Hottest
from edge.fill.live import LiveDirectories
from edge.fill.messages import Fetch
from edge.fill.rangeless import Rangeless
from edge.fill.settings import FillSettings
from edge.fill.shop import Shop, Upstream
from edge.fill.sinks import ScratchBudget
from edge.policy.rules import SiteRules
from edge.store.thread import StoreThread

PAST: Final = 3  # settings of before that are remembered: workers of as many may be finishing, see `runtime.reload`


class Shops:
    """Of one keeper. `common` has what all of them share, `settings` goes for all flights."""

    def __init__(
        self,
        settings: FillSettings,
        store: StoreThread,
        upstreams: Mapping[str, Upstream],
        sites: Mapping[str, SiteRules],
        clock: Clock,
        prefetched: Callable[[str], None],
    ) -> None:
        """`upstreams`: by the name under which the rules of sites choose them; at least one."""
        self.settings = settings
        self._clock = clock
        self._sites, self._upstreams = dict(sites), dict(upstreams)
        self._past = deque[tuple[dict[str, SiteRules], dict[str, Upstream]]](maxlen=PAST)
        first = next(iter(upstreams.values()))
        hello = store.volume.hello
        self.common = Shop(
            settings=first.settings,
            group=first.group,
            store=store,
            clock=clock,
            sites=sites,
            scratch=ScratchBudget(settings),
            slice_size=hello.slice_size,
            secret=hello.secret,
            landing={},
            hottest=Hottest(settings.sibling_hits, settings.sibling_window, clock),
            ahead=Ahead(clock, prefetched, store.volume.popularity.hits),
            live=LiveDirectories(clock),
            alone=TTLCache(settings.pass_memory, settings.pass_seconds, timer=clock.monotonic),
            rangeless=Rangeless(settings.rangeless_seconds, clock),
        )
        self._shops = self._one_for_each(self._upstreams)

    def __repr__(self) -> str:
        return f"<Shops of {', '.join(self._upstreams)} and {len(self._past)} settings before>"

    def of(self, fetch: Fetch) -> Shop:
        """What is fetched for a site is fetched from its own upstream, and from no other."""
        return self._shops[self.rules(fetch).upstream]

    def rules(self, fetch: Fetch) -> SiteRules:
        """What holds for what is fetched."""
        return self.common.rules(fetch.site, fetch.path)

    def adopt(self, settings: FillSettings, sites: Mapping[str, SiteRules], upstreams: Mapping[str, Upstream]) -> None:
        """Go by new settings from the next fetch on; what is under way keeps its own.

        The rules of sites that are no more, and their upstreams, stay for a while: workers of before still ask, and
        must not have one site's object from the upstream of another.
        """
        before = self._upstreams
        self._past.appendleft((self._sites, before))
        if any(name not in before or before[name].group is not one.group for name, one in upstreams.items()):
            self.common.rangeless.clear()
        first = next(iter(upstreams.values()))
        self.settings = settings
        self.common = replace(
            self.common,
            hottest=Hottest(settings.sibling_hits, settings.sibling_window, self._clock),
            settings=first.settings,
            sites=dict(ChainMap({**sites}, *(known for known, _ in self._past))),
            group=first.group,
        )
        self._shops = self._one_for_each(ChainMap({**upstreams}, *(known for _, known in self._past)))
        self._sites, self._upstreams = dict(sites), dict(upstreams)

    def _one_for_each(self, upstreams: Mapping[str, Upstream]) -> dict[str, Shop]:
        shop = self.common
        return {
            name: shop if one.group is shop.group else replace(shop, settings=one.settings, group=one.group)
            for name, one in upstreams.items()
        }
