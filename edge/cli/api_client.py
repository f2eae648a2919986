"""How the verbs reach a running server: its control socket, found by its cache directory, or TCP with a token."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

OK, REFUSED, WRONG = 0, 1, 2
SECONDS: Final = 600.0  # of a purge that is counted in millions


class Refused(Exception):
    """What the server said, or that there is none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the server is."""
    where = parser.add_argument_group("the server")
    where.add_argument("--config", metavar="FILE", type=Path, help="the file that it runs with")
    where.add_argument("--cache-dir", metavar="DIR", type=Path, help="its (first) cache directory")
    where.add_argument("--admin", metavar="URL", help="its admin listener, host:9180, with --token-file")
    where.add_argument("--token-file", metavar="FILE", type=Path, help="with the bearer token of an operator")


class Client:
    """`call` asks, and gives what the API answers; Refused: why not."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._socket = None if args.admin else _socket_of(args)
        base = args.admin or "http://edge"
        self._base = (base if "://" in base else f"http://{base}").rstrip("/")
        self._token = read_file("--token-file", args.token_file).strip() if args.token_file else ""

    @property
    def where(self) -> str:
        """The server's address, for people."""
        return self._socket or self._base

    def call(self, method: str, path: str, body: object = None, **query: str) -> dict[str, Any]:
        """One request."""
        return asyncio.run(self.ask(method, path, body, **query))

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> dict[str, Any]:
        status, text = await self._exchange(method, path, body, query)
        try:
            told: dict[str, Any] = json.loads(text)
        except ValueError:
            raise self._not_ours(status) from None
        if status != 200:
            raise Refused(str(told.get("error", text[:200])))
        return told

    def text(self, path: str) -> str:
        """What is not JSON, as it is."""
        status, text = asyncio.run(self._exchange("GET", path, None, {}))
        if status != 200:
            raise self._not_ours(status)
        return text

    async def _exchange(self, method: str, path: str, body: object, query: dict[str, str]) -> tuple[int, str]:
        import aiohttp

        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        timeout = aiohttp.ClientTimeout(total=SECONDS)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
                session.request(method, self._base + path, json=body, params=query) as got,
            ):
                return got.status, await got.text()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            why = getattr(error, "os_error", error)
            said = getattr(why, "strerror", None) or str(why) or type(why).__name__
            hint = "" if self._socket else " (--admin: its admin listener, host:9180, not the players')"
            raise Refused(f"{self.where}: the server cannot be reached: {said}{hint}") from error

    def _not_ours(self, status: int) -> Refused:
        return Refused(
            f"{self.where}: what answers there ({status}) is not an edge's admin listener: "
            "--admin is the address of [admin] listen, host:9180"
        )


def read_file(flag: str, path: Path) -> str:
    """What an operator has named; `-` is stdin."""
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise Refused(f"{flag} {str(path)!r}: cannot be read: {why}") from error


def number(least: float, most: float, *, whole: bool = False) -> Callable[[str], Any]:
    """For argparse: a number within bounds; else it says which."""

    def read(text: str) -> float:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            kind = "a whole number" if whole else "a number"
            raise argparse.ArgumentTypeError(f"{text!r}: write {kind} from {least:g} to {most:g}")
        return value

    return read


def _socket_of(args: argparse.Namespace) -> str:
    from edge.config.load import ConfigErrors, load_settings

    directories = [args.cache_dir] if args.cache_dir else []
    if not directories:
        try:
            directories = [Path(volume.path) for volume in load_settings(args.config).volumes]
        except ConfigErrors as wrong:
            raise Refused(str(wrong)) from wrong
    for directory in directories:
        try:
            named = directory / "control"
            return (
                str(named.readlink()) if named.is_symlink() else str(named.read_text().strip())
            )  # see `holdings._point_to`
        except OSError:
            continue
    named = ", ".join(map(str, directories))
    raise Refused(f"no server runs with the cache directory {named}: say where it is (--config, --cache-dir, --admin)")


def told(run: Any, args: argparse.Namespace) -> int:
    """Run a verb's body; its exit code, with the reason on stderr where it was refused."""
    try:
        return int(run(Client(args), args))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(error, file=sys.stderr)
        return WRONG
