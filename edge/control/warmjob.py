"""A warm job as a value with its progress, and the file that it survives a restart in."""

import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from edge.control.asks import WarmAsk

FAILURES_KEPT: Final = 20  # the first ones: they tell what is wrong, a million of them no more


class State(StrEnum):
    WAITING = "waiting"  # for its turn, or its window
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


OVER: Final = frozenset({State.DONE, State.CANCELLED})


@dataclass(slots=True)
class Job:
    """`urls` is None until the lists that the job names have been read; `position`: those before it are done."""

    id: str
    ask: WarmAsk
    created: float
    state: State = State.WAITING
    urls: list[str] | None = None
    position: int = 0
    present: int = 0  # were there, whole and fresh
    fetched: int = 0
    failed: int = 0
    refused: int = 0  # answers that may not be kept, and errors
    length: int = 0  # bytes that came from upstream
    seconds: float = 0.0  # at work
    failures: list[str] = field(default_factory=list)

    def note_failure(self, url: str, why: str) -> None:
        self.failed += 1
        self.note(url, why)

    def note(self, url: str, why: str) -> None:
        """Of what did not come, or was not kept."""
        if len(self.failures) < FAILURES_KEPT:
            self.failures.append(f"{url}: {why}")

    def told(self) -> dict[str, Any]:
        """What an operator is shown. `eta` = seconds, by the pace so far."""
        total = len(self.urls) if self.urls is not None else 0
        left = total - self.position
        eta = self.seconds / self.position * left if self.position else None
        return {
            "id": self.id,
            "state": self.state.value,
            "total": total if self.urls is not None else None,
            "done": self.position,
            "present": self.present,
            "fetched": self.fetched,
            "refused": self.refused,
            "failed": self.failed,
            "length": self.length,
            "seconds": round(self.seconds, 1),
            "mbit_per_second": round(self.length * 8e-6 / self.seconds, 2) if self.seconds > 0 else 0.0,
            "eta": round(eta, 1) if eta is not None and self.state not in OVER else None,
            "failures": self.failures,
        }

    def save(self, directory: Path) -> None:
        """Replace its file; whoever reads it meanwhile gets the old one whole."""
        said = {**asdict(self), "ask": self.ask.model_dump(mode="json")}
        path = directory / f"{self.id}.json"
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(said))
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """ValueError, KeyError or TypeError: not a job of ours."""
        said = json.loads(path.read_text())
        job = cls(**{**said, "ask": WarmAsk.model_validate(said["ask"]), "state": State(said["state"])})
        if job.state is State.RUNNING:
            job.state = State.WAITING
        return job
