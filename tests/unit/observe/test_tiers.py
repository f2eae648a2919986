"""Who the bytes of an answer came from."""

import pytest

from edge.observe.catalogue import Tier
from edge.observe.tiers import Tiers, tier_of
from edge.words import CacheStatus

TIERS = Tiers({"a:80": Tier.SHIELD, "b:80": Tier.SIBLING, "c:443": Tier.ORIGIN})


@pytest.mark.parametrize("member", ["", "a:80", "b:80", "c:443"])
@pytest.mark.parametrize("status", [CacheStatus.HIT, CacheStatus.STALE, CacheStatus.UPDATING, CacheStatus.REVALIDATED])
def test_what_is_stored_comes_from_the_volume_whoever_was_asked_about_it(status: CacheStatus, member: str) -> None:
    assert TIERS.of(status, member) is Tier.VOLUME
    assert tier_of(status) is Tier.VOLUME


@pytest.mark.parametrize("status", [CacheStatus.MISS, CacheStatus.EXPIRED, CacheStatus.BYPASS])
def test_what_is_fetched_comes_from_the_member_that_was_asked(status: CacheStatus) -> None:
    found = {member: TIERS.of(status, member) for member in ("a:80", "b:80", "c:443")}
    assert found == {"a:80": Tier.SHIELD, "b:80": Tier.SIBLING, "c:443": Tier.ORIGIN}
    assert tier_of(status) is Tier.ORIGIN


@pytest.mark.parametrize("member", ["", "new:80"])
def test_a_member_that_nobody_knows_counts_as_an_origin(member: str) -> None:
    assert TIERS.of(CacheStatus.MISS, member) is Tier.ORIGIN
