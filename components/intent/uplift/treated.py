"""Rows of a question about an effect: what was known of a user, whether they got it, and what they did then.

Letters: N rows (a user at one occasion), F features.
"""

from dataclasses import dataclass, field

import numpy as np

from feature_repo.errors import DataError

FEWEST = 100  # rows with, and rows without
NOBODY = (
    "uplift: no row can be compared: whoever got it was sure to, and whoever did not had no chance; nothing is known "
    "of what it changes"
)


@dataclass(frozen=True)
class Treated:
    """One row a user and occasion; a user may have several, which count as one when intervals are drawn."""

    features: np.ndarray  # [N, F] float64, known before the occasion
    treated: np.ndarray  # [N] bool
    outcome: np.ndarray  # [N] float64, after it
    user: np.ndarray  # [N] int64
    least: int = field(default=FEWEST, kw_only=True)  # rows with, and rows without, on fewer of which nothing is said

    def __post_init__(self) -> None:
        rows = len(self.treated)
        if not (len(self.features) == len(self.outcome) == len(self.user) == rows):
            raise ValueError("features, treated, outcome and user are of other lengths")
        for what, count in (("got it", int(self.treated.sum())), ("did not get it", int((~self.treated).sum()))):
            if count < self.least:
                raise DataError(
                    f"uplift: {count} rows of {rows} {what}, fewer than {self.least}: there is nothing to compare "
                    "with; take more occasions"
                )
        if not (np.isfinite(self.features).all() and np.isfinite(self.outcome).all()):
            raise DataError("uplift: features or outcomes hold nan or infinity; allowed: numbers; fill what is missing")

    def folds(self, count: int, *, seed: int) -> np.ndarray:
        """Return the fold of each row, [N]: all of a user's rows in one, so that no model has seen them."""
        users, place = np.unique(self.user, return_inverse=True)
        drawn = np.random.default_rng(seed).permutation(len(users)) % count
        return np.asarray(drawn[place])

    def at(self, rows: np.ndarray) -> "Treated":
        """Return some of the rows."""
        return Treated(self.features[rows], self.treated[rows], self.outcome[rows], self.user[rows], least=self.least)
