"""The rankers: one module each, by the name that `models.ranking.architecture` gives it.

A module has `build(n_features, *, width, dropout)`, which returns a `ScoringNet` (components/ranking/net.py) with its
own `forward` and `loss`. The spec reads `MODELS`, so nothing here imports torch; `builder` loads the module behind a
name. A new one is its module and its name.
"""

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from feature_repo.errors import DataError

if TYPE_CHECKING:
    from components.ranking.net import ScoringNet

MODELS = ("listwise_mlp",)


class Builder(Protocol):
    """What the module of a ranker has."""

    def build(self, n_features: int, *, width: int, dropout: float) -> "ScoringNet":
        """Return an untrained network; torch's generator gives its first weights."""


def builder(architecture: str) -> Builder:
    """Return the module of a ranker."""
    if architecture not in MODELS:
        raise DataError(f"ranking model: no architecture '{architecture}'; have {', '.join(MODELS)}")
    return cast(Builder, importlib.import_module(f"{__name__}.{architecture}"))
