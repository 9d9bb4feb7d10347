"""`learned@1`: lists of Plackett and Luce by what a learnt head says that candidates are worth.

The pipeline `policy` learns the head (components/policy/learning) and registers it in a release; its settings are the
head. A spec cannot name it, since no spec has weights.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.policy.choice import Ask
from components.policy.head import features_of
from components.policy.policies.softmax import softmax


@dataclass(frozen=True)
class Learned:
    """Draws a list in proportion to what its items are worth. The defaults are of the ranker's own scores."""

    name: ClassVar[str] = "learned@1"
    centre: tuple[float, ...] = (0.0, 0.0)  # [F] of the features
    scale: tuple[float, ...] = (1.0, 1.0)  # [F] above 0
    weights: tuple[float, ...] = (1.0, 0.0)  # [F]
    temperature: float = 0.3  # of standard deviations of what candidates are worth, above 0
    candidates: int = 50

    def considered(self, k: int) -> int:
        """Look at as many items as it explores."""
        return max(k, self.candidates)

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return what candidates are worth, [1, M]: no model is drawn."""
        standard = (features_of(ask) - np.asarray(self.centre)) / np.asarray(self.scale)
        return np.asarray(standard @ np.asarray(self.weights))[None, :]

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return the softmax over what is allowed, [N, M]."""
        return softmax(values / self.temperature, allowed)
