"""One trial of a search: train with settings, and judge on validation rows of users whom nothing else chooses by.

Training stops by other users' rows, and calibrates and sets thresholds by others again (train.folds). No test row is
here: the caller leaves them out of the examples before anything reads them.

Letters: B rows, C targets.
"""

from dataclasses import dataclass

import numpy as np

from components.intent.examples import Examples
from components.intent.spec import IntentModel
from components.intent.train import Report, Watch, folds, train
from feature_repo.errors import DataError

CUT = 1e-7  # probabilities are kept this far from 0 and 1, as where training stops


@dataclass(frozen=True)
class Judged:
    """How well a trial's model did on the rows that a search alone reads."""

    loss: float  # mean binary cross-entropy over rows and targets
    by_row: np.ndarray  # [B] float64
    epochs: int  # of both stages


def judged(
    examples: Examples,
    spec: IntentModel,
    *,
    ranking_weeks: int,
    watch: Watch,
    device: str = "auto",
    report: Report = lambda share, note: None,
) -> Judged:
    """Train with the settings of `spec`, whose `search` says that some users are the search's, and judge by those."""
    if examples.split["test"]:
        raise DataError("search: was given test weeks, which the evaluation alone reads; leave them out")
    rows = rows_of(examples, spec)
    made = train(examples, spec, ranking_weeks=ranking_weeks, device=device, report=report, watch=watch)
    by_row = losses(examples.labels[rows], made.scorer.predict(examples.rows.take(rows)))
    return Judged(float(by_row.mean()), by_row, len(made.epochs))


def rows_of(examples: Examples, spec: IntentModel) -> np.ndarray:
    """Return the places of the rows that a search judges by, int64 [B]."""
    return folds(examples, spec)["search"]


def losses(labels: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the mean binary cross-entropy of each row, float64 [B], of labels and probabilities [B, C].

    >>> losses(np.array([[1, 0]]), np.array([[0.5, 0.5]])).round(4).tolist()
    [0.6931]
    """
    p = probability.astype(np.float64).clip(CUT, 1 - CUT)
    return np.asarray(-np.log(np.where(labels > 0, p, 1 - p)).mean(axis=1))
