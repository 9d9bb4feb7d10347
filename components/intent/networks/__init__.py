"""The encoders of a user's weeks or events: one module each, by the name that `models.intent.architecture` gives it.

A module has `build(shape)`, which returns a torch module from tokens [B, T, D] to [B, T, D]. Weeks are all there; of
events a mask [B, T] says which are, the newest at the right end, and no output of one that is may depend on those that
are not. The spec reads `NETWORKS`, so nothing here imports torch; `build` loads the module behind a name. A new one is
its module, its name here, and the same in numpy in components/intent/numpy_encoders.py, which serves it.
"""

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from feature_repo.errors import DataError

if TYPE_CHECKING:
    from torch import nn

    from components.intent.shape import Shape

TREES = "gbdt"  # the architecture that is no network (components/intent/forest.py)
TEXT = "text"  # reads what users did as text, and no steps: its module builds from tokens [B, L] to [B, D]
ENSEMBLE = "ensemble"  # several of the others that answer as one (components/intent/ensemble.py)
NETWORKS = ("transformer", "lstm", "gru", "rnn", "cnn")


class Builder(Protocol):
    """What the module of an architecture has."""

    def build(self, shape: "Shape") -> "nn.Module":
        """Return an untrained encoder; torch's generator gives its first weights."""


def build(shape: "Shape") -> "nn.Module":
    """Return the untrained encoder that a shape asks for."""
    if shape.architecture not in NETWORKS:
        raise DataError(f"intent model: no architecture '{shape.architecture}'; have {', '.join(NETWORKS)}")
    return cast(Builder, importlib.import_module(f"{__name__}.{shape.architecture}")).build(shape)
