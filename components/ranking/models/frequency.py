"""The items that the user had most, each week worth .96 per week of age; popular ones follow."""

from collections.abc import Mapping

import numpy as np

from components.ranking.baselines import FOUR_WEEKS, LESS_THAN_ONE


def score(facts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Score candidates, float64 [M]."""
    return np.asarray(facts["slow"] + LESS_THAN_ONE * facts[FOUR_WEEKS])
