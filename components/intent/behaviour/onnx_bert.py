"""A text encoder in int8 as it is served: the graph that ONNX Runtime runs in the place of numpy.

A saved model holds the graph as bytes among its weights; onnx_graph.py makes it. It reads one text at a time, never
filled up: activations are rounded by the range of their own text, so a text has the same vector alone and in a batch.

Letters: B texts, L tokens, H width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components.intent.behaviour.numpy_bert import NumpyBert
from components.intent.onnx_session import session
from components.intent.shape import GRAPH  # also its name among the weights

TOKENS, VECTOR = "tokens", "vector"  # what the graph takes, int64 [1, L], and gives, float32 [1, H]


@dataclass(frozen=True)
class OnnxBert(NumpyBert):
    """Tokens to vectors, as `NumpyBert` gives them but for the rounding to int8."""

    _session: Any = field(default=None, repr=False)

    @classmethod
    def of(cls, text: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> "OnnxBert":
        """Open the graph that weights hold; DataError, one line, where no ONNX Runtime is installed."""
        return cls(text, {}, [], _session=session(weights[GRAPH].tobytes()))

    def computed(self, tokens: np.ndarray) -> np.ndarray:
        """Compute the vectors of texts, float32 [B, H], one by one; tokens [B, L] are filled up at the right."""
        length = np.maximum((tokens != self._pad).sum(axis=1), 1)
        rows = (row[None, :n].astype(np.int64) for row, n in zip(tokens, length, strict=True))
        return np.concatenate([self._session.run(None, {TOKENS: row})[0] for row in rows])
