"""What a worker wishes for on behalf of a player: after which requests, for how long, and how much at a time."""

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from edge.clock import FakeClock
from edge.delivery import prefetch as module
from edge.delivery.places import Home, Place, Places
from edge.delivery.prefetch import IDLE, USUAL, WISHES_MOST, Prefetch
from edge.fill.messages import Fetch
from edge.policy.rules import RFC9111, SiteRules
from edge.server.request import Request

PLAYLIST = b'#EXTM3U\n#EXT-X-MAP:URI="i.mp4"\n' + b"".join(b"#EXTINF:4,\n%d.m4s\n" % n for n in range(1, 6))


class Timer:
    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self.seconds, self.call, self.cancelled = seconds, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Node:
    """A worker's delivery, as far as it is asked here; nothing waits, timers fire when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rules: SiteRules | None = None) -> None:
        self.places = Places([rules or SiteRules()], {0: Home(b"k" * 16)})
        self.clock = FakeClock()
        self.told: list[Fetch] = []
        self.withdrawn: list[Fetch] = []
        self.lists: dict[bytes, tuple[Any, bytes]] = {}
        self.timers: list[Timer] = []
        reader = SimpleNamespace(lookup=lambda _: None, lookup_live=self.lists.get, bring=self._bring)
        asker = SimpleNamespace(next_id=lambda: len(self.told), tell=self.told.append, withdraw=self.withdrawn.append)
        self.volumes = {0: SimpleNamespace(reader=reader, asker=asker, tasks=SimpleNamespace(spawn=self._spawn))}
        loop = SimpleNamespace(call_later=self._later)
        monkeypatch.setattr(module, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
        self.prefetch = Prefetch(self)  # type: ignore[arg-type]

    async def _bring(self, _: bytes) -> None:
        """All of the index is in memory."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None], _: str) -> None:
        with pytest.raises(StopIteration):
            coroutine.send(None)

    def _later(self, seconds: float, call: Callable[..., None], *args: object) -> Timer:
        self.timers.append(Timer(seconds, lambda: call(*args)))
        return self.timers[-1]

    def fetch_of(self, request: Request, place: Place, **more: Any) -> Fetch:
        return Fetch(
            self.volumes[0].asker.next_id(), more["mode"], place.rules.name, request.method, place.target, place.key,
            place.path, place.kind, start=more["start"], end=more["end"], ranged=more["ranged"],
        )  # fmt: skip

    def has_list(self, target: bytes, body: bytes = PLAYLIST) -> None:
        self.lists[self.places.find(b"h", target).name] = SimpleNamespace(flags=0), body

    def brought(self, target: bytes, method: bytes = b"GET", **fields: str) -> None:
        """As delivery does it when a fill has ended."""
        asked = request(target, method, **fields)
        place = self.places.find(b"h", target)
        if self.prefetch.leads(asked, place):
            self.prefetch.go_on(asked, place)

    @property
    def targets(self) -> list[bytes]:
        return [fetch.target for fetch in self.told]


def request(target: bytes, method: bytes = b"GET", **fields: str) -> Request:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    first = {b"host": b"h", **dict(given)}
    return Request(method, target, 1, given, first, True, not given, 0.0, "192.0.2.1", False)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(monkeypatch)


def test_a_wish_lasts_for_two_durations_and_is_withdrawn_when_nobody_has_come(node: Node) -> None:
    node.has_list(b"/t/list.m3u8")
    node.brought(b"/t/1.m4s")
    assert node.targets == [b"/t/i.mp4", b"/t/2.m4s", b"/t/3.m4s"]
    assert all(fetch.patient for fetch in node.told)
    assert {timer.seconds for timer in node.timers} == {IDLE * 4.0}
    node.timers[1].call()
    assert [fetch.target for fetch in node.withdrawn] == [b"/t/2.m4s"]


