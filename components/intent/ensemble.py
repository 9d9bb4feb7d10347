"""Several intent models that answer as one: the weighted mean of their probabilities. Numpy; nothing is trained here.

`ensemble_train.py` trains the members and chooses the weights; a model folder holds a folder of each member, so that a
version bundles them all. A mean of probabilities is as near to its trained form as the members are to theirs, which a
mean of log odds near 0 and 1 would not be, and its cross-entropy is at most the mean of theirs.

Letters: B users, C targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components import member_digests
from components.intent.encode import Encoded
from components.intent.forest import Forest
from components.intent.networks import TREES
from components.intent.numpy_net import CONFIG, NumpyNet, shape_of
from components.intent.numpy_net import served as served_net
from components.intent.shape import Shape
from feature_repo import files
from feature_repo.errors import DataError

if TYPE_CHECKING:
    from components.intent.model import IntentNet

    Member = IntentNet | NumpyNet | Forest

MEMBERS = "members"  # of config.json: the weight of each; and the folder of their folders
PICKS = 20  # of members, with replacement: weights are multiples of 1 / PICKS
Says = Callable[[Encoded], np.ndarray]


@dataclass(frozen=True)
class Ensemble:
    """Gives every user a probability for every target."""

    shape: Shape  # that of any member, but for the architecture's name
    members: Mapping[str, "Member"]
    weights: Mapping[str, float]  # by member, summing up to 1; one of weight 0 is not asked

    @property
    def served(self) -> bool:
        """Tell whether no member needs torch."""
        return all(isinstance(one, NumpyNet | Forest) for one in self.members.values())

    def probabilities(self, encoded: Encoded) -> np.ndarray:
        """Return the probability of each target for encoded rows, float32 [B, C]; of members that need no torch."""
        says = {name: one.probabilities for name, one in self.members.items() if isinstance(one, NumpyNet | Forest)}
        return self.said_by(says, encoded)

    def of_target(self, encoded: Encoded, target: int) -> np.ndarray:
        """Return the probability of one target for encoded rows, float32 [B]; of members that need no torch."""
        said = {
            name: one.of_target(encoded, target) if isinstance(one, Forest) else one.probabilities(encoded)[:, target]
            for name, one in self.members.items()
            if self.weights[name] and isinstance(one, NumpyNet | Forest)
        }
        return mean(said, self.weights)

    def said_by(self, says: Mapping[str, Says], encoded: Encoded) -> np.ndarray:
        """Return the weighted mean of what members say of encoded rows, float32 [B, C]."""
        asked = {name: says[name](encoded) for name, weight in self.weights.items() if weight}
        return mean(asked, self.weights)

    def save(self, folder: Path) -> None:
        """Write each member's folder, and the weights, into an existing folder.

        The weights' file holds the digests of the members' own, so that its digest is that of all.
        """
        files.write_json(folder / CONFIG, {"network": self.shape.document(), MEMBERS: dict(self.weights)})
        for name, one in self.members.items():
            own = folder / MEMBERS / name
            own.mkdir(parents=True)
            if isinstance(one, Forest):
                one.save(own)
            else:
                from components.intent import model

                model.save(one, own)  # type: ignore[arg-type]  # a served form is never saved
        member_digests.note(folder, folder / MEMBERS, self.members)

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Ensemble":
        """Read a model folder, networks as they were trained."""

        def network(own: Path) -> "Member":
            from components.intent import model

            return model.load(own, device)

        return cls._read(folder, network)

    @classmethod
    def load_served(cls, folder: Path) -> "Ensemble":
        """Read a model folder, networks in the form that answers fastest: by torch only where no other is proven."""

        def network(own: Path) -> "Member":
            form = served_net(own)
            if form is not None:
                return form
            from components.intent import model

            return model.load(own)

        return cls._read(folder, network)

    @classmethod
    def _read(cls, folder: Path, network: Callable[[Path], "Member"]) -> "Ensemble":
        weights = weights_of(folder)
        member_digests.require(folder, folder / MEMBERS, weights)
        members = {name: _member(folder / MEMBERS / name, name, network) for name in weights}
        return cls(shape_of(folder), members, weights)


def weights_of(folder: Path) -> dict[str, float]:
    """Read the members' weights of a model folder."""
    weights = files.read_json(folder / CONFIG).get(MEMBERS)
    if not isinstance(weights, dict) or not weights or not abs(sum(weights.values()) - 1) <= 1e-9:
        raise DataError(f"{folder}: its {CONFIG} names no members of an ensemble; run the pipeline again")
    return {str(name): float(weight) for name, weight in weights.items()}


def _member(folder: Path, name: str, network: Callable[[Path], "Member"]) -> "Member":
    found = shape_of(folder).architecture
    if found != name:
        raise DataError(f"{folder}: holds a model of architecture '{found}', not of '{name}'; run the pipeline again")
    return Forest.load(folder) if name == TREES else network(folder)


def mean(said: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return the weighted mean of probabilities [B, C], float32; members that are not in `said` have no weight.

    >>> mean({"a": np.array([[0.25]]), "b": np.array([[0.75]])}, {"a": 0.75, "b": 0.25, "c": 0.0}).tolist()
    [[0.375]]
    """
    total = sum(np.float32(weights[name]) * one.astype(np.float32) for name, one in said.items())
    return np.asarray(total, dtype=np.float32)


def chosen(labels: np.ndarray, said: Mapping[str, np.ndarray], weight: np.ndarray | None = None) -> dict[str, float]:
    """Choose weights by the cross-entropy of judged rows: members picked one by one, each pick the best of all.

    Greedy selection with replacement (Caruana and others, 2004), so a member that adds nothing gets the weight 0.
    `labels` and each of `said` are [B, C], `weight` [B] the possible rows that a row stands for.

    >>> truth = np.array([[1], [0]])
    >>> chosen(truth, {"knows": np.array([[0.9], [0.1]]), "errs": np.array([[0.2], [0.8]])})
    {'knows': 1.0, 'errs': 0.0}
    """
    from components.intent import metrics  # training's: the code beside a registered model goes without

    picks, total = dict.fromkeys(said, 0), np.zeros(labels.shape)
    for number in range(1, PICKS + 1):
        losses = {
            name: float(np.average(metrics.cross_entropy(labels, (total + one) / number), weights=weight))
            for name, one in said.items()
        }
        best = min(losses, key=lambda name: losses[name])  # of equals the first
        picks[best] += 1
        total += said[best]
    return {name: count / PICKS for name, count in picks.items()}


def described(weights: Mapping[str, Any]) -> str:
    """Name members with their weights, for a card.

    >>> described({"transformer": 0.75, "gbdt": 0.25})
    'transformer (0.75), gbdt (0.25)'
    """
    return ", ".join(f"{name} ({weight:g})" for name, weight in weights.items())
