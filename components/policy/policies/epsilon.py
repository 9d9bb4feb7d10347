"""`epsilon@1`: each place keeps the greedy list's item, and with a small probability shows another one, whichever.

Items from outside of the greedy list are drawn alike; the rest of the list stays where it is.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask
from components.policy.policies.greedy import certain, kept


@dataclass(frozen=True)
class Epsilon:
    """Explores each place with probability `epsilon`."""

    name: ClassVar[str] = "epsilon@1"
    epsilon: float = 0.1  # above 0, below 1
    candidates: int = 50

    def considered(self, k: int) -> int:
        """Look at as many items as it explores."""
        return max(k, self.candidates)

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return the scores, [1, M]: no model is drawn."""
        return ask.scores[None, :]

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Keep the list's item with probability 1 - epsilon, [N, M]; those from outside of the list share the rest."""
        stays = certain(kept(ask, allowed, above.shape[1]), allowed.shape[1])
        outside = np.ones(allowed.shape[1], dtype=bool)
        outside[list(ask.greedy)] = False
        others = allowed & outside & (stays == 0)
        count = others.sum(axis=1, keepdims=True)
        epsilon = np.where(count > 0, self.epsilon, 0.0)
        return np.asarray((1 - epsilon) * stays + epsilon * others / np.maximum(count, 1))
