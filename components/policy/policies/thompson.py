"""`thompson@1`: draws a model from what is believed of it, and shows the list that this model likes.

The model is a small head on the ranker: what an item is worth = weights . (standardised score, discount of its rank) +
a part of its own. Weights are normal by `mean` and `covariance` (head.py learns them from the rewards table), the
item's own part has the standard deviation `spread`. Given the model the list is softmax's at a low temperature, so
that its probability given the model is exact; over models it is a mean of `draws` draws, with its standard error.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask
from components.policy.head import features_of
from components.policy.policies.softmax import softmax


@dataclass(frozen=True)
class Thompson:
    """Shows what a drawn model likes best."""

    name: ClassVar[str] = "thompson@1"
    mean: tuple[float, ...] = (1.0, 0.0)  # [F] of the weights
    covariance: tuple[tuple[float, ...], ...] = ((0.01, 0.0), (0.0, 0.01))  # [F, F]
    spread: float = 0.3  # standard deviation of an item's own part
    temperature: float = 0.1
    candidates: int = 50

    def considered(self, k: int) -> int:
        """Look at as many items as it explores."""
        return max(k, self.candidates)

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw `n` models and return what candidates are worth by each, [N, M]."""
        weights = rng.multivariate_normal(np.asarray(self.mean), np.asarray(self.covariance), size=n)  # [N, F]
        own = rng.standard_normal((n, len(ask.scores))) * self.spread
        return np.asarray(weights @ features_of(ask).T + own)

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return the softmax of what candidates are worth, [N, M]."""
        return softmax(values / self.temperature, allowed)
