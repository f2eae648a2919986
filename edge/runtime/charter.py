"""What a child process is given: its role, its settings, the descriptors that it inherits."""

import json
import os
from dataclasses import dataclass, field
from typing import Self

from edge.config.schema import Settings


@dataclass(frozen=True, slots=True)
class Charter:
    """Passed as JSON in an inherited memfd. Descriptor numbers are the child's own."""

    role: str
    number: int
    settings: Settings
    link_path: str
    slot_fd: int
    hits_fd: int
    liveness_fd: int
    status_fd: int
    link_fd: int = -1
    listeners: tuple[tuple[int, bool], ...] = field(default=())

    def to_file(self) -> int:
        """A memfd with the charter; the caller closes it."""
        said = {name: getattr(self, name) for name in self.__slots__ if name != "settings"}
        said["settings"] = self.settings.model_dump(mode="json")
        fd = os.memfd_create("charter", os.MFD_CLOEXEC)
        os.write(fd, json.dumps(said).encode())
        return fd

    @classmethod
    def from_file(cls, fd: int) -> Self:
        raw = os.pread(fd, os.fstat(fd).st_size, 0)
        os.close(fd)
        said = json.loads(raw)
        said["settings"] = Settings.model_validate(said["settings"])
        said["listeners"] = tuple((int(number), bool(tls)) for number, tls in said["listeners"])
        return cls(**said)
