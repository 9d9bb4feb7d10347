"""Vectors of users from a sequence encoder, which segments may be groups of: the order of what a user did counts.

A small network reads which targets a user fulfilled in each of the steps before the last one kept, and learns to say
those of that last step (self-supervised: no label beyond training is met). Its hidden layer, scaled to length 1, is the
user's vector; at a cutoff it reads the newest steps. Fitted by scikit-learn, kept as two arrays, applied by numpy.

Letters: B users, T steps, C targets, D numbers of a vector.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo.rows import Ragged

WIDTH = 16  # D
PASSES = 20  # over the users
BATCH = 256
DECAY = 1e-3


@dataclass(frozen=True)
class SequenceEncoder:
    """The hidden layer of a network that was fitted."""

    weight: np.ndarray  # [T - 1, C, D]
    bias: np.ndarray  # [D]

    @property
    def steps(self) -> int:
        """How many steps a sequence must have: one more than are read."""
        return len(self.weight) + 1

    def vectors(self, sequence: np.ndarray) -> np.ndarray:
        """Return each user's vector of length 1 from the newest steps of sequences [B, T, C], float64 [B, D]."""
        read = sequence[:, 1:].reshape(len(sequence), -1).astype(np.float64)
        hidden = np.tanh(read @ self.weight.reshape(-1, self.weight.shape[2]) + self.bias)
        norm = np.linalg.norm(hidden, axis=1, keepdims=True)
        return np.asarray(hidden / np.where(norm == 0, 1, norm))

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "SequenceEncoder":
        """Read what `as_dict` wrote."""
        return cls(np.asarray(found["weight"]), np.asarray(found["bias"]))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"weight": self.weight.tolist(), "bias": self.bias.tolist()}


def sequences(week: np.ndarray, targets: Ragged, weeks: Ragged, *, n_targets: int, steps: int) -> np.ndarray:
    """Lay out which targets each user fulfilled in the `steps` before an upcoming one [B], uint8 [B, T, C].

    `targets` and `weeks` are parallel lists of what happened when; the latest step is last.

    >>> lists = (Ragged(np.array(values), np.array([0, 2])) for values in ([1, 0], [7, 9]))
    >>> sequences(np.array([10]), *lists, n_targets=2, steps=3).tolist()
    [[[0, 1], [0, 0], [1, 0]]]
    """
    owner = targets.row_of_value()
    age = week[owner] - weeks.values
    seen = (age >= 1) & (age <= steps)
    found = np.zeros((len(week), steps, n_targets), dtype=np.uint8)
    found[owner[seen], steps - age[seen], targets.values[seen]] = 1
    return found


def ordered(sequence: np.ndarray) -> np.ndarray:
    """Return the places of sequences [B, T, C] in an order that what they hold decides, and no pseudonym, [B]."""
    packed = np.packbits(sequence.reshape(len(sequence), -1), axis=1)
    return np.asarray(sorted(range(len(packed)), key=lambda place: packed[place].tobytes()), dtype=np.int64)


def fit(sequence: np.ndarray) -> SequenceEncoder:
    """Fit the encoder on sequences [B, T, C] as known when training ended, in an order that no pseudonym decides."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    B, T, C = sequence.shape
    model = MLPRegressor(
        hidden_layer_sizes=(WIDTH,),
        activation="tanh",
        alpha=DECAY,
        batch_size=min(BATCH, B),
        max_iter=PASSES,
        random_state=0,
    )
    read, said = sequence[:, :-1].reshape(B, -1).astype(np.float32), sequence[:, -1].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bounded number of passes is what is asked for
        model.fit(read, said if C > 1 else said[:, 0])
    weight = np.asarray(model.coefs_[0], dtype=np.float64).round(6).reshape(T - 1, C, WIDTH)
    weight *= (sequence.max(axis=(0, 1)) > 0)[None, :, None]  # a target that the fit did not see says nothing
    return SequenceEncoder(weight, np.asarray(model.intercepts_[0], dtype=np.float64).round(6))
