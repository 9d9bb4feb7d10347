"""Rows of the past with what their users did in the step after: what a source that is fitted to labels learns from."""

from dataclasses import dataclass

import numpy as np

from feature_repo.calendar import Calendar
from feature_repo.rows import Ragged, UserRows


@dataclass(frozen=True)
class Past:
    """User-steps whose labels were known when something is fitted; letters: B rows."""

    rows: UserRows  # as known at the start of their steps
    step: np.ndarray  # [B] int64
    bought: Ragged  # items of the step
    calendar: Calendar