def test_a_player_that_goes_on_renews_it_and_what_it_has_asked_for_is_no_wish_any_more(node: Node) -> None:
    node.has_list(b"/t/list.m3u8")
    node.brought(b"/t/1.m4s")
    node.brought(b"/t/2.m4s")
    assert node.targets == [b"/t/i.mp4", b"/t/2.m4s", b"/t/3.m4s", b"/t/4.m4s"]  # none twice
    first, second, third, *later = node.timers
    assert second.cancelled  # it has come
    assert (first.cancelled, third.cancelled) == (True, True)  # renewed ...
    for timer in later:
        timer.call()  # ... and this time nobody has
    assert {fetch.target for fetch in node.withdrawn} == {b"/t/i.mp4", b"/t/3.m4s", b"/t/4.m4s"}


def test_two_neighbours_by_number_lead_to_one_more_that_lasts_as_long_as_usual(node: Node) -> None:
    for number in (7, 9, 8):
        node.brought(b"/t/seg-%d.ts" % number)
    assert node.targets == [b"/t/seg-9.ts"]
    assert node.timers[0].seconds == IDLE * USUAL


def test_a_list_that_names_it_as_the_last_one_ends_all_guesses(node: Node) -> None:
    node.has_list(b"/t/list.m3u8")
    node.brought(b"/t/4.m4s")
    node.told.clear()
    node.brought(b"/t/5.m4s")
    assert node.targets == []


def test_a_list_above_its_segments_is_found_and_one_of_another_title_is_not(node: Node) -> None:
    node.has_list(b"/t/film/list.m3u8", PLAYLIST.replace(b"\n1", b"\nv/1").replace(b"\n2", b"\nv/2"))
    node.has_list(b"/other/list.m3u8")
    node.brought(b"/t/film/v/1.m4s")
    assert b"/t/film/v/2.m4s" in node.targets
    assert all(target.startswith(b"/t/film/") for target in node.targets)


def test_wishes_are_bounded(node: Node) -> None:
    for title in range(WISHES_MOST):
        node.has_list(b"/%d/list.m3u8" % title)
        node.brought(b"/%d/1.m4s" % title)
    assert len(node.told) == WISHES_MOST


@pytest.mark.parametrize(
    ("target", "method", "fields"),
    [
        (b"/t/1.m4s", b"HEAD", {}),
        (b"/t/1.m4s", b"GET", {"edge_pass": "v=1"}),
        (b"/t/list.m3u8", b"GET", {}),
        (b"/t/i.mp4", b"GET", {}),
        (b"/t/1.mp4", b"GET", {}),
        (b"/t/1.key", b"GET", {}),
    ],
)
def test_not_every_answer_leads_on(node: Node, target: bytes, method: bytes, fields: dict[str, str]) -> None:
    node.has_list(b"/t/list.m3u8")
    node.brought(target, method, **fields)
    assert node.targets == []


@pytest.mark.parametrize("rules", [RFC9111, SiteRules(prefetch=0)])
def test_a_site_without_prefetch_wishes_for_nothing(monkeypatch: pytest.MonkeyPatch, rules: SiteRules) -> None:
    node = Node(monkeypatch, rules)
    node.has_list(b"/t/list.m3u8")
    node.brought(b"/t/1.m4s", cmcd_request='nor="2.m4s"')
    assert node.targets == []


def test_stretches_of_one_file_are_wished_for_as_stretches(node: Node) -> None:
    body = b"#EXTM3U\n" + b"".join(
        b"#EXTINF:4,\n#EXT-X-BYTERANGE:1000@%d\nf.mp4\n" % at for at in (0, 1000, 2000, 3000)
    )
    node.has_list(b"/t/list.m3u8", body)
    node.brought(b"/t/f.mp4", range="bytes=1000-1999")
    assert [(fetch.target, fetch.start, fetch.end) for fetch in node.told] == [(b"/t/f.mp4", 2000, 3000)]
