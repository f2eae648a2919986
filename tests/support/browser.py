"""A headless Chromium, driven by its debugging protocol."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@asynccontextmanager
async def page(url: str, profile: Path) -> AsyncIterator["Tab"]:
    """A headless Chromium that has opened `url`."""
    assert CHROMIUM is not None
    flags = "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
    command = [
        CHROMIUM,
        *flags.split(),
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
        "about:blank",
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while b"DevTools listening" not in (line := await process.stderr.readline()):
                assert line, "Chromium did not start"
        drain = asyncio.create_task(process.stderr.read())
        port = line.decode().split("127.0.0.1:")[1].split("/")[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json") as got:
                tab = next(tab for tab in await got.json() if tab["type"] == "page")
            async with http.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                found = Tab(socket)
                await found.call("Page.navigate", url=url)
                yield found
        process.terminate()
        await drain
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._id = 0

    async def call(self, method: str, **params: object) -> dict[str, object]:
        self._id += 1
        await self._socket.send_json({"id": self._id, "method": method, "params": params})
        async for message in self._socket:
            said = json.loads(message.data)
            if said.get("id") == self._id:
                return said.get("result", {})  # type: ignore[no-any-return]
        raise AssertionError("Chromium has gone")

    async def eval(self, text: str) -> object:
        result = await self.call("Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True)
        return result.get("result", {}).get("value")  # type: ignore[attr-defined]

    async def until(self, text: str, seconds: float = 30.0) -> object:
        async with asyncio.timeout(seconds):
            while not (value := await self.eval(text)):
                await asyncio.sleep(0.1)
            return value
