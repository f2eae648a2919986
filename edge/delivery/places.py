"""What a request's target means: its site, cache key, name and kind. Remembered, since players ask in crowds."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.delivery.memory import Memory
from edge.http.target import parse_target
from edge.media.kinds import kind_of
from edge.media.mime import content_type_for
from edge.policy.key import cache_key
from edge.policy.rules import SiteRules
from edge.store.names import name_of
from edge.words import Kind


@dataclass(slots=True)
class Place:
    """A resolved target. `target` is what the origin is asked: path and query, without what the key drops."""

    rules: SiteRules
    key: bytes
    name: bytes
    kind: Kind
    path: bytes
    target: bytes
    mime: bytes | None


class Places:
    """Resolves (Host, target); raises BadRequest for what is neither."""

    def __init__(self, sites: Sequence[SiteRules], secret: bytes, remembered: int = 20_000) -> None:
        self.default = sites[0]
        self._by_host = {host.lower().encode(): rules for rules in sites for host in rules.hosts}
        self._secret = secret
        self._memo: Memory[tuple[bytes | None, bytes], Place] = Memory(remembered)

    def find(self, host: bytes | None, target: bytes) -> Place:
        """The place of a target; the same for all spellings that mean the same key."""
        asked = host, target
        place = self._memo.get(asked)
        if place is None:
            place = self._resolve(host, target)
            self._memo.put(asked, place)
        return place

    def _resolve(self, host: bytes | None, target: bytes) -> Place:
        found = parse_target(target, host)
        rules = self._by_host.get(found.host, self.default)
        # One site has one set of objects, whatever alias, port or scheme it is asked by: its name is the authority.
        site = rules.name.encode()
        key = cache_key(site, found.path, found.query, rules)
        return Place(
            rules=rules,
            key=key,
            name=name_of(key, self._secret),
            kind=kind_of(found.path),
            path=found.path,
            target=key[len(site) :],
            mime=content_type_for(found.path),
        )
