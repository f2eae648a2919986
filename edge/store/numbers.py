"""The numbers by which a volume tells older from newer: generations of objects, sequence of what is done to them."""

from edge.errors import StoreError
from edge.store import files
from edge.store.tables import NEXT_GENERATION, NEXT_PACK
from edge.store.writing import Writing


def newest_sequence(first_generation: int) -> int:
    """None that was used before the first generation of a run is higher, whether the index is there or lost."""
    return first_generation << 16


class Numbers:
    """Both only ever grow, over all runs: the counter's file says how far, and beside it the index, if one is lost."""

    def __init__(self, counter: files.Counter, first_generation: int, last_sequence: int) -> None:
        self._counter = counter
        self.generation = first_generation  # the next one
        self.sequence = max(last_sequence + files.GENERATION_STEP, newest_sequence(first_generation))

    def __repr__(self) -> str:
        return f"<Numbers generation={self.generation} sequence={self.sequence}>"

    def new_generation(self) -> int:
        """Never re-used: a durable limit moves ahead of what is handed out. May be called from the loop's thread."""
        generation = self.generation
        self.generation += 1
        if generation >= self._counter.generation_limit:
            raise StoreError("no generation is left below the durable limit")
        return generation

    def keep(self) -> None:
        """Move the durable limit on while there is plenty left (store thread: it waits for the disk)."""
        if self.generation + files.GENERATION_STEP // 2 > self._counter.generation_limit:
            self._counter.at_least(0, self.generation + files.GENERATION_STEP)

    def note(self, txn: Writing) -> None:
        """Write down what has been handed out, with what it was used for."""
        txn.set_meta(b"sequence", self.sequence)
        txn.set_meta(NEXT_GENERATION, self.generation)
        txn.set_meta(NEXT_PACK, self._counter.next_pack)

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def go_beyond(self, sequence: int, generation: int) -> None:
        """Journals have told of more than was known."""
        self.sequence = max(self.sequence, sequence + files.GENERATION_STEP)
        self.generation = max(self.generation, generation + 1)
