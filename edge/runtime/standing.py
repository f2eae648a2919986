"""How it stands with one URL on this node: what is stored of it, what a request would lead to, who would be asked."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edge.config.schema import Settings
from edge.origin.breaker import State
from edge.origin.group import MemberRole, Own, Selection
from edge.origin.settings import Address
from edge.policy.decide import Decision, decide, may_serve_on_error
from edge.policy.rendezvous import score
from edge.runtime import convert
from edge.runtime.convert import SaidMember
from edge.store.reader import Reader
from edge.store.record import Extent, Flag, Record
from edge.store.variants import lists_of
from edge.words import DAYS, HOURS, MINUTES, ORIGIN, CacheStatus

SLICES_MOST: Final = 1000  # runs of slices that are told; an object has one or two
FLAGS: Final = {
    Flag.STRONG: "strong validator", Flag.NO_CACHE: "no-cache", Flag.MUST_REVALIDATE: "must-revalidate",
    Flag.IMMUTABLE: "immutable", Flag.VARIES: "varies", Flag.STALE: "purged softly", Flag.WHOLE: "whole or nothing",
}  # fmt: skip


def stored_of(reader: Reader, record: Record, body: bytes | None, now: float) -> dict[str, Any]:
    """What the index says of an object, and which of its slices are there."""
    told: dict[str, Any] = {
        "status": record.status,
        "length": record.total,
        "generation": record.generation,
        "age": round(now - record.base_time, 1),
        "fresh_for": round(record.fresh_until - now, 1),
        "fresh_until": _instant(record.fresh_until),
        "stale_while_revalidate_until": _instant(record.fresh_until + record.stale_while_revalidate),
        "stale_if_error_until": _instant(record.fresh_until + record.stale_if_error),
        "flags": [name for flag, name in FLAGS.items() if record.flags & flag],
        "etag": record.etag.decode("latin-1"),
        "tags": [tag.decode("latin-1") for tag in record.tags],
        "in_memory": body is not None,
    }
    if record.flags & Flag.VARIES:
        told["varies_by"] = [[name.decode("latin-1") for name in names] for names in lists_of(record)]
        return told
    return told | _slices(reader, record, body)


def _slices(reader: Reader, record: Record, body: bytes | None) -> dict[str, Any]:
    size = record.slice_size
    count = -(-record.total // size)
    if body is not None:
        return {
            "complete": True,
            "slice_size": size,
            "slices": count,
            "slices_stored": count,
            "stored": [],
            "missing": [],
        }
    runs = list(extents(reader, record))
    missing, position = [], 0
    for run in runs:
        if run.start > position:
            missing.append([position, run.start])
        position = max(position, run.end)
    if position < record.total:
        missing.append([position, record.total])
    lacking = {number for start, end in missing for number in range(start // size, -(-end // size))}
    return {
        "complete": not missing,
        "slice_size": size,
        "slices": count,
        "slices_stored": count - len(lacking),
        "stored": [{"start": run.start, "end": run.end, "pack": run.pack, "offset": run.offset} for run in runs],
        "missing": missing,
    }  # fmt: skip


def extents(reader: Reader, record: Record) -> Iterator[Extent]:
    """What is stored of an object, in order. A hole is looked over slice by slice."""
    position, told = 0, 0
    while position < record.total and told < SLICES_MOST:
        extent = reader.extent_at(record, position)
        if extent is None:
            position = position - position % record.slice_size + record.slice_size
            continue
        yield extent
        position, told = extent.end, told + 1


def outcome(record: Record | None, told: Mapping[str, Any] | None, now: float) -> tuple[str, str]:
    """The cache status that a plain GET would have now, and why. A range may be there where the whole is not."""
    if record is None or told is None:
        return CacheStatus.MISS.value, "nothing is stored"
    if record.flags & Flag.VARIES:
        return "", "the answer is chosen by the request's fields: see varies_by"
    asked = bool(record.flags & (Flag.NO_CACHE | Flag.STALE))
    must = bool(record.flags & Flag.MUST_REVALIDATE)
    decision = decide(record.fresh_until, record.stale_while_revalidate, must, asked, now)
    lacks = "" if told["complete"] else f"; {len(told['missing'])} missing runs are fetched from there on"
    if decision is Decision.SERVE_FRESH:
        return CacheStatus.HIT.value, f"fresh for {_told(record.fresh_until - now)}{lacks}"
    if decision is Decision.SERVE_STALE_AND_REFRESH:
        return CacheStatus.UPDATING.value, f"stale, served while it is renewed{lacks}"
    conditional = "by its validator" if record.validatable else "as a whole"
    error = ""
    if may_serve_on_error(record.fresh_until, record.stale_if_error, must, now):
        error = "; served stale if that fails"
    why = "purged softly or no-cache" if asked else "stale"
    return CacheStatus.EXPIRED.value, f"{why}: the upstream is asked first, {conditional}{error}"


def asked_of(settings: Settings, key: bytes, states: Mapping[str, str], upstream: str = ORIGIN) -> list[dict[str, Any]]:
    """Who would be asked for an object, as `order_of` has it."""
    return [
        {"member": name_of_member(member), "role": member.role.value, "breaker": _state(member, states)}
        for member in order_of(settings, key, states, upstream)
    ]


def order_of(settings: Settings, key: bytes, states: Mapping[str, str], upstream: str = ORIGIN) -> list[SaidMember]:
    """Whom a keeper would ask for an object, the first one first: its owner among the siblings, shields, origins.

    `states` = how each member's breaker stands. By least-latency the order is the keeper's own knowledge: not told.
    """
    members, origin = convert.members(settings, upstream), settings.origin_of(upstream)
    ranked = origin.selection is Selection.RENDEZVOUS
    owner = _owner(convert.own(settings, upstream), members, key, states)
    tiers = [[member for member in members if member.role is role] for role in (MemberRole.SHIELD, MemberRole.ORIGIN)]
    if tiers[0] and not origin.fallback:
        del tiers[1]
    able: list[SaidMember] = [owner] if owner is not None else []
    others: list[SaidMember] = []
    for tier in tiers:
        for member in sorted(tier, key=lambda member: _score(key, member), reverse=True) if ranked else tier:
            state = _state(member, states)
            serves = state == State.CLOSED.value or (not able and state == State.HALF_OPEN.value)
            (able if serves else others).append(member)
    return able + others


def _owner(own: Own | None, members: Sequence[SaidMember], key: bytes, states: Mapping[str, str]) -> SaidMember | None:
    """The sibling that keeps an object; None: we do, or there are none. One that is away owns nothing."""
    best, highest = None, score(key, own.identity, own.weight) if own is not None else 0.0
    for member in members:
        serves = _state(member, states) != State.OPEN.value
        if member.role is MemberRole.SIBLING and serves and _score(key, member) > highest:
            best, highest = member, _score(key, member)
    return best


def _score(key: bytes, member: SaidMember) -> float:
    return score(key, Address.of(member.origin.url).identity, member.weight)


def name_of_member(member: SaidMember) -> str:
    """As metrics and logs have it: host, port and base path."""
    return Address.of(member.origin.url).member


def _state(member: SaidMember, states: Mapping[str, str]) -> str:
    return states.get(name_of_member(member), State.CLOSED.value)


def breakers(series: Mapping[tuple[str, ...], float], upstream: str) -> dict[str, str]:
    """Of an upstream: member -> state, from the gauge's series (upstream, member, state); the worst where keepers
    differ."""
    order = [state.value for state in (State.CLOSED, State.HALF_OPEN, State.OPEN)]
    found: dict[str, str] = {}
    for (group, member, state), value in series.items():
        if group == upstream and value and order.index(state) >= order.index(found.get(member, order[0])):
            found[member] = state
    return found


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _told(seconds: float) -> str:
    """As people say it: to a tenth of what is its unit."""
    for unit, size in (("d", DAYS), ("h", HOURS), ("min", MINUTES)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
