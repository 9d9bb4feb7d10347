"""Maps from what a model says to how often it comes true, one for each intent; calibrate.py fits them.

Off by default: trained by cross-entropy and stopped early, the default model's probabilities hold as they are. A loss
that weighs pairs otherwise (`models.intent.loss`) distorts them, and needs this. A map never turns an order around
within an intent, and ties nothing that was apart. It lies beside the weights as `calibration.json`, and whatever
predicts applies it: evaluation, batch and door.

Letters: B rows, C targets, K knots.
"""

from collections.abc import Mapping
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
SMALL = 1e-6  # keeps logits finite
STEEPEST = 10.0  # slope beyond the outer knots: of the coldest temperature


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
            found[:, mine] = expit(_through(logits(probability[:, mine]), said, meant))
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


def _through(said: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Go through knots in straight lines; beyond the ends the outer lines go on, a lone knot moves all alike.

    Beyond the ends no line is steeper than `STEEPEST`: two knots that lie close say nothing of what is far from them.
    """
    if len(x) == 1:
        return np.asarray(said - x[0] + y[0])
    place = np.clip(np.searchsorted(x, said) - 1, 0, len(x) - 2)
    slope = np.diff(y) / np.diff(x)
    inside = np.clip(said, x[0], x[-1])
    beyond = (said - inside) * np.minimum(slope, STEEPEST)[place]
    return np.asarray(y[place] + (inside - x[place]) * slope[place] + beyond)


def logits(probability: np.ndarray) -> np.ndarray:
    """Return log odds, finite at 0 and 1."""
    return np.asarray(logit(np.clip(probability.astype(np.float64), SMALL, 1 - SMALL)))
