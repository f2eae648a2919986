"""Who the bytes of an answer came from: this node's volumes, or the member that was asked for them."""

from collections.abc import Mapping
from typing import Final

from edge.observe.catalogue import FROM_CACHE, Tier
from edge.words import CacheStatus

STORED: Final = FROM_CACHE | {CacheStatus.REVALIDATED}  # a 304 brings no bytes: what is stored is sent


def tier_of(status: CacheStatus) -> Tier:
    """For those who were not told whom an answer was fetched from."""
    return Tier.VOLUME if status in STORED else Tier.ORIGIN


class Tiers:
    """`members` = what each member of the upstream is, by the name under which keepers tell of it.

    One that is not among them counts as an origin: keepers may know of it a moment before a worker does.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Tier]) -> None:
        self._members = members

    def __repr__(self) -> str:
        return f"<Tiers {dict(self._members)}>"

    def of(self, status: CacheStatus, member: str) -> Tier:
        """`member` = who was asked, empty if nobody was, or nobody has answered."""
        return Tier.VOLUME if status in STORED else self.of_member(member)

    def of_member(self, member: str) -> Tier:
        return self._members.get(member, Tier.ORIGIN)
