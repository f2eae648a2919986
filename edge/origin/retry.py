"""Trying again: what fails before the first byte may succeed a moment later, within one budget of time."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from edge.clock import Clock
from edge.errors import OriginError
from edge.origin.client import OriginClient
from edge.origin.response import UpstreamResponse
from edge.origin.settings import UpstreamRequest
from edge.words import Reason

RETRY_STATUS: Final = frozenset({502, 503, 504})


class _Answered(Exception):
    """A status that is worth another try."""


@asynccontextmanager
async def open_with_retries(
    client: OriginClient, request: UpstreamRequest, clock: Clock
) -> AsyncIterator[UpstreamResponse]:
    """An answer within `total_first_byte` seconds over all tries; the last try's answer or error is what counts.

    Errors of the body, raised inside the caller's block, are the caller's: they are not retried here.
    """
    settings = client.settings
    deadline = clock.monotonic() + settings.total_first_byte
    retries = settings.retries if request.retry else 0
    for attempt in range(retries + 1):
        last = attempt == retries
        entered = False
        try:
            left = deadline - clock.monotonic()
            if left <= 0:
                raise OriginError(Reason.FIRST_BYTE_TIMEOUT, "no time left for another try", retryable=False)
            async with client.fetch(request, left) as response:
                worth = response.status in RETRY_STATUS and not last and deadline - clock.monotonic() > 1.0
                if worth and client.may_retry():
                    raise _Answered
                entered = True
                yield response
                return
        except _Answered:
            pass
        except OriginError as error:
            if entered or last or not error.retryable or deadline <= clock.monotonic() or not client.may_retry():
                raise
        await asyncio.sleep(random.uniform(*settings.retry_jitter))
