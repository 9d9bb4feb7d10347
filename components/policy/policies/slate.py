"""`slate@1`: as softmax, and an item is worth less the more it is like what stands above it.

Likeness is the share of an item's codes (category, brand) that it has in common with the likest item above, as in
maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998). Where no codes are given, a door does not start
(guard.py): lists would be softmax's, in silence.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask
from components.policy.policies.softmax import softmax


@dataclass(frozen=True)
class Slate:
    """Draws a list of items that differ."""

    name: ClassVar[str] = "slate@1"
    temperature: float = 0.3  # of standard deviations of the scores, above 0
    diversity: float = 1.0  # standard deviations of score that being the same as an item above costs
    candidates: int = 50

    def considered(self, k: int) -> int:
        """Look at as many items as it explores."""
        return max(k, self.candidates)

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return the standardised scores, [1, M]: no model is drawn."""
        return ask.standard[None, :]

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return the softmax of scores less the likeness to the likest item above, [N, M]."""
        if above.shape[1]:
            alike = np.concatenate([likeness(ask.codes, len(ask.scores)), np.zeros((1, len(ask.scores)))])  # -1: none
            values = values - self.diversity * alike[above].max(axis=1)
        return softmax(values / self.temperature, allowed)


def likeness(codes: np.ndarray, m: int) -> np.ndarray:
    """Return which share of their codes candidates have in common, [M, M]; what is unknown is like nothing.

    >>> likeness(np.array([[1, 7], [1, 8], [-1, 8]]), 3).tolist()
    [[1.0, 0.5, 0.0], [0.5, 1.0, 0.5], [0.0, 0.5, 0.5]]
    """
    if not codes.size:
        return np.zeros((m, m))
    same = (codes[:, None, :] == codes[None, :, :]) & (codes[:, None, :] >= 0)
    return np.asarray(same.mean(axis=2))
