"""Who is changed more, as a linear score of what is known: parts users into quarters, where quarters differ at all.

The DR-learner's last step as a ridge regression of corrected differences (Kennedy 2020): a score that a service can
compute without the library that grew the trees. Its penalty, and whether it says anything, are chosen out of fold.

Letters: N rows, F features, K folds, G groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.intent.uplift import effects
from components.intent.uplift.effects import Effect

PENALTIES = (0.01, 0.1, 1.0, 10.0)  # times the rows, so that features of deviation 1 shrink alike in any number of rows
QUARTERS = 4


@dataclass(frozen=True)
class Grouped:
    """A score and its groups; one group where the score says nothing."""

    weight: np.ndarray  # float64 [F]
    intercept: float
    bounds: tuple[float, ...]  # [G - 1] ascending
    groups: tuple[Effect, ...]  # [G] least expected effect first

    def score(self, features: np.ndarray) -> np.ndarray:
        """Return the score of rows [N, F]."""
        return np.asarray(features @ self.weight + self.intercept)


def grouped(
    features: np.ndarray,
    corrected: np.ndarray,
    user: np.ndarray,
    fold: np.ndarray,
    *,
    penalties: Sequence[float] = PENALTIES,
) -> Grouped:
    """Learn a score of corrected differences [N]; `fold` [N] holds all of a user's rows in one."""
    mean = effects.mean_effect(corrected, user)
    alone = Grouped(np.zeros(features.shape[1]), mean.value, (), (mean,))
    expected = {penalty: _out_of_fold(features, corrected, fold, penalty) for penalty in penalties}
    loss = {penalty: float(((corrected - said) ** 2).mean()) for penalty, said in expected.items()}
    best = min(penalties, key=lambda penalty: loss[penalty])
    order = np.argsort(expected[best], kind="stable")
    parts = np.array_split(order, QUARTERS)
    if min(map(len, parts)) < 2:
        return alone
    groups = tuple(effects.mean_effect(corrected[part], user[part]) for part in parts)
    if not differ(groups[0], groups[-1]):
        return alone
    said = expected[best][order]
    ends = np.cumsum([len(part) for part in parts])[:-1]
    bounds = tuple(float((said[end - 1] + said[end]) / 2) for end in ends)
    weight, intercept = _ridge(features, corrected, best)
    return Grouped(weight, intercept, bounds, groups)


def differ(least: Effect, most: Effect) -> bool:
    """Tell whether the effect is surely larger where it was expected to be.

    >>> differ(Effect(0, -1, 1, 9, 9), Effect(3, 2, 4, 9, 9)), differ(Effect(0, -1, 1, 9, 9), Effect(1, 0, 2, 9, 9))
    (True, False)
    """
    error = math.hypot(least.high - least.value, most.high - most.value)
    return most.value - least.value > error


def _out_of_fold(features: np.ndarray, corrected: np.ndarray, fold: np.ndarray, penalty: float) -> np.ndarray:
    found = np.zeros(len(corrected))
    for number in np.unique(fold):
        held = fold == number
        weight, intercept = _ridge(features[~held], corrected[~held], penalty)
        found[held] = features[held] @ weight + intercept
    return found


def _ridge(features: np.ndarray, corrected: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Return weights [F] and intercept of least squares with a penalty a row."""
    centre, mean = features.mean(axis=0), float(corrected.mean())
    x = features - centre
    weight = np.linalg.solve(x.T @ x + penalty * len(x) * np.eye(x.shape[1]), x.T @ (corrected - mean))
    return weight, mean - float(centre @ weight)
