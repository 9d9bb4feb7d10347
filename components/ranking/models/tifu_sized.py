"""What `tifu` blends, where an item of a small basket counts for more than one of a large; see sources/sized.py."""

from collections.abc import Mapping

import numpy as np

from components.ranking.baselines import FOUR_WEEKS, LESS_THAN_ONE
from components.ranking.sources import OF_LEARNT


def score(facts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score candidates, float64 [M]."""
    return np.asarray(facts[OF_LEARNT["sized"]] + LESS_THAN_ONE * facts[FOUR_WEEKS])
