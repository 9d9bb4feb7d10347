"""Gradient-boosted trees, a peer of the intent model: scikit-learn's histogram trees over the same encoded numbers.

One model for all targets, with the target and the segment as categories. The model's sequence is not shown to it,
but its frequencies hold counts over that sequence. It learns from a sample of (user-week, target) pairs and stops by
a sample of the validation weeks.

Letters: B rows, C targets, N pairs, F numbers of a pair.
"""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from components.intent.examples import Examples
from components.intent.score import IntentScorer

ROWS = 1024  # user-weeks encoded at a time
MOST_CATEGORIES = 255  # that the trees can tell apart
SETTINGS = {"learning_rate": 0.1, "max_iter": 300, "max_leaf_nodes": 63, "min_samples_leaf": 200, "l2_regularization": 1.0}  # fmt: skip  # noqa: E501
PATIENCE = 10  # trees without a better validation loss


@dataclass(frozen=True)
class Boosted:
    """Fitted trees and what they cost."""

    model: Any
    scorer: IntentScorer  # encodes rows
    targets: np.ndarray  # [H] those that it was taught
    pairs: int
    seconds: float

    def predict(self, examples: Examples, index: np.ndarray) -> np.ndarray:
        """Return the probability of each taught target for the rows in `index`, float32 [B, H]."""
        parts = []
        for start in range(0, len(index), ROWS):
            rows = index[start : start + ROWS]
            x = numbers(self.scorer, examples, rows, np.repeat(np.arange(len(rows)), len(self.targets)),
                        np.tile(self.targets, len(rows)))  # fmt: skip
            parts.append(self.model.predict_proba(x)[:, 1].reshape(len(rows), len(self.targets)))
        return np.concatenate(parts).astype(np.float32)


def fit(scorer: IntentScorer, examples: Examples, targets: np.ndarray, *, pairs: int, seed: int = 0) -> Boosted:
    """Teach trees `pairs` pairs of the training weeks at most."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    start, rng = time.monotonic(), np.random.default_rng(seed)
    x, y, weight = sampled(scorer, examples, examples.part("train"), targets, pairs=pairs, rng=rng)
    check = sampled(scorer, examples, examples.part("validate"), targets, pairs=pairs // 4, rng=rng)
    last = x.shape[1]
    categories = [last - 2, last - 1] if len(scorer.names) <= MOST_CATEGORIES else [last - 2]
    model = HistGradientBoostingClassifier(
        **SETTINGS, categorical_features=categories, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed
    ).fit(x, y, sample_weight=weight, X_val=check[0], y_val=check[1])
    return Boosted(model, scorer, targets, len(y), round(time.monotonic() - start, 1))


def sampled(
    scorer: IntentScorer, examples: Examples, index: np.ndarray, targets: np.ndarray, *, pairs: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:  # fmt: skip
    """Draw pairs of the rows in `index` and the targets: their numbers [N, F], labels [N] and rows' weights [N]."""
    whole = len(index) * len(targets)
    drawn = np.sort(rng.choice(whole, min(pairs, whole), replace=False))
    row, column = np.divmod(drawn, len(targets))
    parts, bounds = [], np.searchsorted(row, np.arange(0, len(index) + ROWS, ROWS))
    for number, (low, high) in enumerate(pairwise(bounds)):
        first = number * ROWS
        place, target = row[low:high] - first, targets[column[low:high]]
        parts.append(numbers(scorer, examples, index[first : first + ROWS], place, target))
    return np.concatenate(parts), examples.labels[index[row], targets[column]], examples.weights(index[row])


def numbers(
    scorer: IntentScorer, examples: Examples, rows: np.ndarray, place: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Encode rows and return the numbers of pairs: of the target, of the user, segment, target; float32 [N, F]."""
    encoded = scorer.encode(examples.rows.take(rows))
    return np.column_stack(
        [encoded.frequency[place, target], encoded.profile[place], encoded.segment[place], target]
    ).astype(np.float32)
