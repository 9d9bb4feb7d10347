"""Estimates of an effect on each user: the T-learner and the doubly robust (DR) learner, on boosted trees.

The T-learner models the outcome of those who got it and of those who did not, and takes the difference (Künzel and
others 2019): where the two groups differ, the difference of two models' errors is in it. The DR-learner corrects each
row's difference by its own residual over its chance to have got it, and learns from these corrected differences
(Kennedy 2020): its mean is right if either the outcomes or the chances are modelled well, and has an honest error.

Every number of a row comes from models that saw no row of its user (cross-fitting).

Letters: N rows, F features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components import boosted_trees
from components.intent.uplift.treated import NOBODY, Treated
from feature_repo.errors import DataError

FOLDS, TREES = 5, 120
CLIP = 0.02  # chances nearer to 0 or 1 have nobody to compare with: their rows are left out
SETTINGS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "lambda_l2": 1.0,
    **boosted_trees.DETERMINISTIC,
}


@dataclass(frozen=True)
class Estimates:
    """What was learnt of each row, out of fold."""

    chance: np.ndarray  # [N] to have got it, given what was known
    without: np.ndarray  # [N] expected outcome without it
    with_it: np.ndarray  # [N] expected outcome with it
    corrected: np.ndarray  # [N] the doubly robust difference: noisy, and right on average
    by_dr: np.ndarray  # [N] the DR-learner's effect
    compared: np.ndarray  # bool [N] whether its chance is neither near 0 nor near 1

    @property
    def by_t(self) -> np.ndarray:
        """Return the T-learner's effect, [N]."""
        return np.asarray(self.with_it - self.without)


def library() -> Any:
    """Return LightGBM, which is needed to learn effects alone."""
    return boosted_trees.library("uplift: effects are learnt")


def learn(rows: Treated, *, folds: int = FOLDS, trees: int = TREES, seed: int = 0) -> Estimates:
    """Estimate the effect on each row."""
    fold = rows.folds(folds, seed=seed)
    for number in range(folds):
        if not (rows.treated[fold != number].any() and (~rows.treated)[fold != number].any()):
            raise DataError("uplift: all who got it, or all who did not, are too few users to learn from some of them "
                            "and say it of others; take more users")  # fmt: skip
    chance, without, with_it = (np.zeros(len(fold)) for _ in range(3))
    for number in range(folds):
        held, rest = fold == number, fold != number
        asked, got = rows.features[held], rows.treated & rest
        fit = _Fit(rows.features, trees, seed + number)
        chance[held] = fit(rest, rows.treated.astype(float), asked, objective="binary")
        without[held] = fit(rest & ~rows.treated, rows.outcome, asked)
        with_it[held] = fit(got, rows.outcome, asked)
    compared = (chance >= CLIP) & (chance <= 1 - CLIP)
    if any(not compared[fold != number].any() for number in range(folds)):
        raise DataError(NOBODY)
    corrected = _corrected(rows, np.clip(chance, CLIP, 1 - CLIP), without, with_it)
    by_dr = np.zeros(len(fold))
    for number in range(folds):
        held, rest = fold == number, (fold != number) & compared
        by_dr[held] = _Fit(rows.features, trees, seed + number)(rest, corrected, rows.features[held])
    return Estimates(chance, without, with_it, corrected, by_dr, compared)


def corrected_by(
    learnt: Treated, asked: Treated, *, trees: int = TREES, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return doubly robust differences [N] of later rows by models of `learnt`, and which can be compared, bool [N]."""
    fit, every = _Fit(learnt.features, trees, seed), np.ones(len(learnt.treated), dtype=bool)
    chance = fit(every, learnt.treated.astype(float), asked.features, objective="binary")
    without = fit(~learnt.treated, learnt.outcome, asked.features)
    with_it = fit(learnt.treated, learnt.outcome, asked.features)
    compared = (chance >= CLIP) & (chance <= 1 - CLIP)
    return _corrected(asked, np.clip(chance, CLIP, 1 - CLIP), without, with_it), compared


def _corrected(rows: Treated, chance: np.ndarray, without: np.ndarray, with_it: np.ndarray) -> np.ndarray:
    """Return the doubly robust differences, [N] (Kennedy 2020, eq. 1)."""
    got = rows.treated.astype(float)
    left = rows.outcome - np.where(rows.treated, with_it, without)
    return np.asarray(with_it - without + left * (got / chance - (1 - got) / (1 - chance)))


@dataclass(frozen=True)
class _Fit:
    """Boosted trees on some of the rows."""

    features: np.ndarray
    trees: int
    seed: int

    def __call__(
        self, on: np.ndarray, target: np.ndarray, asked: np.ndarray, *, objective: str = "regression"
    ) -> np.ndarray:
        lightgbm = library()
        data = lightgbm.Dataset(self.features[on], target[on])
        settings = SETTINGS | {"objective": objective, "seed": self.seed}
        return np.asarray(lightgbm.train(settings, data, num_boost_round=self.trees).predict(asked))
