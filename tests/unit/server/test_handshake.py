"""What a loop reports while TLS listeners are there."""

import asyncio
from typing import Any

from edge.server.handshake import QuietHandshakes

LEFT = {"message": "SSL handshake failed", "exception": ConnectionResetError}


async def test_only_a_client_that_left_amid_the_handshake_is_not_reported() -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    quiet = QuietHandshakes(loop)
    loop.call_exception_handler(dict(LEFT))
    assert heard == []
    for other in (
        {"message": "SSL handshake failed", "exception": RuntimeError("a bug")},
        {"message": "something else", "exception": ConnectionResetError},
        {"message": "no exception at all"},
    ):
        loop.call_exception_handler(other)
        assert heard.pop() == other
    quiet.remove()
    loop.call_exception_handler(dict(LEFT))
    assert len(heard) == 1


async def test_without_a_handler_the_loops_own_is_asked(caplog: Any) -> None:
    loop = asyncio.get_running_loop()
    quiet = QuietHandshakes(loop)
    loop.call_exception_handler({"message": "something else"})
    assert "something else" in caplog.text
    quiet.remove()
    assert loop.get_exception_handler() is None


async def test_whoever_came_later_is_not_removed() -> None:
    loop = asyncio.get_running_loop()
    quiet = QuietHandshakes(loop)

    def later(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        raise AssertionError(context)

    loop.set_exception_handler(later)
    quiet.remove()
    assert loop.get_exception_handler() is later
    loop.set_exception_handler(None)
