"""Several rankers that answer as one: the weighted mean of their scores, each in units of its own spread.

A member's spread is how far its scores lie apart within a list, on the average over validation lists: networks, trees
and counts have no unit in common. It is one number a member, not one a list, so an item's score depends on the user and
the item alone, as every ranker's does: items that are scored by themselves compare with candidates. The mean is in
units of the first member's spread. Numpy; `ensemble_train.py` measures spreads.

Letters: M candidates over B lists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Union

import numpy as np

from components import member_digests
from components.ranking.baseline_net import BaselineNet
from components.ranking.models import ENSEMBLE
from components.ranking.models.trees import Trees
from components.ranking.numpy_net import NumpyNet
from feature_repo.errors import DataError

if TYPE_CHECKING:
    from components.ranking.net import ScoringNet

Alone = Union["ScoringNet", NumpyNet, BaselineNet, Trees]
Matrix = Callable[[Mapping[str, np.ndarray]], np.ndarray]  # facts to what networks and trees see, float32 [M, F]
MEMBERS = "members"  # of a model folder, the folder of theirs; of its config.json
WEIGHT, SPREAD = "weight", "spread"  # of a member in config.json and training.json


@dataclass(frozen=True)
class Ensemble:
    """Facts to scores; the members' order is the spec's."""

    nets: Mapping[str, Alone]
    weights: Mapping[str, float]  # as the spec says, above 0
    spreads: Mapping[str, float]
    architecture: ClassVar[str] = ENSEMBLE
    n_features: ClassVar[int] = 0
    width: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0

    @cached_property
    def factors(self) -> Mapping[str, float]:
        """What each member's scores are multiplied by before they are added up.

        >>> Ensemble({}, {"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 0.5}).factors
        {'a': 0.25, 'b': 3.0}
        """
        total, unit = sum(self.weights.values()), next(iter(self.spreads.values()))
        return {name: weight / total * unit / self.spreads[name] for name, weight in self.weights.items()}

    def of_facts(self, facts: Mapping[str, np.ndarray], matrix: Matrix) -> np.ndarray:
        """Score candidates, float32 [M]; `matrix` makes features of facts, once for all members."""
        learnt = [name for name, net in self.nets.items() if not isinstance(net, BaselineNet)]
        features = matrix(facts) if learnt else None
        parts = [self.factors[name] * said(net, facts, features) for name, net in self.nets.items()]
        return np.asarray(sum(parts), dtype=np.float32)

    def document(self, shape: Callable[[Alone], Mapping[str, Any]]) -> dict[str, Any]:
        """Return what config.json says of the members; `shape` says how one is loaded."""
        return {MEMBERS: {name: {**self.counts(name), **shape(net)} for name, net in self.nets.items()}}

    def counts(self, name: str) -> dict[str, float]:
        """Return how much a member counts, and in which unit."""
        return {WEIGHT: self.weights[name], SPREAD: self.spreads[name]}

    @classmethod
    def read(
        cls, folder: Path, config: Mapping[str, Any], load: Callable[[Path, Mapping[str, Any]], Any]
    ) -> "Ensemble":
        """Read the members of a model folder, each by `load` from its own folder and shape."""
        members: Mapping[str, Mapping[str, Any]] = config.get(MEMBERS, {})
        if not members or any(not one.get(part, 0) > 0 for one in members.values() for part in (WEIGHT, SPREAD)):
            raise DataError(f"{folder}: its config.json names no members of an ensemble; train again")
        member_digests.require(folder, folder / MEMBERS, members)
        return cls(
            {name: load(folder / MEMBERS / name, shape) for name, shape in members.items()},
            *({name: float(shape[part]) for name, shape in members.items()} for part in (WEIGHT, SPREAD)),
        )


def said(net: Alone, facts: Mapping[str, np.ndarray], features: np.ndarray | None) -> np.ndarray:
    """Score candidates by one ranker, float32 [M], float64 of a formula, which needs no `features` [M, F]."""
    if isinstance(net, BaselineNet):
        return net.of_facts(facts)
    assert features is not None, "networks and trees see features"
    return net.score(features)


def spread(scores: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Return the standard deviation of scores [M] within each list of two candidates or more, float64.

    >>> spread(np.array([1.0, 3.0, 9.0, 5.0, 5.0]), np.array([0, 2, 3, 5])).tolist()
    [1.0, 0.0]
    """
    lengths = np.diff(offsets)
    row = np.repeat(np.arange(len(lengths)), lengths)
    counted = np.maximum(lengths, 1)
    off = scores.astype(np.float64) - (np.bincount(row, scores, minlength=len(lengths)) / counted)[row]
    return np.asarray(np.sqrt(np.bincount(row, off**2, minlength=len(lengths)) / counted)[lengths > 1])
