"""How likely the user has each item again, by the cadence in which it was had; see sources/basket.py."""

from collections.abc import Mapping

import numpy as np

from components.ranking.baselines import FOUR_WEEKS, LESS_THAN_ONE
from components.ranking.sources import OF_LEARNT


def score(facts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score candidates, float64 [M]."""
    return np.asarray(facts[OF_LEARNT["basket"]] + LESS_THAN_ONE * facts[FOUR_WEEKS])
