"""What a request's target means: its site, cache key, kind, and the volume and name under which it is kept.

Remembered, since players ask in crowds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.delivery.lists import Lists
from edge.delivery.memory import Memory
from edge.http.target import parse_target
from edge.media.cmcd import PARAMETER, without_parameter
from edge.media.kinds import kind_of
from edge.media.mime import content_type_for
from edge.policy.key import cache_key, origin_target
from edge.policy.rendezvous import ranked
from edge.policy.rules import SiteRules
from edge.store.names import name_of
from edge.words import Kind


@dataclass(slots=True)
class Place:
    """A resolved target. `target` is what the origin is asked: path and query, without what the key drops.

    `heeds`: what requests say of caching is honoured here.
    """

    rules: SiteRules
    key: bytes
    name: bytes
    kind: Kind
    path: bytes
    target: bytes
    mime: bytes | None
    heeds: bool
    volume: int = 0


@dataclass(frozen=True, slots=True)
class Home:
    """A volume that objects may live on: its secret, which is made with it and stays, and its size as a weight."""

    secret: bytes
    weight: float = 1.0

    @property
    def identity(self) -> bytes:
        """What it is called when objects are shared out: not its path, which may change."""
        return hashlib.blake2b(self.secret, digest_size=16, person=b"volume").digest()


class Places:
    """Resolves (Host, target); raises BadRequest for what is neither.

    `homes` are the volumes that serve now, by number, at least one.
    """

    def __init__(self, sites: Sequence[SiteRules], homes: Mapping[int, Home], remembered: int = 20_000) -> None:
        self.default = sites[0]
        self._by_host = {host.lower().encode(): rules for rules in sites for host in rules.hosts}
        self._remembered = remembered
        self.lists = Lists()
        self.settle(homes)

    def settle(self, homes: Mapping[int, Home]) -> None:
        """From now on objects live on these volumes: with one more or less, only its share of them moves."""
        self._homes = dict(homes)
        self._members = [(number, home.identity, home.weight) for number, home in sorted(homes.items())]
        self._memo: Memory[tuple[bytes | None, bytes], Place] = Memory(self._remembered)

    def find(self, host: bytes | None, target: bytes) -> Place:
        """The place of a target; the same for all spellings that mean the same key."""
        asked = host, target
        place = self._memo.get(asked)
        if place is None:
            if PARAMETER in target and (rest := without_parameter(target)) != target:
                return self.find(host, rest)  # what a player tells is another each time: not to be remembered
            place = self._resolve(host, target)
            self._memo.offer(asked, place)
        return place

    def _resolve(self, host: bytes | None, target: bytes) -> Place:
        found = parse_target(target, host)
        rules = self._by_host.get(found.host, self.default).at(found.path)
        # One site has one set of objects, whatever alias, port or scheme it is asked by: its name is the authority.
        site = rules.name.encode()
        key = cache_key(site, found.path, found.query, rules)
        members = self._members
        volume = members[0][0] if len(members) == 1 else ranked(key, members)[0]
        kind, asked = kind_of(found.path), origin_target(found.path, found.query, rules)
        if kind is Kind.PLAYLIST or kind is Kind.MANIFEST:
            self.lists.note(rules.name, asked)
        return Place(
            rules=rules,
            key=key,
            name=name_of(key, self._homes[volume].secret),
            kind=kind,
            path=found.path,
            target=asked,
            mime=content_type_for(found.path) if rules.mime_by_path else None,
            heeds=rules.honour_client_cache_control,
            volume=volume,
        )
