"""Short ways to write cases: fields as `Name: value`, steps by what they show."""

from collections.abc import Iterable
from typing import Any

from tests.conformance.case import Answer, Case, Fields, Step

SAME = "<what the origin says>"


def fields(*lines: str) -> Fields:
    """`Name: value` lines."""
    return tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))


def answer(*lines: str, **more: Any) -> Answer:
    """What the origin says."""
    return Answer(fields=fields(*lines), **more)


def step(
    origin: Answer | None = None,
    *,
    ask: Iterable[str] = (),
    status: int | None = None,
    body: str | None = SAME,
    **more: Any,
) -> Step:
    """A request with the fields `ask`. What the client gets is what the origin says, unless something else is told."""
    if origin is not None:
        status = origin.status if status is None else status
        body = origin.body if body is SAME else body
    expected: dict[str, Any] = {} if status is None else {"status": status}
    if body is not SAME:
        expected["body"] = body
    return Step(origin=origin, fields=fields(*ask), **expected, **more)


def case(id_: str, section: str, says: str, *steps: Step, video: bool = False) -> Case:
    return Case(id_, section, says, steps, video)


NEW = "another body"
FRESH = answer("Cache-Control: max-age=3600")
CHANGED = answer("Cache-Control: max-age=3600", body=NEW)
HIT = step()
AGAIN = step(CHANGED)


def kept(id_: str, section: str, says: str, *lines: str, video: bool = False, **more: Any) -> Case:
    """An answer that the next request gets from the cache."""
    first = answer(*lines, **more)
    second = step(status=first.status, body=first.body)
    return case(id_, section, says, step(first), second, video=video)


def not_kept(id_: str, section: str, says: str, *lines: str, video: bool = False, **more: Any) -> Case:
    """An answer after which the origin is asked again."""
    return case(id_, section, says, step(answer(*lines, **more)), AGAIN, video=video)
