"""A rate in the intent network's place: what serves where no network has passed its gates and nothing else could.

It is saved as a network is, under the rate's name instead of an architecture's: the training rows' rate of each target
and the weeks that it counts are its weights, in float64, so that a loaded one answers to the bit. It cannot be trained,
so no spec may ask for it.

Letters: B rows, C targets.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from components.intent import rates
from components.intent.encode import require_targets
from components.intent.shape import Shape
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows


class RateNet(nn.Module):
    """Rows to probabilities by one of `rates.NAMES`."""

    rate: Tensor  # [C] float64
    prior_weeks: Tensor  # [] float64

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("rate", torch.zeros(shape.targets, dtype=torch.float64))
        self.register_buffer("prior_weeks", torch.zeros((), dtype=torch.float64))

    @classmethod
    def of(cls, name: str, shape: Shape, *, rate: np.ndarray, prior_weeks: float) -> "RateNet":
        """Return the rate of a name, of as many targets as a network of that shape has."""
        net = cls(dataclasses.replace(shape, architecture=name))
        net.rate.copy_(torch.from_numpy(np.asarray(rate, dtype=np.float64)))
        net.prior_weeks.fill_(prior_weeks)
        return net

    def predict(self, rows: UserRows, calendar: Calendar, horizons: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each target for each row, float32 [B, C]; `horizons` [C] are in steps."""
        require_targets(rows, self.shape.targets)
        return rates.predicted(
            self.shape.architecture,
            rows,
            rate=self.rate.numpy(),
            prior_weeks=float(self.prior_weeks),
            calendar=calendar,
            horizons=horizons,
        )
