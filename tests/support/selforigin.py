"""The self-describing origins for tests, under one name: the right one (aiohttp) and the one that breaks the wire."""

import asyncio

from edge.demo.describing import Mismatch, body_slice, check, version_of
from edge.demo.faults import Fault
from edge.demo.faulty_origin import FaultyOrigin
from edge.demo.ledger import Asked, Ledger
from edge.demo.origin_server import Origin
from tests.support.edgeproc import Describing, describing_origin, proven

__all__ = [
    "Asked",
    "Describing",
    "Fault",
    "FaultyOrigin",
    "Ledger",
    "Mismatch",
    "Origin",
    "body_slice",
    "check",
    "describing_origin",
    "proven",
    "raw_answer",
    "version_of",
]


async def raw_answer(port: int, path: str, *fields: str, method: str = "GET") -> bytes:
    """All bytes of an answer until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *fields]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
