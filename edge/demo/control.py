"""What tests ask of an origin beside its objects: counts, requests, new versions, gates. Answers are JSON.

/_counts                {path: how often}                 /_counts?by=range   {path: {Range or "": how often}}
/_requests?path=P       the last requests with fields     /_reset             forget both
/_bump?path=P           begin a new version               /_release?path=P    let all go on that are held
/_hold?path=P&at=N      hold answers back after N body bytes; without `at` before the head
/_waiting?path=P        how many answers are held
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from edge.demo.ledger import Ledger
from edge.demo.wishes import WrongWish

NO_STORE: Final = ("Cache-Control", "no-store")
FIELDS: Final = (("Content-Type", "application/json"), NO_STORE)
PLAIN: Final = (("Content-Type", "text/plain"), NO_STORE)
PATHS: Final = ("/_counts", "/_requests", "/_reset", "/_bump", "/_hold", "/_release", "/_waiting")


def command(ledger: Ledger, path: str, query: Mapping[str, Sequence[str]]) -> bytes | None:
    """Carry out a command and tell the result; None if the path is no command. WrongWish: an option is missing."""
    if path not in PATHS:
        return None
    return json.dumps(_result(ledger, path, query)).encode() + b"\n"


def _result(ledger: Ledger, path: str, query: Mapping[str, Sequence[str]]) -> Any:
    about = query.get("path", [""])[-1]
    match path:
        case "/_counts" if query.get("by", [""])[-1] == "range":
            return {path: dict(counts) for path, counts in ledger.ranges.items()}
        case "/_counts":
            return dict(ledger.counts)
        case "/_requests":
            return [asdict(asked) for asked in ledger.requests if about in ("", asked.path)]
        case "/_reset":
            ledger.reset()
            return "ok"
    if not about.startswith("/"):
        raise WrongWish(f"{path}?path=/...: which object?")
    match path:
        case "/_bump":
            return {"path": about, "version": ledger.bump(about)}
        case "/_hold":
            ledger.hold(about, _byte(query))
            return {"path": about, "held": True}
        case "/_release":
            return {"path": about, "released": ledger.release(about)}
        case _:
            return {"path": about, "waiting": ledger.waiting(about)}


def _byte(query: Mapping[str, Sequence[str]]) -> int | None:
    text = query.get("at", [""])[-1]
    if text and not (text.isascii() and text.isdigit()):
        raise WrongWish(f"at={text}: a number of bytes")
    return int(text) if text else None
