"""What was looked at, how it is, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    GOOD = "good"
    NOTE = "note"  # it works, and could be better
    WRONG = "wrong"  # players will notice


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` is a command or a setting, and why; empty where all is good."""

    area: str
    what: str
    state: State
    found: str
    mend: str = ""


def judged(area: str, what: str, found: str, *, good: bool, mend: str, else_: State = State.NOTE) -> Finding:
    """GOOD, or what is to be said otherwise."""
    return Finding(area, what, State.GOOD if good else else_, found, "" if good else mend)


def worst(findings: Sequence[Finding]) -> State:
    states = {finding.state for finding in findings}
    return next((state for state in (State.WRONG, State.NOTE) if state in states), State.GOOD)
