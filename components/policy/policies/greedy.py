"""`greedy@1`: show the best items, always. Each was certain to be shown, so its logs teach nothing of the others."""

import numpy as np

from components.policy.choice import Choice


class Greedy:
    """Shows the first k items."""

    name = "greedy@1"

    def considered(self, k: int) -> int:
        """Look at no more items than are shown."""
        return k

    def choose(self, scores: np.ndarray, k: int, rng: np.random.Generator) -> Choice:
        """Take the best items in their order, each with propensity 1."""
        shown = min(k, len(scores))
        return Choice(np.arange(shown), np.ones(shown))
