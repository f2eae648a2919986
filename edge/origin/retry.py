"""Trying again: what fails before the first byte may succeed a moment later, within one budget of time."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.breaker import State, Trial
from edge.origin.client import CANNOT_SERVE, OUR_OWN, OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest
from edge.words import Reason

MEMBERS_MOST: Final = 4  # of a group are asked for one answer, if the retries allow no more
TRIAL_WAIT: Final = 2.0  # seconds, and twice as long as its check took, for a member that may be back


class _Answered(Exception):
    """A status that is worth another try."""


def _serves(clients: Sequence[OriginClient], number: int) -> bool:
    """Is the next one another member, which serves as far as anybody knows?"""
    return number < len(clients) and clients[number].breaker.state is State.CLOSED


def _patience(client: OriginClient, left: float, trial: Trial | None, *, others: bool) -> float:
    """How long to wait for its head: a player's request that tries a member goes on to the next one early."""
    return min(left, TRIAL_WAIT + 2 * client.latency.last) if trial is not None and others else left


@asynccontextmanager
async def open_with_retries(
    clients: Sequence[OriginClient], request: UpstreamRequest, clock: Clock
) -> AsyncIterator[tuple[OriginClient, UpstreamResponse]]:
    """An answer, and who gave it, within `total_first_byte` seconds over all tries; the last try is what counts.

    A member that fails is followed by the next one at once; when all have been asked, the first again after a moment.
    To go on to a member that serves costs nothing of the budget: when one of two shields dies, all that it was asked
    fails at the same moment, and a breaker keeps what follows from asking it. Where it is our own line that is full,
    it does cost: what one member cannot take would be too much for the next one, too.
    A member that may be back is passed by while another request tries it, and by what can be sent once only. What a
    member only hands on, as a shield does its origin's 503, is the answer: it has had its tries there, and others would
    ask the same origin.
    Errors of the body, raised inside the caller's block, are the caller's: they are not retried here.
    """
    if not request.retry:
        clients = sorted(clients, key=lambda client: client.breaker.state is not State.CLOSED)
    settings = clients[0].settings
    deadline = clock.monotonic() + settings.total_first_byte
    tries = max(settings.retries + 1, min(len(clients), MEMBERS_MOST)) if request.retry else 1
    for attempt in range(tries):
        client, last = clients[attempt % len(clients)], attempt + 1 == tries
        others = _serves(clients, attempt + 1) and not last
        trial = client.breaker.take_trial()
        if trial is None and client.breaker.state is State.HALF_OPEN and others:
            continue
        entered = False
        try:
            left = deadline - clock.monotonic()
            if left <= 0:
                raise OriginError(Reason.FIRST_BYTE_TIMEOUT, "no time left for another try", retryable=False)
            async with client.fetch(request, _patience(client, left, trial, others=others)) as response:
                failed = response.status in CANNOT_SERVE and not response.relayed
                worth = failed and not last and deadline - clock.monotonic() > 1.0
                if worth and (others or client.may_retry()):
                    raise _Answered
                entered = True
                yield client, response
                return
        except _Answered:
            pass
        except OriginError as error:
            if entered or last or not error.retryable or deadline <= clock.monotonic():
                raise
            if (error.reason in OUR_OWN or not others) and not client.may_retry():
                raise
        finally:
            client.breaker.give_back(trial)
        if (attempt + 1) % len(clients) == 0:
            pause = random.uniform(*settings.retry_jitter)
            await asyncio.sleep(min(pause, max(0.0, deadline - clock.monotonic())))
