"""A rate in the intent network's place: what serves where no network has passed its gates and nothing else could.

It is saved as a network is, under the rate's name instead of an architecture's: the training rows' rate of each target
and the weeks that it counts are its weights, in float64, so that a loaded one answers to the bit. It cannot be trained,
so no spec may ask for it.

Letters: B rows, C targets.
"""

import dataclasses
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from components.intent import rates
from components.intent.encode import require_targets
from components.intent.numpy_net import CONFIG, WEIGHTS, shape_of
from components.intent.shape import Shape
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows


@dataclasses.dataclass(frozen=True)
class RateNet:
    """Rows to probabilities by one of `rates.NAMES`."""

    shape: Shape
    rate: np.ndarray  # [C] float64
    prior_weeks: float

    @classmethod
    def of(cls, name: str, shape: Shape, *, rate: np.ndarray, prior_weeks: float) -> "RateNet":
        """Return the rate of a name, of as many targets as a network of that shape has."""
        given = np.asarray(rate, dtype=np.float64)
        return cls(dataclasses.replace(shape, architecture=name), given, float(prior_weeks))

    def save(self, folder: Path) -> None:
        """Write it into an existing folder as a network is written."""
        save_file({"rate": self.rate, "prior_weeks": np.asarray(self.prior_weeks)}, folder / WEIGHTS)
        (folder / WEIGHTS).chmod(0o644)  # safetensors makes it the owner's own; another user may serve it
        files.write_json(folder / CONFIG, {"network": self.shape.document()})

    @classmethod
    def load(cls, folder: Path) -> "RateNet":
        """Read what `save` wrote."""
        weights = load_file(folder / WEIGHTS)
        return cls(shape_of(folder), weights["rate"], float(weights["prior_weeks"]))

    def predict(self, rows: UserRows, calendar: Calendar, horizons: np.ndarray | None = None) -> np.ndarray:
        """Return the probability of each target for each row, float32 [B, C]; `horizons` [C] are in steps."""
        require_targets(rows, self.shape.targets)
        return rates.predicted(
            self.shape.architecture,
            rows,
            rate=self.rate,
            prior_weeks=self.prior_weeks,
            calendar=calendar,
            horizons=horizons,
        )
