"""Maps from what a model says to how often it comes true, one for each intent, fitted on validation rows of their own.

Off by default: trained by cross-entropy and stopped early, the default model's probabilities hold as they are. A loss
that weighs pairs otherwise (`models.intent.loss`) distorts them, and needs this. A map never turns an order around
within an intent, and ties nothing that was apart. It lies beside the weights as `calibration.json`, and whatever
predicts applies it: evaluation, batch and door.

Letters: B rows, C targets, n pairs, K knots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import expit, logit

from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary

Method = Literal["temperature", "isotonic"]
FILE = "calibration.json"
FORMAT = 1
LEAST = 30  # pairs of either kind, below which an intent keeps its probabilities
SMALL = 1e-6  # keeps logits finite
COLDEST, WARMEST = 0.1, 10.0  # temperatures
MOST_KNOTS = 200


@dataclass(frozen=True)
class Calibration:
    """A piecewise linear map of the logit for each intent, by knots; an intent without one keeps what it says."""

    method: str
    knots: Mapping[str, tuple[np.ndarray, np.ndarray]]  # by intent: logits said, ascending, and logits meant, [K] each
    intents: tuple[str, ...]  # of each target, [C]

    def apply(self, probability: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float32 [B, C]."""
        found = np.array(probability, dtype=np.float32)
        of = np.array(self.intents)
        for intent, (said, meant) in self.knots.items():
            mine = of == intent
            found[:, mine] = expit(_through(_logits(probability[:, mine]), said, meant))
        return found

    def document(self) -> dict[str, Any]:
        """Return what the file holds."""
        knots = {name: [said.tolist(), meant.tolist()] for name, (said, meant) in self.knots.items()}
        return {"format": FORMAT, "method": self.method, "knots": knots, "intents": list(dict.fromkeys(self.intents))}

    def save(self, folder: Path) -> None:
        """Write the file into a model folder."""
        files.write_json(folder / FILE, self.document())

    @classmethod
    def read(cls, folder: Path, vocabulary: Vocabulary) -> "Calibration | None":
        """Read what `save` wrote, None of a model folder that has none."""
        path = folder / FILE
        if not path.is_file():
            return None
        found, intents = files.read_json(path), tuple(target.intent for target in vocabulary.targets)
        if found.get("format") != FORMAT or found["intents"] != list(dict.fromkeys(intents)):
            raise DataError(f"{path}: of another format, or of other intents than the model beside it; train again")
        knots = {name: (np.array(said), np.array(meant)) for name, (said, meant) in found["knots"].items()}
        return cls(found["method"], knots, intents)


def fit(method: Method, labels: np.ndarray, probability: np.ndarray, vocabulary: Vocabulary) -> Calibration:
    """Fit a map for each intent on labels and probabilities [B, C] that the model has not learnt from."""
    intents = tuple(target.intent for target in vocabulary.targets)
    of, knots = np.array(intents), {}
    for intent in dict.fromkeys(intents):
        truth, said = labels[:, of == intent].ravel() > 0, _logits(probability[:, of == intent]).ravel()
        if min(truth.sum(), (~truth).sum()) >= LEAST:
            knots[intent] = (_temperature if method == "temperature" else _isotonic)(truth, said)
    return Calibration(method, knots, intents)


def _temperature(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Divide logits by the number that makes the truth likeliest (Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    sign = np.where(truth, 1.0, -1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, -sign * said / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(WARMEST)), method="bounded")
    ends = np.array([-1.0, 1.0])
    return ends, ends / float(np.exp(found.x))


def _isotonic(truth: np.ndarray, said: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pool neighbours that stand in the wrong order, and draw lines between the middles of the pools.

    Steps, as isotonic regression has them, would tie what a model tells apart.
    """
    from sklearn.isotonic import isotonic_regression

    order = np.argsort(said, kind="stable")
    # Pairs in hundreds of equal parts first: a pool of a few pairs at either end would say 0 or 1.
    part = np.arange(len(order)) * min(MOST_KNOTS, max(len(order) // LEAST, 1)) // len(order)
    often = np.bincount(part)
    middle, rate = (np.bincount(part, values[order]) / often for values in (said, truth.astype(np.float64)))
    level = isotonic_regression(rate, sample_weight=often, y_min=SMALL, y_max=1 - SMALL)
    pool = np.unique(level, return_inverse=True)[1]
    weight = np.bincount(pool, often)
    x, y = (np.bincount(pool, values * often) / weight for values in (middle, level))
    smooth = (y * weight + 0.5) / (weight + 1.0)  # a pool of none, or of all, is no certainty
    meant = np.maximum.accumulate(logit(smooth))
    rising = np.concatenate([[True], np.diff(meant) > SMALL])
    return x[rising], meant[rising]


def _through(said: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Go through knots in straight lines; beyond the ends the outer lines go on, a lone knot moves all alike."""
    if len(x) == 1:
        return np.asarray(said - x[0] + y[0])
    place = np.clip(np.searchsorted(x, said) - 1, 0, len(x) - 2)
    slope = np.diff(y) / np.diff(x)
    return np.asarray(y[place] + (said - x[place]) * slope[place])


def _logits(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability.astype(np.float64), SMALL, 1 - SMALL)))


def folds(users: np.ndarray, rows: Sequence[int] | np.ndarray) -> dict[str, np.ndarray]:
    """Part validation rows by their users, so that what stops training, calibrates and sets thresholds are different.

    >>> {name: found.tolist() for name, found in folds(np.array([0, 1, 2, 3, 0]), np.array([0, 1, 2, 3, 4])).items()}
    {'stop': [0, 3, 4], 'calibrate': [1], 'decide': [2]}
    """
    rows = np.asarray(rows)
    return {name: rows[users[rows] % 3 == n] for n, name in enumerate(("stop", "calibrate", "decide"))}
