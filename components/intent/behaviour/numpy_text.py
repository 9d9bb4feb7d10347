"""What a served network has in the place of an encoder of weeks: tokens to vectors of the network's width.

The encoder is numpy's, or a graph of int8, as the model's shape says.

Letters: B texts, H width of the encoder, D width of the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from components.intent.behaviour.numpy_bert import NumpyBert
from components.intent.behaviour.onnx_bert import OnnxBert
from components.intent.encode import Encoded
from components.intent.numpy_encoders import linear, mapped, normed
from components.intent.shape import GRAPH, Shape


@dataclass(frozen=True)
class NumpyText:
    """What stands in the place of the encoder of weeks: texts to vectors of the network's width."""

    bert: NumpyBert
    _scale: tuple[np.ndarray, np.ndarray] = field(repr=False)
    _out: tuple[np.ndarray, np.ndarray] = field(repr=False)
    _norm: tuple[np.ndarray, np.ndarray] = field(repr=False)

    @classmethod
    def of(cls, shape: Shape, weights: Mapping[str, np.ndarray]) -> "NumpyText":
        """Return the encoder of a network's weights by name, those of `weeks.`."""
        assert shape.text is not None
        own = {
            name.removeprefix("bert.").removeprefix("bert."): values  # a prefix stands around its encoder
            for name, values in weights.items()
            if name.startswith("bert.") or name == GRAPH
        }
        return cls(
            OnnxBert.of(shape.text, own) if GRAPH in shape.text else NumpyBert.of(shape.text, own),
            (weights["mean"], weights["scale"]),
            linear(weights, "out"),
            (weights["norm.weight"], weights["norm.bias"]),
        )

    def forget(self) -> None:
        """Let go of all vectors that were kept."""
        self.bert.forget()

    def __call__(self, encoded: Encoded) -> np.ndarray:
        """Return float32 [B, D]."""
        text = encoded.text
        assert text is not None, "a model that reads text is asked through its scorer, which adds it"
        vectors = text if np.issubdtype(text.dtype, np.floating) else self.bert.vectors(text)
        mean, scale = self._scale
        return normed(mapped((vectors - mean) * scale, self._out), *self._norm, np.float32(1e-5))
