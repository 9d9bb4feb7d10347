"""`softmax@1`: lists of Plackett and Luce: each next item is drawn by exp(score / temperature) among those left.

Scores are in standard deviations over the candidates, so that a temperature means the same for every ranker.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask


@dataclass(frozen=True)
class Softmax:
    """Draws a list in proportion to what its items score."""

    name: ClassVar[str] = "softmax@1"
    temperature: float = 0.3  # of standard deviations of the scores, above 0
    candidates: int = 50

    def considered(self, k: int) -> int:
        """Look at as many items as it explores."""
        return max(k, self.candidates)

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return the standardised scores, [1, M]: no model is drawn."""
        return ask.standard[None, :]

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return the softmax over what is allowed, [N, M]."""
        return softmax(values / self.temperature, allowed)


def softmax(logits: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return exp(logits) [N, M] as shares of each row, 0 where not allowed.

    >>> softmax(np.log([[1.0, 2.0, 5.0]]), np.array([[True, True, False]])).round(3).tolist()
    [[0.333, 0.667, 0.0]]
    """
    masked = np.where(allowed, logits, -np.inf)
    shares = np.exp(masked - masked.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
