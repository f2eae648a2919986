"""What the store's thread is asked to do, and who waits for it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.errors import StoreError

Written = Callable[[Exception | None], None]


@dataclass(slots=True, eq=False)
class Call:
    """`answer`: who waits, until he is told; only the loop touches it. `size`: bytes that wait with it.

    `looks`: how often it was seen waiting. `patient`: he waits until it is done, however long that takes.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    answer: "Written | asyncio.Future[Any] | None"
    size: int
    looks: int = 0
    patient: bool = False

    def tell(self, result: Any, error: Exception | None) -> bool:
        """Tell who waits for it, once; False when nobody does (any more)."""
        answer, self.answer = self.answer, None
        if answer is None:
            return False
        if not isinstance(answer, asyncio.Future):
            answer(error)
            return True
        if answer.done():
            return False
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)
        return True


def no_answer() -> StoreError:
    """What all are told who wait for a disk that does not answer."""
    return StoreError("the disk does not answer")
