"""Where yes begins: thresholds of probabilities, chosen on validation rows, that a model folder carries.

Each target gets the threshold with the highest F1 among its own pairs where enough of them came true, else the one of
all pairs of its kind. Training chooses them (train.py), evaluation judges by them, a refit carries them on.

Letters: B rows, C targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.intent import metrics
from feature_repo import files
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary

FILE = "thresholds.json"
FORMAT = 1
LEAST = 20  # pairs that came true, below which a target has no threshold of its own


@dataclass(frozen=True)
class Thresholds:
    """From which probability on each target counts as yes."""

    pooled: float  # of all pairs of the headline's targets
    by_target: np.ndarray  # [C]
    own: np.ndarray  # [C] bool: chosen on the target's own pairs
    apart: bool = False  # chosen on rows that neither stopped training nor calibrated

    def decided(self, probability: np.ndarray) -> np.ndarray:
        """Return yes and no for probabilities [B, C], bool.

        >>> Thresholds(0.5, np.array([0.5, 0.1]), np.ones(2, bool)).decided(np.array([[0.5, 0.05]])).tolist()
        [[True, False]]
        """
        return np.asarray(probability >= self.by_target)

    def save(self, folder: Path, names: Sequence[str]) -> None:
        """Write the file into a model folder."""
        targets = {
            name: {"threshold": float(self.by_target[c]), "own": bool(self.own[c])} for c, name in enumerate(names)
        }
        about = {"format": FORMAT, "apart": self.apart, "pooled": self.pooled}
        files.write_json(folder / FILE, about | {"targets": targets})

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> "Thresholds | None":
        """Read what `save` wrote, None of a model folder without it: it is older, or holds a rate."""
        path = folder / FILE
        if not path.is_file():
            return None
        found = files.read_json(path)
        if found.get("format") != FORMAT or list(found["targets"]) != list(names):
            raise DataError(f"{path}: of another format, or of other targets than the model beside it; train again")
        each = found["targets"].values()
        return cls(
            float(found["pooled"]),
            np.array([one["threshold"] for one in each]),
            np.array([one["own"] for one in each], dtype=bool),
            bool(found["apart"]),
        )


def choose(labels: np.ndarray, probability: np.ndarray, vocabulary: Vocabulary, *, apart: bool = False) -> Thresholds:
    """Choose thresholds on validation rows, labels and probabilities [B, C]."""
    head = headline(vocabulary)
    pooled = metrics.best_threshold(labels[:, head], probability[:, head])
    own = labels.sum(axis=0) >= LEAST
    rest = metrics.best_threshold(labels[:, ~head], probability[:, ~head]) if (~head).any() else pooled
    each = [
        metrics.best_threshold(labels[:, c], probability[:, c]) if own[c] else pooled if head[c] else rest
        for c in range(labels.shape[1])
    ]
    return Thresholds(pooled, np.array(each), own, apart)


def headline(vocabulary: Vocabulary) -> np.ndarray:
    """Mark the targets that headline figures are over: those of intents with a level, else all, bool [C]."""
    leveled = np.array([target.value is not None for target in vocabulary.targets])
    return leveled if leveled.any() else ~leveled
