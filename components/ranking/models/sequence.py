"""What self-attention over the order of the history expects next (SASRec); see sources/sequence.py."""

from collections.abc import Mapping

import numpy as np

from components.ranking.baselines import FOUR_WEEKS, LESS_THAN_ONE
from components.ranking.sources import OF_LEARNT


def score(facts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score candidates, float64 [M]."""
    return np.asarray(facts[OF_LEARNT["sequence"]] + LESS_THAN_ONE * facts[FOUR_WEEKS])
