"""Tries that follow each other: with a pause that differs each time, and no more of them than the budget has."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from edge.clock import FakeClock
from edge.errors import OriginError
from edge.origin.breaker import FAILURES
from edge.origin.budget import RETRIES_MOST, RETRIES_PER_REQUEST, RETRIES_PER_SECOND
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.retry import TRIAL_WAIT, open_with_retries
from edge.origin.settings import OriginSettings, UpstreamRequest
from edge.words import Reason

LEAST, MOST = 0.1, 0.4  # seconds
SETTINGS = OriginSettings("http://o.example", retries=2, total_first_byte=9.5, retry_jitter=(LEAST, MOST))
GET = UpstreamRequest(b"GET", b"/")


class Scripted(OriginClient):
    """Answers with `status`, or fails if that is 0, `seconds` later; with its own budget of retries and breaker."""

    def __init__(self, bench: "Bench", status: int = 0, seconds: float = 0.0, **more: object) -> None:
        super().__init__(SETTINGS, bench.clock)
        self._bench, self._status, self._seconds = bench, status, seconds
        self._relayed = bool(more.pop("relayed", False))
        self.more = more
        self.sent = 0
        self.left: list[float] = []

    @asynccontextmanager
    async def fetch(  # type: ignore[override]
        self, request: UpstreamRequest, timeout: float = 0.0
    ) -> AsyncIterator[UpstreamResponse]:
        self._bench.told.append(self)
        self.sent += 1
        self.left.append(timeout)
        self._retries.earn()
        self._bench.clock.advance(self._seconds)
        if self._status == 0:
            self.breaker.failed()
            raise OriginError(self.more.get("reason", Reason.CONNECT_FAILED), retryable=self.more.get("retryable"))  # type: ignore[arg-type]
        yield SimpleNamespace(status=self._status, relayed=self._relayed)  # type: ignore[misc]


class Bench:
    """`told` has what happened in its order: a try is its client, a pause its seconds. Pauses take no time here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.told: list[Scripted | float] = []
        random.seed(20261130)
        monkeypatch.setattr("edge.origin.retry.asyncio.sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.told.append(seconds)
        self.clock.advance(seconds)

    @property
    def pauses(self) -> list[float]:
        return [one for one in self.told if isinstance(one, float)]

    async def ask(self, *clients: Scripted, request: UpstreamRequest = GET) -> int:
        """The status of the answer, 0 for none."""
        try:
            async with open_with_retries(clients, request, self.clock) as (_, response):
                return response.status
        except OriginError:
            return 0


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


@pytest.mark.parametrize("status", [0, 502, 503, 504])
async def test_before_each_further_try_there_is_a_pause_within_its_bounds(bench: Bench, status: int) -> None:
    client = Scripted(bench, status)
    assert await bench.ask(client) == status
    first, second = bench.pauses
    assert bench.told == [client, first, client, second, client]
    assert LEAST <= first <= MOST
    assert LEAST <= second <= MOST


async def test_no_two_pauses_are_alike_so_that_what_failed_together_comes_back_one_by_one(bench: Bench) -> None:
    for _ in range(20):
        await bench.ask(Scripted(bench))
    assert len(set(bench.pauses)) == len(bench.pauses) == 40
    third = (MOST - LEAST) / 3
    assert LEAST <= min(bench.pauses) < LEAST + third
    assert MOST - third < max(bench.pauses) <= MOST


async def test_the_next_member_is_asked_at_once_and_the_first_one_again_after_a_pause(bench: Bench) -> None:
    one, other = Scripted(bench), Scripted(bench)
    assert await bench.ask(one, other) == 0
    (pause,) = bench.pauses
    assert bench.told == [one, other, pause, one]
    assert LEAST <= pause <= MOST


async def test_there_is_no_pause_before_the_first_try_nor_after_an_answer_or_the_last_one(bench: Bench) -> None:
    assert await bench.ask(Scripted(bench, 200)) == 200
    assert await bench.ask(Scripted(bench, 404)) == 404
    assert await bench.ask(Scripted(bench, retryable=False)) == 0
    assert await bench.ask(Scripted(bench), request=UpstreamRequest(b"POST", b"/", retry=False)) == 0
    assert bench.pauses == []
    assert len(bench.told) == 4


async def test_pauses_and_tries_share_one_budget_of_time(bench: Bench) -> None:
    client = Scripted(bench, seconds=4.0)
    begun = bench.clock.monotonic()
    await bench.ask(client)
    assert client.left[0] == SETTINGS.total_first_byte
    assert all(later < sooner - 4.0 for sooner, later in zip(client.left, client.left[1:], strict=False))
    late = Scripted(bench, seconds=9.4)
    begun = bench.clock.monotonic()
    await bench.ask(late)
    assert late.sent == 1, "the pause has used up what was left"
    assert bench.clock.monotonic() - begun <= SETTINGS.total_first_byte + MOST


async def test_an_upstream_that_fails_all_is_asked_a_fifth_more_beyond_a_first_stock(bench: Bench) -> None:
    client, asked = Scripted(bench), 1000
    begun = bench.clock.monotonic()
    for _ in range(asked):
        await bench.ask(client)
    seconds = bench.clock.monotonic() - begun
    retries = client.sent - asked
    assert retries == len(bench.pauses)
    assert retries <= RETRIES_MOST + RETRIES_PER_REQUEST * client.sent + RETRIES_PER_SECOND * seconds
    assert retries >= RETRIES_PER_REQUEST * asked, "what the budget has is used"


async def test_an_empty_budget_ends_tries_without_a_pause_and_gives_out_what_the_upstream_said(bench: Bench) -> None:
    client = Scripted(bench, 503)
    while client.may_retry():
        pass
    assert await bench.ask(client) == 503
    assert bench.told == [client]


@pytest.mark.parametrize("status", [0, 503])
async def test_to_a_member_that_serves_one_goes_without_a_budget_but_not_to_one_that_is_away(
    bench: Bench, status: int
) -> None:
    one, other = Scripted(bench, status), Scripted(bench, 200)
    while one.may_retry():
        pass
    assert await bench.ask(one, other) == 200
    for _ in range(FAILURES):
        other.breaker.failed()
    assert await bench.ask(one, other) == status
    assert bench.told == [one, other, one]


async def test_where_our_own_line_is_full_the_next_member_is_asked_within_the_budget_only(bench: Bench) -> None:
    """What one cannot take would be too much for the next one, too, and at last for the origin."""
    one, other = Scripted(bench, reason=Reason.QUEUE_FULL), Scripted(bench, 200)
    assert await bench.ask(one, other) == 200
    while one.may_retry():
        pass
    one.more["reason"] = Reason.QUEUE_FULL
    assert await bench.ask(one, other) == 0
    assert bench.told == [one, other, one]


async def test_an_answer_that_a_member_only_hands_on_is_not_asked_for_again_anywhere(bench: Bench) -> None:
    one, other = Scripted(bench, 503, relayed=True), Scripted(bench, 200)
    assert await bench.ask(one, other) == 503
    assert bench.told == [one]


async def test_a_member_that_may_be_back_is_tried_by_one_that_goes_on_early_and_passed_by_meanwhile(
    bench: Bench,
) -> None:
    one, other = Scripted(bench, 0), Scripted(bench, 200)
    for _ in range(FAILURES):
        one.breaker.failed()
    one.breaker.probed(well=True)
    one.latency.answered(0.5)  # its check
    trial = one.breaker.take_trial()
    assert await bench.ask(one, other) == 200
    assert bench.told == [other]
    one.breaker.give_back(trial)
    assert await bench.ask(one, other) == 200
    assert bench.told == [other, one, other]
    assert one.left == [TRIAL_WAIT + 2 * 0.5]
    assert other.left[-1] == SETTINGS.total_first_byte
    alone = Scripted(bench, 200)
    for _ in range(FAILURES):
        alone.breaker.failed()
    alone.breaker.probed(well=True)
    assert await bench.ask(alone) == 200
    assert alone.left == [SETTINGS.total_first_byte], "nobody else could be asked"


async def test_what_can_be_sent_once_only_tries_nobody(bench: Bench) -> None:
    one, other, post = Scripted(bench, 0), Scripted(bench, 200), UpstreamRequest(b"POST", b"/", retry=False)
    for _ in range(FAILURES):
        one.breaker.failed()
    one.breaker.probed(well=True)
    assert await bench.ask(one, other, request=post) == 200
    assert bench.told == [other]
    for _ in range(FAILURES):
        other.breaker.failed()
    assert await bench.ask(one, other, request=post) == 0
    assert bench.told == [other, one], "nobody else serves"


async def test_what_breaks_an_answer_that_was_given_out_is_not_tried_again_here(bench: Bench) -> None:
    client = Scripted(bench, 200)
    with pytest.raises(OriginError):
        async with open_with_retries([client], GET, bench.clock):
            raise OriginError(Reason.TRUNCATED)
    assert bench.told == [client]
