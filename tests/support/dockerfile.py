"""A Dockerfile's steps, carried out in a plain directory, since there is no engine.

Absolute paths of the image lie below the directory; every RUN is executed by a user who is not root: where the tests
run as root, by one of a user namespace, with no capability.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Image:
    """What is known when all is done. `stages` has each stage's root."""

    root: Path
    context: Path
    become: tuple[str, ...]  # put before a command, it makes its user another one than root
    args: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)  # ENTRYPOINT, CMD, HEALTHCHECK, USER, ...
    workdir: str = "/"
    stages: dict[str, Path] = field(default_factory=dict)

    def path(self, name: str, root: Path | None = None) -> Path:
        return (root or self.root) / os.path.join(self.workdir, name).lstrip("/")

    def placed(self, text: str) -> str:
        """The image's own directories, as they lie here."""
        return re.sub(r"(?<![\w.:\]])/(opt/edge|var/cache/edge)", lambda found: str(self.path(found[0])), text)

    def command(self, word: str) -> list[str]:
        return [self.placed(part) for part in json.loads(self.words[word])]

    def run(self, command: list[str] | str, **more: str) -> subprocess.CompletedProcess[str]:
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        return subprocess.run(
            [*self.become, *words], cwd=self.path("."), env=self.environment() | more,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        here = {name: self.placed(value) for name, value in self.env.items()}
        path = here.pop("PATH", "$PATH").replace("$PATH", os.environ["PATH"])
        pip = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        return {"PATH": path, "HOME": str(self.root), "LANG": "C.UTF-8"} | pip | here


def without_root() -> tuple[str, ...] | None:
    """What makes a command run without root's rights; None: it cannot be had here."""
    if os.geteuid() != 0:
        return ()
    become = ("unshare", "--user", "--map-user=10001", "--map-group=10001")
    tried = subprocess.run([*become, "id", "-u"], capture_output=True, text=True, check=False)
    return become if tried.stdout == "10001\n" else None


def steps(text: str) -> list[tuple[str, str]]:
    """Instructions and what they say, comments and line ends taken away."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in joined.splitlines() if line.strip()]


def build(text: str, image: Image, **more: str) -> None:
    """Carry out all steps; `more` goes into the environment of what is run. AssertionError: a step failed."""
    base = image.root
    for word, said in steps(text):
        match word:
            case "ARG":
                name, _, value = said.partition("=")
                image.args[name] = value
            case "FROM":
                _, _, stage = said.partition(" AS ")
                image.workdir, image.env = "/", {}
                image.root = base / (stage or "image")
                image.root.mkdir()
                image.stages[stage] = image.root
            case "WORKDIR":
                image.workdir = said
                image.path(".").mkdir(parents=True)
            case "ENV":
                for pair in shlex.split(said):
                    name, _, value = pair.partition("=")
                    image.env[name] = value
            case "COPY":
                _copy(image, said)
            case "RUN":
                _run(image, said, more)
            case _:
                image.words[word] = said


def _copy(image: Image, said: str) -> None:
    *sources, target = said.split()
    root = image.context
    if sources[0].startswith("--from="):
        root = image.stages[sources.pop(0).removeprefix("--from=")]
    for source in sources:
        path = root / source.lstrip("/")
        goal = image.path(target)
        if path.is_dir():
            shutil.copytree(path, goal, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, goal / path.name if target.endswith("/") else goal)


def _run(image: Image, said: str, more: dict[str, str]) -> None:
    if said.startswith("useradd"):  # the machine's users are not ours to make; its home is
        home = re.search(r"--home-dir (\S+)", said)
        assert home is not None
        image.path(home[1]).mkdir(parents=True)
        return
    done = image.run(image.placed(said), **more)
    assert done.returncode == 0, f"{said}\n{done.stdout}{done.stderr}"
