"""Several rankers in one model folder, of which a choice names the one that scores a user's candidates.

They share candidates and facts; each scores in its own way, so only scores of one user compare. Loaded for serving,
each is in the form that it would be served in alone (score.py).

Letters: B rows, M candidates over all rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from components.ranking.baseline_net import BaselineNet, is_formula
from components.ranking.choice import Choice
from components.ranking.ensemble import Alone, Ensemble, Matrix, said
from components.ranking.levels import Facts
from components.ranking.models import ENSEMBLE, NETWORK, TREES
from components.ranking.models.trees import Trees
from feature_repo import files
from feature_repo.vocabulary import Vocabulary

Single = Alone | Ensemble
FOLDER, TABLE = "algorithms", "choice"  # of a model folder; of its config.json
CHOSEN = "chosen"


@dataclass(frozen=True)
class Bundle:
    """Rankers by name, and which of them answers for whom."""

    nets: Mapping[str, Single]
    choice: Choice
    architecture: ClassVar[str] = CHOSEN
    width: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0

    def score(
        self,
        spoke: np.ndarray,
        facts: Facts,
        matrix: Matrix,
    ) -> np.ndarray:
        """Score candidates whose rows' algorithms are `spoke` [M], float64 [M]; `matrix` makes features of facts."""
        scores = np.empty(len(spoke))
        for code in np.unique(spoke):
            mine = np.flatnonzero(spoke == code)
            some = facts if len(mine) == len(spoke) else facts.take(mine)
            scores[mine] = scored(self.nets[self.choice.algorithms[code]], some, matrix)
        return scores

    def document(self) -> dict[str, Any]:
        """Return what config.json says of it: each ranker's shape, and the choice."""
        return {FOLDER: {name: shape(net) for name, net in self.nets.items()}, TABLE: self.choice.document()}

    @classmethod
    def read(
        cls,
        folder: Path,
        config: Mapping[str, Any],
        vocabulary: Vocabulary,
        load: Callable[[Path, Mapping[str, Any]], Single],
    ) -> "Bundle":
        """Read the rankers of a model folder, each by `load` from its own folder and shape."""
        nets = {name: load(folder / FOLDER / name, shape) for name, shape in config[FOLDER].items()}
        return cls(nets, Choice.read(config[TABLE], vocabulary.targets))


def shape(net: Single) -> dict[str, Any]:
    """Return what config.json says of one ranker, by which it is loaded."""
    found = {
        "architecture": net.architecture,
        "n_features": 0 if isinstance(net, Trees) else net.n_features,
        "width": net.width,
        "dropout": net.dropout,
    }
    return found | (net.document(shape) if isinstance(net, Ensemble) else {})


def every(net: Single | Bundle) -> list[Alone]:
    """Return all that scores by itself: the rankers of a bundle, the members of an ensemble."""
    if isinstance(net, Bundle | Ensemble):
        return [one for part in net.nets.values() for one in every(part)]
    return [net]


def scored(net: Single, facts: Mapping[str, np.ndarray], matrix: Matrix) -> np.ndarray:
    """Score candidates by one ranker, float32 [M], float64 of a formula."""
    if isinstance(net, Ensemble):
        return net.of_facts(facts, matrix)
    return said(net, facts, None if isinstance(net, BaselineNet) else matrix(facts))


def name_of(net: Single) -> str:
    """Name the algorithm that a ranker is of, as specs do."""
    return _named(net.architecture)


def alone_in(folder: Path) -> str | None:
    """Name the only algorithm of a model folder without loading it; None where there are several, or no model is."""
    if not (folder / "config.json").is_file():
        return None
    architecture = str(files.read_json(folder / "config.json").get("architecture", NETWORK))
    return None if architecture == CHOSEN else _named(architecture)


def _named(architecture: str) -> str:
    return architecture if architecture in (TREES, ENSEMBLE) or is_formula(architecture) else NETWORK
