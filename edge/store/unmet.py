"""Purges that are not in the index yet: readers go by them until they are.

A volume that cannot be written can note no purge and forget nothing, and one that comes back has some to make up for.
What they name is seen by nobody meanwhile (or as stale): keeper and workers judge each record by the same list.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from edge.policy.purges import Purge, Scope
from edge.store.purgelog import EVERYTHING, EVERYTHING_STALE, Logged, Purged
from edge.store.settings import Unmet

TOLD_MOST: Final = 48_000  # characters of a hello, which is one datagram; beyond it everything is meant


def with_more(known: Purged, whats: Iterable[Purge], sequence: int) -> Purged:
    """A list of its own: others may be reading the one that there is."""
    return Purged.of([*known.since(-1), *((what, Logged(sequence, 0)) for what in whats)])


def without(known: Purged, whats: Iterable[Purge], sequence: int, hidden: Iterable[int] = ()) -> Purged:
    """These have been done, for all that is older than that, and so are others with everything.

    `hidden`: they were meanwhile, by these numbers.
    """
    done, own = set(whats), max([sequence, *hidden])
    hard, soft = EVERYTHING in done, EVERYTHING in done or EVERYTHING_STALE in done

    def is_over(what: Purge, number: int) -> bool:
        return (what in done and number <= own) or ((soft if what.soft else hard) and number <= sequence)

    return Purged.of((what, logged) for what, logged in known.since(-1) if not is_over(what, logged.sequence))


def to_hello(unmet: Purged) -> tuple[Unmet, ...]:
    """As workers are told; what is too much to tell becomes all that is as old."""
    told = [_told(what, logged.sequence) for what, logged in unmet.since(-1)]
    if sum(len(site) + len(text) + 40 for _, _, site, text, _ in told) <= TOLD_MOST:
        return tuple(told)
    hard = any(not soft for soft, *_ in told)
    return (_told(Purge(Scope.PREFIX, b"", soft=not hard), unmet.newest),)


def from_hello(told: Sequence[Unmet]) -> Purged | None:
    """None: there is nothing to go by."""
    if not told:
        return None
    return Purged.of(
        (Purge(Scope(scope), bytes.fromhex(text), bytes.fromhex(site), soft), Logged(sequence, 0))
        for soft, scope, site, text, sequence in told
    )


def _told(what: Purge, sequence: int) -> Unmet:
    return what.soft, what.scope.value, what.site.hex(), what.text.hex(), sequence
