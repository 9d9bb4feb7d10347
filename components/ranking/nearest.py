"""The nearest of many vectors by cosine: exact in numpy, and from `LIMIT` vectors on by an inverted file of faiss.

The inverted file (IVF: Johnson, Douze and Jégou, 2019) is made aside, by a thread, and answers only after it was held
beside the exact answer: its probes are doubled until `RECALL` of the exact ten are found on a sample of the vectors.
Until then, where that is never reached, and where faiss is not installed (extra `faiss`), the answer is exact.

Letters: N vectors, D components.
"""

import logging
import math
import threading
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from feature_repo.item_vectors import unit

LIMIT = 50_000  # vectors; below, comparing all costs about a millisecond
RECALL, SAMPLE, TEN = 0.95, 256, 10
BLOCK = 16  # queries that are compared with all vectors at once
TRAIN_PER_LIST = 64  # vectors that each list's centre is learnt from
DIGITS = 5  # of a cosine: a sum over many rows may differ from that over one beyond these
log = logging.getLogger("intentflow.ranking")


class Approximate(Protocol):
    """What faiss has of an index."""

    nprobe: int
    nlist: int

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosines and positions of each query's best k, -1 past the last."""


class Nearest:
    """Vectors that one is compared with; zeros are like nothing."""

    def __init__(self, vectors: np.ndarray, *, limit: int = LIMIT) -> None:
        self._given, self._limit = vectors, limit
        self._one = threading.Lock()
        self._asked, self._index = False, None  # type: bool, Approximate | None

    def __len__(self) -> int:
        return len(self._given)

    @property
    def indexed(self) -> bool:
        """Tell whether an inverted file answers by now."""
        return self._index is not None

    @cached_property
    def vectors(self) -> np.ndarray:
        """Return the vectors, each of length 1, float32 [N, D]."""
        return np.ascontiguousarray(unit(np.asarray(self._given, dtype=np.float32)), dtype=np.float32)

    def of(self, place: int, *, most: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions and cosines of the `most` nearest to one of the vectors that are allowed, bool [N].

        The nearest first, ties by position; none of a cosine of 0 or less. Fewer where there are no more.
        """
        if place >= len(self):
            return np.empty(0, np.int64), np.empty(0)
        query, index = self.vectors[place], self._ready()
        if index is not None:
            _, found = index.search(query[None], min(4 * most + 16, len(self)))
            found = found[0][found[0] >= 0]
            found = found[allowed[found]]
            if len(found) >= most:  # else what is not allowed took the places
                return _ordered(found, self.vectors[found] @ query, most)
        cosine = self.vectors @ query
        cosine[~allowed] = 0.0
        here = np.argpartition(-cosine, most - 1)[:most] if most < len(cosine) else np.arange(len(cosine))
        here = np.flatnonzero(cosine >= cosine[here].min()) if most < len(cosine) else here
        return _ordered(here, cosine[here], most)

    def _ready(self) -> Approximate | None:
        """Return the inverted file once it is there; the first that asks has it made."""
        if len(self) >= self._limit and not self._asked:
            with self._one:
                if not self._asked:
                    self._asked = True
                    threading.Thread(target=self.prepare, name="nearest", daemon=True).start()
        return self._index

    def prepare(self) -> None:
        """Make the inverted file, if faiss is there, and use it if it finds what the exact answer does."""
        self._asked = True
        try:
            import faiss
        except ImportError:
            log.warning("%d vectors are compared exactly: faiss is not installed (extra `faiss`)", len(self))
            return
        self._index = tuned(_made(faiss, self.vectors), self.vectors)


def _made(faiss: Any, vectors: np.ndarray) -> Approximate:
    """Make an inverted file over all vectors, inner products as metric."""
    lists = max(1, min(4 * math.isqrt(len(vectors)), len(vectors) // TRAIN_PER_LIST))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    chosen = np.random.default_rng(0).permutation(len(vectors))[: lists * TRAIN_PER_LIST]
    index.train(vectors[chosen])
    index.add(vectors)
    found: Approximate = index
    return found


def tuned(index: Approximate, vectors: np.ndarray) -> Approximate | None:
    """Double an index's probes until it finds `RECALL` of the exact ten; None where only all lists would."""
    asked = vectors[np.random.default_rng(1).permutation(len(vectors))[:SAMPLE]]
    ten = min(TEN, len(vectors))
    # By cosine, not by position: of vectors that are equal an index may find any.
    parts = np.array_split(asked, -(-len(asked) // BLOCK))  # so that few cosines are held at once
    least = np.concatenate([np.partition(one @ vectors.T, -ten, axis=1)[:, -ten] for one in parts])  # [S]
    least -= 10.0**-DIGITS
    index.nprobe = 1
    while index.nprobe < index.nlist:
        cosine, place = index.search(asked, ten)
        recall = float(((cosine >= least[:, None]) & (place >= 0)).mean())
        if recall >= RECALL:
            log.info("%d vectors: %d of %d lists find %.3f", len(vectors), index.nprobe, index.nlist, recall)
            return index
        index.nprobe = min(2 * index.nprobe, index.nlist)
    log.warning("%d vectors are compared exactly: no share of the lists finds %.2f of the ten", len(vectors), RECALL)
    return None


def _ordered(place: np.ndarray, cosine: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Order positions by rounded cosine, ties by position, and drop those of 0 or less."""
    cosine = np.round(cosine.astype(np.float64), DIGITS)
    order = np.lexsort((place, -cosine))[:most]
    order = order[cosine[order] > 0]
    return np.asarray(place[order], dtype=np.int64), cosine[order]
