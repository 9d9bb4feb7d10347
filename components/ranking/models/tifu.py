"""Decayed frequencies of the user, blended with those of near users, after TIFU-KNN (Hu et al., SIGIR 2020)."""

from collections.abc import Mapping

import numpy as np

from components.ranking.baselines import FOUR_WEEKS, LESS_THAN_ONE
from components.ranking.sources import OF_LEARNT


def score(facts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score candidates, float64 [M]."""
    return np.asarray(facts[OF_LEARNT["users"]] + LESS_THAN_ONE * facts[FOUR_WEEKS])
