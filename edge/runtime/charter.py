"""What a child process is given: its role, its settings, the descriptors that it inherits."""

import json
import os
import tempfile
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from edge.config.schema import Settings

SETTINGS: Final = "settings.json"


def lay_down(settings: Settings, runtime_dir: str) -> None:
    """Write settings where children that run already find them; the directory is private."""
    fd, draft = tempfile.mkstemp(dir=runtime_dir)
    with open(fd, "w") as file:
        json.dump(settings.to_json(), file)
    os.replace(draft, Path(runtime_dir) / SETTINGS)


def read_settings(runtime_dir: str) -> Settings:
    """What was laid down; OSError or ValueError when that cannot be read."""
    return Settings.from_json(json.loads((Path(runtime_dir) / SETTINGS).read_text()))


@dataclass(frozen=True, slots=True)
class Charter:
    """Passed as JSON in an inherited memfd. Descriptors keep their numbers from parent to child.

    `entry` names the coroutine function that plays the role, as `module:function`; `listeners` are pairs of a
    listening socket and whether TLS is spoken there. A keeper accepts from `link_fd`; a worker connects to
    `links`, pairs of a volume's number and its keeper's path. A keeper's number is its volume's. `log_secret` (hex)
    keys the hashes of addresses in the access log; it is in nobody's file and goes with the supervisor.
    """

    role: str
    number: int
    settings: Settings
    links: tuple[tuple[int, str], ...]
    slot_fd: int
    hits_fd: int
    liveness_fd: int
    status_fd: int
    link_fd: int = -1
    listeners: tuple[tuple[int, bool], ...] = ()
    entry: str = ""
    runtime_dir: str = ""
    owed: tuple[dict[str, Any], ...] = ()  # purges that a volume has yet to do: nobody is served what they name
    left: int = 0  # how often workers had left this keeper's volume by what is in `owed`
    distrust: bool = False  # the keeper before has died of what may be its index
    log_secret: str = field(default="", repr=False)

    @property
    def fades_hits(self) -> bool:
        """Of a keeper: is it the one of a node that does? The first volume of those that can be used is its own."""
        return self.number == min(volume for volume, _ in self.links)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that the child inherits, but the charter itself."""
        shared = (self.slot_fd, self.hits_fd, self.liveness_fd, self.status_fd)
        link = (self.link_fd,) if self.link_fd >= 0 else ()
        return (*shared, *link, *(fd for fd, _ in self.listeners))

    def to_file(self) -> int:
        """A memfd with the charter; the caller closes it."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        said["settings"] = self.settings.to_json()
        fd = os.memfd_create("charter", os.MFD_CLOEXEC)
        with open(os.dup(fd), "wb") as file:  # writes the whole, however many calls that takes
            file.write(json.dumps(said).encode())
        return fd

    @classmethod
    def from_file(cls, fd: int) -> Self:
        """The charter in a memfd, which is closed."""
        with open(fd, "rb") as file:
            file.seek(0)
            said = json.loads(file.read())
        said["settings"] = Settings.from_json(said["settings"])
        said["listeners"] = tuple((int(number), bool(tls)) for number, tls in said["listeners"])
        said["links"] = tuple((int(number), str(path)) for number, path in said["links"])
        said["owed"] = tuple(said["owed"])
        return cls(**said)
