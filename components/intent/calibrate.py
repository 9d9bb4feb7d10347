"""Fit the maps of probabilities that calibration.py applies, on validation rows that nothing else is learnt from.

Apart from it, since what serves a model applies a map and needs no library that fits one.

Letters: B rows, C targets, n pairs, K knots.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logit
from sklearn.isotonic import isotonic_regression

from components.intent.calibration import SMALL, Calibration, Method, logits
from feature_repo.vocabulary import Vocabulary

LEAST = 30  # pairs of either kind, below which an intent keeps its probabilities
COLDEST, WARMEST = 0.1, 10.0  # temperatures
MOST_KNOTS = 200


def fit(method: Method, labels: np.ndarray, probability: np.ndarray, vocabulary: Vocabulary) -> Calibration:
    """Fit a map for each intent on labels and probabilities [B, C] that the model has not learnt from."""
    intents = tuple(target.intent for target in vocabulary.targets)
    of, knots = np.array(intents), {}
    for intent in dict.fromkeys(intents):
        truth, said = labels[:, of == intent].ravel() > 0, logits(probability[:, of == intent]).ravel()
        if min(truth.sum(), (~truth).sum()) >= LEAST:
            knots[intent] = (_temperature if method == "temperature" else _isotonic)(truth, said)
    return Calibration(method, knots, intents)


def _temperature(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide logits by the number that makes the truth likeliest (Guo et al., 2017)."""
    sign = np.where(truth, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign * said / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(WARMEST)), method="bounded")
    ends = np.array([-1.0, 1.0])
    return ends, ends / float(np.exp(found.x))


def _isotonic(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pool neighbours that stand in the wrong order, and draw lines between the middles of the pools.

    Steps, as isotonic regression has them, would tie what a model tells apart. Equal answers, which trees give by the
    thousand, stay together: a cut among them would ask for two meanings of one answer.
    """
    answer, which, count = np.unique(said, return_inverse=True, return_counts=True)
    # Pairs in hundreds of equal parts first: a pool of a few pairs at either end would say 0 or 1.
    parts = min(MOST_KNOTS, max(len(said) // LEAST, 1))
    part = np.unique((np.cumsum(count) - count) * parts // len(said), return_inverse=True)[1]  # of each answer
    often = np.bincount(part, count)
    middle, rate = (np.bincount(part, values) / often for values in (answer * count, np.bincount(which, truth)))
    level = isotonic_regression(rate, sample_weight=often, y_min=SMALL, y_max=1 - SMALL)
    pool = np.unique(level, return_inverse=True)[1]
    weight = np.bincount(pool, often)
    x, y = (np.bincount(pool, values * often) / weight for values in (middle, level))
    smooth = (y * weight + 0.5) / (weight + 1.0)  # a pool of none, or of all, is no certainty
    meant = np.maximum.accumulate(logit(smooth))
    rising = np.concatenate([[True], (np.diff(meant) > SMALL) & (np.diff(x) > SMALL)])
    return x[rising], meant[rising]


def folds(
    users: np.ndarray, rows: Sequence[int] | np.ndarray, uses: Sequence[str] = ("stop", "calibrate", "decide")
) -> dict[str, np.ndarray]:
    """Part validation rows by their users, so that what stops training, calibrates and sets thresholds are different.

    >>> {name: found.tolist() for name, found in folds(np.array([0, 1, 2, 3, 0]), np.array([0, 1, 2, 3, 4])).items()}
    {'stop': [0, 3, 4], 'calibrate': [1], 'decide': [2]}
    """
    rows = np.asarray(rows)
    return {name: rows[users[rows] % len(uses) == n] for n, name in enumerate(uses)}


def uses_of(*, calibrates: bool, searches: bool, compresses: bool = False) -> tuple[str, ...]:
    """Name what validation rows are parted for; one part for all where nothing asks for more.

    >>> uses_of(calibrates=False, searches=False), uses_of(calibrates=False, searches=True)
    ((), ('stop', 'decide', 'search'))
    """
    asked = {"calibrate": calibrates, "decide": True, "search": searches, "compare": compresses}
    if not (calibrates or searches or compresses):
        return ()
    return ("stop", *(name for name, wanted in asked.items() if wanted))
