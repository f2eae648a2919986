"""The Dockerfile's steps make a program that serves and passes its own health check, without root and read-only."""

import asyncio
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support.dockerfile import Image, build, steps, without_root
from tests.support.edgeproc import Edge, _read, client, describing_origin, end_edge, proven

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
# The build without a network: what the tests have installed stands in for the packages that pip would fetch.
INSTALLED = {
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip's own wording: 0 switches isolation off
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONPATH": sysconfig.get_path("purelib"),
}


def test_two_stages_no_root_and_the_signal_that_drains() -> None:
    words = [word for word, _ in steps(DOCKERFILE)]
    assert words.count("FROM") == 2
    said = dict(steps(DOCKERFILE)[words.index("FROM") + 1 :])
    assert said["USER"] == "edge"
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert "pip" not in " ".join(text for word, text in steps(DOCKERFILE)[-12:] if word == "RUN")


async def built(tmp_path: Path, **more: str) -> Image:
    become = without_root()
    if become is None:
        pytest.skip("no user but root, and no user namespace")
    image = Image(tmp_path, ROOT, become)
    text = DOCKERFILE.replace("RUN python ", f"RUN {Path(sys.executable).resolve()} ")
    await asyncio.to_thread(build, text, image, **more)
    return image


async def serves_as_shipped(image: Image, more: dict[str, str]) -> None:
    assert image.words["USER"] == "edge"
    async with describing_origin() as origin, client() as http:
        command = [*image.command("ENTRYPOINT"), *image.command("CMD"), "--origin", origin.url, "--workers", "1"]
        command = [re.sub(r"\[::\]:\d+", "127.0.0.1:0", part) for part in command]
        command += ["--cache-size", "256MiB"]
        program = shutil.which(command[0], path=image.environment()["PATH"])
        assert program is not None
        assert program.startswith(str(image.root))
        process = await asyncio.create_subprocess_exec(
            *image.become, program, *command[1:], cwd="/", env=image.environment() | more,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        edge = Edge(process)
        edge.reading = asyncio.create_task(_read(edge))  # type: ignore[attr-defined]
        try:
            await edge.wait_for_line("^ready$", 60)
            for _ in range(2):
                async with http.get(edge.url + "/s/100000/a.ts") as got:
                    proven("/s/100000/a.ts", await got.read())
            check = image.words["HEALTHCHECK"].partition("CMD ")[2].replace("127.0.0.1:9180", edge.admin[7:])
            image.words["check"] = check
            checked = await asyncio.to_thread(image.run, image.command("check"))
            assert checked.returncode == 0, checked.stderr
            assert await edge.stop() == 0
            gone = await asyncio.to_thread(image.run, image.command("check"))
            assert gone.returncode != 0
        finally:
            await end_edge(edge)


@pytest.mark.long
async def test_the_steps_make_an_image_that_serves_and_is_healthy(tmp_path: Path) -> None:
    image = await built(tmp_path, **INSTALLED)
    opt = image.path("/opt/edge")
    before = {path: path.lstat().st_mtime_ns for path in opt.rglob("*")}
    assert any(path.name == "edge" for path in before)
    await serves_as_shipped(image, {"PYTHONPATH": INSTALLED["PYTHONPATH"]})
    # A read-only root would have done: nothing was written but to the volume.
    assert {path: path.lstat().st_mtime_ns for path in opt.rglob("*")} == before


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_the_steps_with_every_package_fetched(tmp_path: Path) -> None:
    await serves_as_shipped(await built(tmp_path), {})
