"""What the keeper asks of a builder, and what it is told when that is done."""

import json
import marshal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from edge.store.bulk.reading import FactFields

ORDER: Final = "order"  # files in the builder's directory, where `data.mdb` lies, too
ANSWER: Final = "answer"
DONE: Final = "done"  # a line of its output; before it come shares of the work that are done


@dataclass(frozen=True, slots=True)
class Order:
    """`packs`: whose journals are read, no others are there. `volume`: its uuid in hex digits."""

    packs_directory: str
    purges: str
    volume: str
    packs: list[int]
    map_bytes: int
    processes: int

    def write(self, directory: Path) -> None:
        (directory / ORDER).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> Self:
        return cls(**json.loads((directory / ORDER).read_text()))


@dataclass(frozen=True, slots=True)
class Answer:
    """The highest numbers that the journals have told of, and what they say of their packs."""

    sequence: int
    generation: int
    facts: list[FactFields]  # 40,000 of them in 5 ms: they become `Fact`s as they are learnt

    def write(self, directory: Path) -> None:
        said = self.sequence, self.generation, [tuple(fact) for fact in self.facts]
        (directory / ANSWER).write_bytes(marshal.dumps(said))

    @classmethod
    def read(cls, directory: Path) -> Self:
        return cls(*marshal.loads((directory / ANSWER).read_bytes()))
