"""The purges of a volume: noted for ever, then done in steps."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from edge.policy.purges import Purge, Scope
from edge.store.numbers import Numbers
from edge.store.opening import Opened
from edge.store.purgelog import EVERYTHING_STALE, Purged
from edge.store.purging import Purging
from edge.store.tallies import Tallies
from edge.store.unmet import with_more, without
from edge.store.version import UNMET_MOST


class Purges:
    """Of one volume: noted for ever, done in steps, and done to their end by the next run if this one is killed."""

    def __init__(self, opened: Opened, tallies: Tallies, numbers: Numbers) -> None:
        self._opened, self._tallies, self._numbers = opened, tallies, numbers
        self.log = opened.purges
        self.unmet, self.unmet_number = Purged(), 0  # what could not be noted, or is yet to be; replaced, never changed
        self.on_unmet: Callable[[int], object] = lambda _: None  # it has another number
        self._left: int | None = None  # number of what a killed run had begun, and is unmet since

    def __repr__(self) -> str:
        return f"<Purges {self.log}>"

    def _purging(self, whats: Sequence[Purge], sequence: int, before: int, *, dry: bool = False) -> Purging:
        return Purging(self._opened.index, self._opened.live, self._tallies, whats, sequence, before, dry=dry)

    def begin(self, whats: Sequence[Purge], before: int) -> Purging:
        """Note purges for ever and return what is to be done; OSError: it cannot be noted. See `Purging`."""
        number = self._numbers.next_sequence()
        self._log(whats, number)
        purging = self._purging(whats, number, before)
        purging.begin()
        return purging

    def note(self, key: bytes, sequence: int) -> None:
        """A deletion that no journal can take: other variants of its key go with it if the index is lost.

        On a disk that has failed nothing can be made durable: requests go on.
        """
        with suppress(OSError):
            self._log([Purge(Scope.KEY, key)], sequence)

    def _log(self, whats: Sequence[Purge], sequence: int) -> None:
        oldest = min(self._opened.packs.all, default=0)
        self.log.append(whats, sequence, self._opened.counter.next_pack - 1, oldest)

    def count(self, whats: Sequence[Purge]) -> Purging:
        """The same, only counting."""
        purging = self._purging(whats, self._numbers.sequence, self._numbers.generation, dry=True)
        purging.begin()
        return purging

    def hide(self, whats: Sequence[Purge]) -> int:
        """From now on nobody is to see what they name, and is as old as this; until they are `met`.

        Called in the store's thread, or elsewhere while that is held up in a call. Returns the first number that is
        not as old.
        """
        sequence = self._numbers.sequence + 1
        self._know_unmet(with_more(self.unmet, whats, sequence))
        return sequence

    def hide_what_is_seen(self, whats: Sequence[Purge]) -> bool:
        """Hide those that are not hidden yet; to do so again would hide what has come since. Was there any?"""
        hidden = {what for what, _ in self.unmet.since(-1)}
        seen = [what for what in whats if what not in hidden]
        if seen:
            self.hide(seen)
        return bool(seen)

    def forget_live(self, whats: Sequence[Purge], before: int) -> None:
        """What is short-lived goes all the same: its table is in memory."""
        self._purging(whats, self._numbers.sequence, before).begin()

    def met(self, whats: Sequence[Purge], sequence: int, hidden: Sequence[int] = ()) -> bool:
        """They have been done, by a purge of that number: was any unmet? `hidden`: what `hide` has said meanwhile."""
        left = without(self.unmet, whats, sequence, hidden)
        if len(left.entries) == len(self.unmet.entries):
            return False
        self._know_unmet(left)
        if not any(what == EVERYTHING_STALE for what, _ in left.since(-1)):
            self._left = None
        return True

    def _know_unmet(self, unmet: Purged) -> None:
        self.unmet, self.unmet_number = unmet, (self.unmet_number + 1) & UNMET_MOST
        self.on_unmet(self.unmet_number)

    def do_now(self, what: Purge) -> None:
        """The whole of a purge at once, before anybody is served."""
        self._do(self.begin([what], self._numbers.new_generation()))

    def finish(self) -> bool:
        """What a killed run had begun. Is there more for somebody to do?

        An index that is to be rebuilt has nothing to forget: what comes into it is judged by the log, and to do all of
        a long log again would take seconds. To make all stale (a volume that was left; what a damaged log may have
        named) takes longer than a start may, so that is unmet until somebody does it.
        """
        if self._opened.rebuild is not None:
            self.end(self.log.newest)
            return bool(self.log.damaged)
        unmet = False
        for what, logged in self.log.since(self._opened.index.meta(b"purged")):
            if what == EVERYTHING_STALE:
                sequence = self._numbers.sequence + 1 if self.log.damaged else logged.sequence
                self._know_unmet(with_more(self.unmet, [what], sequence))
                unmet, self._left = True, logged.sequence
                continue
            self._do(self._purging([what], logged.sequence, 0))
        return unmet or bool(self.log.damaged)

    def _do(self, purging: Purging) -> None:
        while purging.step():
            pass
        self.end(purging.sequence)

    def end(self, sequence: int) -> None:
        """All that was begun so far is done, but for what is left: a start need not do it again."""
        with self._opened.index.writing() as txn:
            txn.set_meta(b"purged", sequence if self._left is None else min(sequence, self._left - 1))
            txn.set_meta(b"sequence", self._numbers.sequence)
