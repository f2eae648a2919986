"""Players, edges, shields and an origin: nodes of several tiers as real processes."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.edgeproc import Edge, running_edge


def upstream(url: str, role: str) -> str:
    return f'[[upstream]]\nurl = "{url}"\nrole = "{role}"\n'


@asynccontextmanager
async def node(
    directory: Path,
    name: str,
    upstreams: Sequence[str],
    *,
    listen: str = "127.0.0.1:0",
    server: str = "",
    more: str = "",
) -> AsyncIterator[Edge]:
    """One server with a cache of its own; `upstreams` are sections, `server` and `more` further lines."""
    config = directory / f"{name}.toml"
    log = directory / f"{name}.log"
    config.write_text(
        f'[server]\nlisten = ["{listen}"]\nworkers = 1\nnode = "{name}"\n{server}\n'
        f'[admin]\nlisten = "127.0.0.1:0"\n'
        f'[cache]\ndir = "{directory / name}"\nsize = "64MiB"\n'
        f'[log]\naccess = "{log}"\nanonymise = "off"\n' + more + "\n".join(upstreams)
    )
    async with running_edge(None, "", "--config", str(config), listen=False) as edge:
        yield edge


def kill_whole(edge: Edge) -> None:
    """All processes of a node at once, as if its machine had lost power."""
    os.killpg(edge.process.pid, signal.SIGKILL)
