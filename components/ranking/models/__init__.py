"""The rankers: one module each, by the name that `models.ranking.algorithm` gives it.

`network` trains one of `MODELS`, which `models.ranking.architecture` names: a module with `build(n_features, *, width,
dropout)`, which returns a `ScoringNet` (components/ranking/net.py) with its own `forward` and `loss`. A formula is a
module with `score(facts)`: nothing is trained but the source whose score it may read. `lambdamart` trains trees over
the features that a network sees. `ensemble` means several of the others (components/ranking/ensemble.py). The spec
reads the tuples, so nothing here imports torch; `builder` and `formula` load the module behind a name. A new one is its
module and its line.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from feature_repo.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from components.ranking.net import ScoringNet

MODELS = ("listwise_mlp",)
NETWORK = "network"
TREES = "lambdamart"
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Algorithm:
    """A way to order candidates."""

    name: str
    about: str
    formula: bool = True  # its module scores facts; else it is trained on features
    source: str = ""  # candidate source whose score it reads, which is then fitted though it may bring nothing


ALGORITHMS = (
    Algorithm(NETWORK, "a network over the candidates' features, of `architecture`", formula=False),
    Algorithm(TREES, "boosted trees over the same features (LightGBM's LambdaRank)", formula=False),
    Algorithm("frequency", "how often the user had it, what is recent counting most; then popular items"),
    Algorithm("popular", "how many users had it lately"),
    Algorithm(
        "tifu", "the user's decayed frequencies blended with those of near users, after TIFU-KNN", source="users"
    ),
    Algorithm("tifu_sized", "as tifu, an item of a small basket counting for more than one of a large", source="sized"),
    Algorithm("basket", "how likely the user has each item again, by the steps in which it was had", source="basket"),
    Algorithm("sequence", "self-attention over the history's order, after SASRec", source="sequence"),
    Algorithm(ENSEMBLE, "the mean of what its `members` say, each in units of its own spread", formula=False),
)
BY_NAME = {algorithm.name: algorithm for algorithm in ALGORITHMS}
FORMULAS = tuple(algorithm.name for algorithm in ALGORITHMS if algorithm.formula)


class Builder(Protocol):
    """What the module of a network has."""

    def build(self, n_features: int, *, width: int, dropout: float) -> "ScoringNet":
        """Return an untrained network; torch's generator gives its first weights."""


class Formula(Protocol):
    """What the module of a formula has."""

    def score(self, facts: "Mapping[str, np.ndarray]") -> "np.ndarray":
        """Score candidates by their facts (encode.py), [M]."""


def builder(architecture: str) -> Builder:
    """Return the module of a network."""
    if architecture not in MODELS:
        raise DataError(f"ranking model: no architecture '{architecture}'; have {', '.join(MODELS)}")
    return cast(Builder, importlib.import_module(f"{__name__}.{architecture}"))


def formula(name: str) -> Formula:
    """Return the module of a formula."""
    return cast(Formula, importlib.import_module(f"{__name__}.{name}"))
