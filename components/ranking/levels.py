"""Facts of candidates, each kept where it is the same for many: of the user, the item, the record, the category.

A candidate's fact is looked up when somebody asks for it; what a model sees of a fact is made once where the fact is
kept, and looked up then (derived.py). Both are to the bit what they would be had each candidate its own copy.

Letters: M candidates over all rows, n what is kept of a level.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

USER, ITEM, RECORD, TARGET = "user", "item", "record", "target"
Kept = dict[tuple[str, ...], np.ndarray]


@dataclass(frozen=True)
class Level:
    """Facts that candidates share, each [n], and which of the n each candidate has."""

    facts: Mapping[str, np.ndarray]
    place: np.ndarray  # [M] int64
    beside: Mapping[str, np.ndarray] = field(default_factory=dict)  # facts of other levels, to derive from: [n] or [1]
    kept: Kept | None = None  # by names of features: what was derived, [n, F]; None: it is of this answer alone


class Facts(Mapping[str, np.ndarray]):
    """What is so of each candidate, float64 [M] under the fact's name.

    >>> of_item = Level({"price": np.array([2.0, 3.0])}, np.array([1, 1, 0]))
    >>> facts = Facts({ITEM: of_item}, {"near": np.array([0.5, 0.0, 0.25])})
    >>> facts["price"].tolist(), facts.take(np.array([2]))["price"].tolist(), sorted(facts)
    ([3.0, 3.0, 2.0], [2.0], ['near', 'price'])
    """

    def __init__(self, levels: Mapping[str, Level], own: Mapping[str, np.ndarray]) -> None:
        self.levels = levels
        self._own = dict(own)  # [M] each; what was looked up is kept here too
        self._level_of = {name: level for level in reversed([*levels.values()]) for name in level.facts}

    @property
    def size(self) -> int:
        """Count the candidates."""
        return len(next(iter(self._own.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._own:
            level = self._level_of[name]
            self._own[name] = level.facts[name].take(level.place)
        return self._own[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._level_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._own | self._level_of)

    def __len__(self) -> int:
        return len(self._own | self._level_of)

    def at(self, name: str, index: np.ndarray) -> np.ndarray:
        """Return one fact of a few candidates, by position, without looking it up for all."""
        if name in self._own:
            return self._own[name].take(index)
        level = self._level_of[name]
        found: np.ndarray = level.facts[name].take(level.place.take(index))
        return found

    def take(self, index: np.ndarray) -> "Facts":
        """Return the facts of some candidates, by position or by a mask of all."""
        levels = {
            name: Level(level.facts, level.place[index], level.beside, level.kept)
            for name, level in self.levels.items()
        }
        return Facts(levels, {name: values[index] for name, values in self._own.items()})
