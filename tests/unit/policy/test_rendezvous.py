"""Weighted rendezvous hashing: shares by weight, and nothing moves that need not."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.policy.rendezvous import ranked, score

KEYS = [b"key-%d" % n for n in range(4000)]


def winners(members: list[tuple[int, bytes, float]]) -> dict[bytes, int]:
    return {key: ranked(key, members)[0] for key in KEYS}


def test_members_have_keys_in_proportion_to_their_weight() -> None:
    shares = Counter(winners([(0, b"a", 1.0), (1, b"b", 2.0), (2, b"c", 5.0)]).values())
    for number, weight in enumerate((1, 2, 5)):
        assert shares[number] / len(KEYS) == pytest.approx(weight / 8, abs=0.03)


def test_a_member_that_goes_takes_only_its_own_keys_with_it_and_a_new_one_takes_only_what_it_wins() -> None:
    three = [(0, b"a", 4e12), (1, b"b", 4e12), (2, b"c", 8e12)]
    before, after = winners(three), winners(three[:2])
    assert all(after[key] == before[key] for key in KEYS if before[key] != 2)
    moved = sum(before[key] == 2 for key in KEYS) / len(KEYS)
    assert moved == pytest.approx(0.5, abs=0.03)


def test_the_others_share_the_keys_of_one_that_goes() -> None:
    members = [(n, b"%d" % n, 1.0) for n in range(4)]
    before, after = winners(members), winners(members[1:])
    heirs = Counter(after[key] for key in KEYS if before[key] == 0)
    assert set(heirs) == {1, 2, 3}
    assert max(heirs.values()) < 1.3 * min(heirs.values())


@given(
    key=st.binary(max_size=200),
    members=st.lists(
        st.tuples(st.binary(min_size=1, max_size=64), st.floats(1e-3, 1e15)),
        min_size=1,
        max_size=8,
        unique_by=lambda m: m[0],
    ),
    seed=st.randoms(),
)
def test_the_order_in_which_members_are_named_does_not_matter(
    key: bytes, members: list[tuple[bytes, float]], seed: object
) -> None:
    numbered = [(n, identity, weight) for n, (identity, weight) in enumerate(members)]
    mixed = list(numbered)
    seed.shuffle(mixed)  # type: ignore[attr-defined]
    assert ranked(key, numbered) == ranked(key, mixed)
    assert all(score(key, identity, weight) > 0 for _, identity, weight in numbered)
