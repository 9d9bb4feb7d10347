"""Users by the length of their history, in the clock's steps: what evaluations compare and a choice may depend on."""

import numpy as np

from feature_repo.rows import UserRows

COHORTS = {"new": (0, 8), "regular": (9, 24), "frequent": (25, 10**9)}  # steps in which the user did something
NAMES = tuple(COHORTS)


def lengths(rows: UserRows) -> np.ndarray:
    """Return the steps of each row's history, float64 [B]; 0 of a user whom nobody knows."""
    return np.nan_to_num(np.asarray(rows.numbers["weeks_total"], dtype=np.float64))


def of(rows: UserRows) -> np.ndarray:
    """Return the cohort of each row, a position in NAMES, int64 [B]."""
    return np.searchsorted([last for _, last in COHORTS.values()], lengths(rows))
