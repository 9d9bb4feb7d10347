"""How far a column's drift strays: its score under resamples of users, whole with all their rows of both windows.

Rows of one user are not independent, and most users are in both windows, so both draw a user the same number of times.
The cells are those of the score itself (permutation.py); only how often each counts changes.

Letters: B rows, K cells, U users, R resamples.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from components import verdicts
from components.verdicts import Sample
from monitoring.drift.permutation import Score, cells

RESAMPLES = 100


@dataclass(frozen=True)
class Draws:
    """Which user each row of both windows is of, and how often each user counts in each resample."""

    now: np.ndarray  # int64 [B], a row's user
    then: np.ndarray
    drawn: np.ndarray  # float32 [U, R]

    @classmethod
    def of(cls, now: np.ndarray, then: np.ndarray) -> "Draws":
        """Number the users of both windows, and draw them."""
        numbers, users = pd.factorize(np.concatenate([now, then]).astype(str))
        return cls(numbers[: len(now)], numbers[len(now) :], verdicts.shared_draws(users, resamples=RESAMPLES))

    def score(self, value: float, now: pd.Series, then: pd.Series, *, number: bool, score: Score) -> Sample:
        """Return a column's score with what it is under each resample, and the values behind the smaller window."""
        here, there = _held(now), _held(then)
        codes, count = cells(now[here], then[there], number=number)
        scores = score(
            self._shares(self.now[here], codes[: here.sum()], count),
            self._shares(self.then[there], codes[here.sum() :], count),
        )
        users = min(len(np.unique(self.now[here])), len(np.unique(self.then[there])))
        return Sample(value, scores, int(min(here.sum(), there.sum())), users)

    def lost(self, now: pd.Series, then: pd.Series) -> Sample:
        """Return the share of a column's values that are null now and were not, and what it is under each resample."""
        here, there = _held(now), _held(then)
        had = float(there.mean())
        value = max(0.0, 1 - float(here.mean()) / had) if had else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            lost = np.maximum(1 - self._means(self.now, here) / self._means(self.then, there), 0.0)
        users = min(len(np.unique(self.now)), len(np.unique(self.then[there])))
        return Sample(value, lost, int(min(len(here), there.sum())), users)

    def _shares(self, user: np.ndarray, cell: np.ndarray, count: int) -> np.ndarray:
        """Return the shares of cells under each resample, [R, K]."""
        users = len(self.drawn)
        table = np.bincount(user * count + cell, minlength=users * count).reshape(users, count)  # [U, K]
        drawn = self.drawn.T @ table.astype(np.float32)  # [R, K]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(drawn / drawn.sum(axis=1, keepdims=True), dtype=np.float64)

    def _means(self, user: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Return the share of rows with a value under each resample, [R]."""
        sums, rows = (np.bincount(user, weights=of, minlength=len(self.drawn)) for of in (held, np.ones(len(held))))
        return verdicts.means(sums, rows, self.drawn)


def _held(column: pd.Series) -> np.ndarray:
    return column.notna().to_numpy()
