"""`greedy@1`: show the best items, always. Each was certain to be shown, so its logs teach nothing of the others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask


@dataclass(frozen=True)
class Greedy:
    """Shows the greedy list."""

    name: ClassVar[str] = "greedy@1"

    def considered(self, k: int) -> int:
        """Look at no more items than are shown."""
        return k

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return the scores, [1, M]: no model is drawn."""
        return ask.scores[None, :]

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Show the greedy list's item at its place for certain, [N, M]."""
        return certain(kept(ask, allowed, above.shape[1]), allowed.shape[1])


def kept(ask: Ask, allowed: np.ndarray, place: int) -> np.ndarray:
    """Return which candidate stands at a place where nothing is explored, [N]: the best allowed if it is the list's."""
    own = ask.greedy[place]
    return np.where(allowed[:, own], own, np.argmax(allowed, axis=1))


def certain(candidates: np.ndarray, m: int) -> np.ndarray:
    """Return probabilities [N, M]: 1 of one candidate [N] of each row."""
    return np.asarray(np.arange(m) == candidates[:, None], dtype=np.float64)
