"""The trained ranking network in numpy: the form that is served, since a door without torch starts soon and is small.

It computes what the module in components/ranking/models computes, in the same order, from the same weights file. A form
that is not the same to 1e-5 is not served: saving a network compares the two (`model.save`) and writes
`served_form.json` beside the weights only where they agree. A folder without that file is served by torch.

Letters: N candidates, F features, D width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from components import served_form

FILE = "weights.safetensors"
FIRST = "listwise_mlp"  # of folders written before there were several
DRAWN = 256  # made-up candidates that both forms are asked about
Weights = Mapping[str, np.ndarray]
Body = Callable[[np.ndarray], np.ndarray]


def listwise_mlp(weights: Weights) -> Body:
    """Return the perceptron with its linear skip path: standardised features [N, F] to scores [N]."""
    matrices = [np.ascontiguousarray(weights[f"body.{i}.weight"].T) for i in (0, 3, 6)]
    biases = [weights[f"body.{i}.bias"] for i in (0, 3, 6)]
    skip, skip_bias = weights["skip.weight"][0], weights["skip.bias"]

    def scores(x: np.ndarray) -> np.ndarray:
        h = x
        for matrix, bias in zip(matrices[:2], biases[:2], strict=True):
            h = h @ matrix  # [N, D]
            h += bias
            np.maximum(h, 0, out=h)
        return np.asarray((h @ matrices[2][:, 0] + biases[2]) + (x @ skip + skip_bias))

    return scores


FORMS: Mapping[str, Callable[[Weights], Body]] = {"listwise_mlp": listwise_mlp}


@dataclass(frozen=True)
class NumpyNet:
    """Features [N, F] to scores [N]; only scores of one list compare."""

    architecture: str
    n_features: int
    width: int
    dropout: float
    mean: np.ndarray = field(repr=False)  # [F] float32
    scale: np.ndarray = field(repr=False)  # [F] float32
    _body: Body = field(repr=False)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any]) -> "NumpyNet":
        """Read the weights that `model.save` wrote; `config` is the folder's."""
        weights = load_file(folder / FILE)
        architecture = str(config.get("architecture", FIRST))
        return cls(
            architecture,
            n_features=int(config["n_features"]),
            width=int(config["width"]),
            dropout=float(config["dropout"]),
            mean=weights["mean"],
            scale=weights["scale"],
            _body=FORMS[architecture](weights),
        )

    def score(self, features: np.ndarray) -> np.ndarray:
        """Score features [N, F], float32 [N]."""
        x = features - self.mean
        x *= self.scale
        return self._body(x)


def served(folder: Path, config: Mapping[str, Any]) -> NumpyNet | None:
    """Return the form that a model folder is served in, None where only torch can: it is older, or they differ."""
    return NumpyNet.load(folder, config) if served_form.proven(folder, folder / FILE, what="ranking model") else None


def drawn(net: NumpyNet) -> np.ndarray:
    """Make up the features of candidates as wide as training's were, the first all 0, float32 [N, F]."""
    spread = np.where(net.scale > 0, 1 / np.where(net.scale > 0, net.scale, 1), 0)
    made = net.mean + spread * np.random.default_rng(0).normal(0, 2, (DRAWN, net.n_features))
    made[0] = 0
    return np.asarray(made.astype(np.float32))
