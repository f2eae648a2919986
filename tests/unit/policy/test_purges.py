"""Which objects a purge means."""

import pytest

from edge.policy.purges import Purge, Scope


@pytest.mark.parametrize(
    ("scope", "text", "key", "meant"),
    [
        (Scope.KEY, b"site/a", b"site/a", True),
        (Scope.KEY, b"site/a", b"site/a?b", False),
        (Scope.PATH, b"site/a", b"site/a", True),
        (Scope.PATH, b"site/a", b"site/a?b", True),
        (Scope.PATH, b"site/a", b"site/ab", False),
        (Scope.PREFIX, b"site/a", b"site/ab/c", True),
        (Scope.PREFIX, b"site/a", b"site/b", False),
        (Scope.TAG, b"film", b"site/x", True),
        (Scope.TAG, b"fil", b"site/x", False),
    ],
)
def test_a_purge_means_what_its_scope_says(scope: Scope, text: bytes, key: bytes, meant: bool) -> None:
    assert Purge(scope, text).matches(key, (b"film", b"series")) is meant


def test_a_tag_may_be_bound_to_one_site() -> None:
    bound = Purge(Scope.TAG, b"film", site=b"one")
    assert bound.matches(b"one/x", (b"film",))
    assert not bound.matches(b"other/x", (b"film",))
    assert not bound.matches(b"one-more/x", (b"film",))
