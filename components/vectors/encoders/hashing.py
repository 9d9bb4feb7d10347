"""Hashed character n-grams: texts that share word parts are near. No weights, no language, no understanding.

A text's vector does not depend on what other texts there are, so it needs no fitting and holds for new items.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer

DISTRIBUTION, REVISION = "", 1
WIDTH = 512  # buckets: two texts without a common n-gram have a cosine of 0 +- 1/23


class Hashing:
    """Counts n-grams of 3 to 5 characters within words, by hash."""

    def __init__(self) -> None:
        self._counts = HashingVectorizer(n_features=WIDTH, analyzer="char_wb", ngram_range=(3, 5), norm="l2")

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return the texts' vectors, float32 [N, D]."""
        if not texts:
            return np.zeros((0, WIDTH), np.float32)
        return np.asarray(self._counts.transform(list(texts)).toarray(), dtype=np.float32)


def open(folder: Path | None) -> Hashing:
    """Return the encoder."""
    return Hashing()
