"""Fills from an S3-compatible server that verifies AWS signatures."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from edge.clock import SystemClock
from edge.origin.client import OriginClient
from edge.origin.group import Group
from edge.origin.sigv4 import S3Settings, S3Signer
from edge.words import KIB
from tests.support.fillbench import QUICK, fill_bench

BODY = os.urandom(300 * KIB)
REGION = "eu-north-1"
NAMES = ("vod/a.ts", "vod/b 1.ts")


@asynccontextmanager
async def verifying_server() -> AsyncIterator[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.support.s3server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(dict.fromkeys(NAMES, base64.b64encode(BODY).decode())).encode() + b"\n")
        async with asyncio.timeout(60):
            yield json.loads(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


def credentials(path: Path, key_id: str, secret: str) -> Path:
    path.write_text(f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
    return path


async def test_a_bucket_is_read_with_a_signature_whole_and_in_ranges_and_not_without(tmp_path: Path) -> None:
    async with verifying_server() as server:
        right = credentials(tmp_path / "right", server["key_id"], server["secret"])
        wrong = credentials(tmp_path / "wrong", server["key_id"], server["secret"] + "x")
        patient = replace(QUICK, url=server["url"] + "/films/vod", first_byte_timeout=10.0, total_first_byte=12.0)

        def signing(file: Path | None) -> Group:
            clock = SystemClock()
            by = S3Signer(S3Settings(REGION, file), clock, secure=False) if file is not None else None
            return Group.of(OriginClient(patient, clock, signer=by))

        for number, (file, status) in enumerate(((None, 403), (wrong, 403), (right, 200))):
            directory = tmp_path / str(number)
            directory.mkdir()
            async with fill_bench(directory, server["url"], grouped=lambda _, file=file: signing(file)) as bench:  # type: ignore[misc]
                got = await bench.get("/a.ts")
                assert got.record.status == status
                if status == 200:
                    assert got.bytes() == BODY
                    part = await bench.get("/b%201.ts", 100 * KIB, 200 * KIB)
                    assert part.bytes() == BODY[100 * KIB : 200 * KIB]
                    assert (await bench.get("/none.ts")).record.status == 404
