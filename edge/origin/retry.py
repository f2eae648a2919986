"""Trying again: what fails before the first byte may succeed a moment later, within one budget of time."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.breaker import State
from edge.origin.client import CANNOT_SERVE, OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest
from edge.words import Reason

MEMBERS_MOST: Final = 4  # of a group are asked for one answer, if the retries allow no more


class _Answered(Exception):
    """A status that is worth another try."""


def _serves(clients: Sequence[OriginClient], number: int) -> bool:
    """Is the next one another member, which serves as far as anybody knows?"""
    return number < len(clients) and clients[number].breaker.state is State.CLOSED


@asynccontextmanager
async def open_with_retries(
    clients: Sequence[OriginClient], request: UpstreamRequest, clock: Clock
) -> AsyncIterator[tuple[OriginClient, UpstreamResponse]]:
    """An answer, and who gave it, within `total_first_byte` seconds over all tries; the last try is what counts.

    A member that fails is followed by the next one at once; when all have been asked, the first again after a moment.
    To go on to a member that serves costs nothing of the budget: when one of two shields dies, all that it was asked
    fails at the same moment, and a breaker keeps what follows from asking it.
    Errors of the body, raised inside the caller's block, are the caller's: they are not retried here.
    """
    settings = clients[0].settings
    deadline = clock.monotonic() + settings.total_first_byte
    tries = max(settings.retries + 1, min(len(clients), MEMBERS_MOST)) if request.retry else 1
    for attempt in range(tries):
        client, last = clients[attempt % len(clients)], attempt + 1 == tries
        entered = False
        try:
            left = deadline - clock.monotonic()
            if left <= 0:
                raise OriginError(Reason.FIRST_BYTE_TIMEOUT, "no time left for another try", retryable=False)
            async with client.fetch(request, left) as response:
                worth = response.status in CANNOT_SERVE and not last and deadline - clock.monotonic() > 1.0
                if worth and (_serves(clients, attempt + 1) or client.may_retry()):
                    raise _Answered
                entered = True
                yield client, response
                return
        except _Answered:
            pass
        except OriginError as error:
            if entered or last or not error.retryable or deadline <= clock.monotonic():
                raise
            if not _serves(clients, attempt + 1) and not client.may_retry():
                raise
        if (attempt + 1) % len(clients) == 0:
            await asyncio.sleep(random.uniform(*settings.retry_jitter))
