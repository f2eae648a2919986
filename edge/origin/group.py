"""An upstream: a group of members, and which of them is asked for an object.

Shields come before origins. Among those of one role the selection decides; members whose breaker is open come last.
Siblings share the objects out among themselves and us, by rendezvous hash: the owner of one is asked before any
shield, and a sibling that is away owns nothing until it is back.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.origin.breaker import State
from edge.origin.client import OriginClient
from edge.origin.probe import Prober
from edge.policy.rendezvous import score
from edge.tasks import Tasks


class MemberRole(StrEnum):
    """What a member is; those named first are asked first."""

    SIBLING = "sibling"
    SHIELD = "shield"
    ORIGIN = "origin"


class Selection(StrEnum):
    """How a member is chosen among those of its role."""

    RENDEZVOUS = "rendezvous"  # by object: each has a member of its own, and few move when one comes or goes
    PRIMARY_BACKUP = "primary-backup"  # as they are written; the next one only when the first fails
    LEAST_LATENCY = "least-latency"  # as their first bytes came lately


@dataclass(frozen=True, slots=True)
class Member:
    """One server of an upstream."""

    client: OriginClient
    weight: float = 1.0
    role: MemberRole = MemberRole.ORIGIN

    @property
    def identity(self) -> bytes:
        return self.client.pool.address.identity


@dataclass(frozen=True, slots=True)
class Own:
    """This server, as its siblings name it: they and we have to share objects out alike."""

    identity: bytes
    weight: float = 1.0


class Group:
    """At least one member that is no sibling."""

    def __init__(
        self,
        members: Sequence[Member],
        selection: Selection = Selection.RENDEZVOUS,
        *,
        own: Own | None = None,
        fallback: bool = True,
    ) -> None:
        """`own`: this server among its siblings. `fallback` False: where there are shields, no origin is asked."""
        self.members = tuple(members)
        self._selection = selection
        self._own = own
        self._siblings = [member for member in self.members if member.role is MemberRole.SIBLING]
        shields, origins = (
            [member for member in self.members if member.role is role]
            for role in (MemberRole.SHIELD, MemberRole.ORIGIN)
        )
        self._probers = [Prober(member.client, checks=len(self.members) > 1) for member in self.members]
        self._warming: dict[OriginClient, asyncio.Task[None]] = {}
        self._tasks = Tasks("upstream")
        self._tiers = [shields, origins] if fallback or not shields else [shields]

    @classmethod
    def of(cls, client: OriginClient) -> "Group":
        """Only one."""
        return cls((Member(client),))

    def __repr__(self) -> str:
        return f"<Group {[member.client for member in self.members]}>"

    def owner(self, key: bytes) -> Member | None:
        """The sibling that keeps this object; None if we do."""
        best, highest = None, score(key, self._own.identity, self._own.weight) if self._own is not None else 0.0
        for sibling in self._siblings:
            wanted = _score(key, sibling)
            if wanted > highest and sibling.client.breaker.serves:
                best, highest = sibling, wanted
        return best

    def order(self, key: bytes, *, siblings: bool = True) -> list[OriginClient]:
        """Who is to be asked for this object, the first one first. `key`: the same on every edge. Changes nothing.

        One that may be back is the first of its objects; `open_with_retries` has one request at a time try it.
        `siblings` False: a sibling asks us, and it had its reason.
        """
        if len(self.members) == 1:
            return [self.members[0].client]
        owner = self.owner(key) if siblings and self._siblings else None
        able: list[OriginClient] = [] if owner is None else [owner.client]
        others: list[OriginClient] = []
        for tier in self._tiers:
            for member in self._ranked(key, tier):
                breaker = member.client.breaker
                serves = breaker.state is State.CLOSED or (not able and breaker.serves)
                (able if serves else others).append(member.client)
        return able + others

    def _ranked(self, key: bytes, tier: Iterable[Member]) -> list[Member]:
        match self._selection:
            case Selection.RENDEZVOUS:
                return sorted(tier, key=lambda member: _score(key, member), reverse=True)
            case Selection.LEAST_LATENCY:
                return sorted(tier, key=_latency)
            case Selection.PRIMARY_BACKUP:
                return list(tier)

    @property
    def spare(self) -> bool:
        """Has a member connections that nobody needs now?"""
        return any(member.client.pool.spare for member in self.members)

    # -- all of them -----------------------------------------------------------------------------

    def look(self) -> None:
        """Call it often: members are probed, those that are away are checked, when that is due."""
        for prober in self._probers:
            prober.look()

    def tend(self) -> list[asyncio.Task[None]]:
        """Call it each second: `look`, and have connections kept, see `Pool.keep_warm`.

        Each member has a round of its own: one that takes no connections holds up no other.
        """
        self.look()
        begun = []
        for member in self.members:
            client = member.client
            if client not in self._warming or self._warming[client].done():
                self._warming[client] = self._tasks.spawn(client.pool.keep_warm(), f"warm {client.member}")
                begun.append(self._warming[client])
        return begun

    async def keep_warm(self) -> None:
        """The same, and wait for the rounds that begin now."""
        await asyncio.gather(*self.tend())

    def retire(self) -> None:
        """Keep nothing any more: each connection is closed when its exchange is over."""
        for member in self.members:
            member.client.pool.retire()

    async def close(self) -> None:
        await self._tasks.close()
        for prober in self._probers:
            await prober.close()
        for member in self.members:
            await member.client.close()


def _score(key: bytes, member: Member) -> float:
    return score(key, member.identity, member.weight * member.client.breaker.share)


def _latency(member: Member) -> float:
    return member.client.latency.expected(member.client.pool.path.rtt)
