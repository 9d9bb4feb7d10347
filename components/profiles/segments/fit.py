"""Segments: users grouped by the mix of their targets. Fitted on training weeks, assigned at every cutoff.

Three methods: K-means puts a user with the nearest typical mix, LDA (topics over categories) with the topic that
explains most of what they do, and a sequence encoder (encoder.py) with the nearest typical vector, by the order of the
last steps. Each is a table and a rule, so that it is kept as JSON and assigned by numpy.
Targets without a level ('visit') say how often, not what, and are left out. What the segments' members then do is in
fallback.py.

Letters: B users, C targets, K segments, T steps, D numbers of a vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from components.profiles.segments import encoder
from components.profiles.segments.encoder import SequenceEncoder
from components.profiles.spec import Segments
from feature_repo import files
from feature_repo.rows import Ragged

FIT_ROWS = 20_000  # more users move the centroids less than a week of shopping does
ENCODER = "encoder"
SEQUENCE_ROWS = 8_000  # of a row come all its steps
TOPIC_ROWS = 8_000  # LDA's passes are in Python
SILHOUETTE_ROWS = 2_000  # its distances are quadratic
AUTO_SEGMENTS = 16  # the most that `auto` tries
PASSES = 30  # of variational inference over a user's topics; they settle within ten
NAMED_BY = 3  # targets in a name
EVEN = 1e-9


@dataclass(frozen=True)
class Segmentation:
    """Fitted segments: typical mixes (K-means) or topics (LDA) [K, C], and what is said about them."""

    method: str
    # [K, C] centroids of unit mixes, or the weights exp(E[log p(target | topic)]) of topics; [K, D] of vectors
    table: np.ndarray
    names: tuple[str, ...]
    sizes: tuple[int, ...]  # users of the fit; segment 0 is the largest
    silhouette: dict[int, float] = field(default_factory=dict)  # by k, where k was chosen
    encoder: SequenceEncoder | None = None  # of method encoder

    @cached_property
    def digest(self) -> str:
        """Digest of what a segment's number means."""
        more = [] if self.encoder is None else [self.encoder.as_dict()]
        return files.digest([self.method, self.table.round(6).tolist(), *more])

    def __len__(self) -> int:
        return len(self.names)

    def assign(self, mix: np.ndarray, sequence: np.ndarray | None = None) -> np.ndarray:
        """Return the segment of each user's target weights [B, C], int64 [B]; ties by number.

        Of method encoder it is that of each user's `sequence` [B, T, C]; left out, of users without any event in it.
        """
        if self.encoder is not None:
            steps, targets = self.encoder.steps, self.encoder.weight.shape[1]
            read = np.zeros((len(mix), steps, targets), np.uint8) if sequence is None else sequence
            said = self.encoder.vectors(read)  # [B, D]
            return np.asarray(((self.table**2).sum(1) - 2 * said @ self.table.T).argmin(1), dtype=np.int64)
        if self.method == "lda":
            return np.asarray(topics(mix, self.table).argmax(1), dtype=np.int64)
        distance = (self.table**2).sum(1) - 2 * unit(mix * self._leveled) @ self.table.T  # [B, K], up to a constant
        return np.asarray(distance.argmin(1), dtype=np.int64)

    @property
    def _leveled(self) -> np.ndarray:
        """Flag the targets that the fit looked at, [C]: the others are 0 in every row of the table."""
        return np.asarray((self.table != 0).any(0), dtype=np.float64)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Segmentation":
        """Read what `as_dict` wrote."""
        chosen = {int(k): float(score) for k, score in found["silhouette"].items()}
        learnt = SequenceEncoder.from_dict(found[ENCODER]) if ENCODER in found else None
        names, sizes = tuple(found["names"]), tuple(found["sizes"])
        return cls(found["method"], np.asarray(found["table"]), names, sizes, chosen, learnt)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "digest": self.digest,
            "method": self.method,
            "names": list(self.names),
            "sizes": list(self.sizes),
            "silhouette": {str(k): score for k, score in self.silhouette.items()},
            "table": self.table.round(6).tolist(),
        } | ({} if self.encoder is None else {ENCODER: self.encoder.as_dict()})


def mixes(ids: Ragged, weights: Ragged, *, targets: int) -> np.ndarray:
    """Return each user's decayed target weights, [B, C].

    >>> ids = Ragged(np.array([0, 1, 1]), np.array([0, 2, 3]))
    >>> mixes(ids, Ragged(np.array([3.0, 4.0, 2.0]), ids.offsets), targets=2)
    array([[3., 4.],
           [0., 2.]])
    """
    dense = np.zeros((len(ids.offsets) - 1, targets))
    dense[ids.row_of_value(), ids.values] = weights.values
    return dense


def unit(mix: np.ndarray) -> np.ndarray:
    """Scale rows to length 1: what is bought counts, not how much. Empty rows stay 0."""
    norm = np.linalg.norm(mix, axis=1, keepdims=True)
    return np.asarray(mix / np.where(norm == 0, 1, norm))


def fit(mix: np.ndarray, names: Sequence[str], spec: Segments, sequence: np.ndarray | None = None) -> Segmentation:
    """Fit segments on target weights [B, C]; rows must come in an order that no pseudonym decides.

    Method encoder is fitted on each user's `sequence` [B, T, C] as well. Fewer kinds of users than segments gives a
    segment a kind.
    """
    from threadpoolctl import threadpool_limits

    leveled = np.asarray([":" in name for name in names]) if any(":" in name for name in names) else np.ones(len(names))
    if spec.method == ENCODER:
        assert sequence is not None
        with threadpool_limits(1):
            return _by_encoder(mix * leveled, sequence * leveled.astype(np.uint8), names, spec)
    weights = _spread(mix * leveled, FIT_ROWS)
    with threadpool_limits(1):  # sums in one order, so that every machine finds the same segments
        kinds = len(np.unique(unit(weights).round(6), axis=0))
        k, silhouette = choose(weights, kinds=kinds) if spec.k == "auto" else (min(spec.k, kinds), {})
        table = _lda(weights, k) if spec.method == "lda" else _kmeans(unit(weights), k)[0]
    sizes = _sizes(Segmentation(spec.method, table.round(6), ("",) * k, ()), weights)
    table = table[np.argsort(-sizes, kind="stable")].round(6)
    found = Segmentation(spec.method, table, ("",) * k, (), silhouette)
    assigned = found.assign(weights)
    named = tuple(name(weights[assigned == s], weights, names) for s in range(k))
    return replace(found, names=named, sizes=tuple(int(n) for n in _sizes(found, weights)))


def _by_encoder(mix: np.ndarray, sequence: np.ndarray, names: Sequence[str], spec: Segments) -> Segmentation:
    """Fit the encoder, and group its vectors; names tell what members did more than everyone."""
    weights, read = _spread(mix, SEQUENCE_ROWS), _spread(sequence, SEQUENCE_ROWS)
    learnt = encoder.fit(read)
    vectors = learnt.vectors(read).round(6)  # [B, D]
    kinds = len(np.unique(vectors, axis=0))
    k, silhouette = choose(vectors, kinds=kinds) if spec.k == "auto" else (min(spec.k, kinds), {})
    table = _kmeans(vectors, k)[0].round(6)
    found = Segmentation(ENCODER, table, ("",) * k, (), silhouette, learnt)
    sizes = np.bincount(found.assign(weights, read), minlength=k)
    found = replace(found, table=table[np.argsort(-sizes, kind="stable")])
    assigned = found.assign(weights, read)
    named = tuple(name(weights[assigned == s], weights, names) for s in range(k))
    return replace(found, names=named, sizes=tuple(int(n) for n in np.bincount(assigned, minlength=k)))


def _sizes(found: Segmentation, weights: np.ndarray) -> np.ndarray:
    return np.bincount(found.assign(weights), minlength=len(found))


def choose(weights: np.ndarray, *, kinds: int) -> tuple[int, dict[int, float]]:
    """Choose the k whose K-means groups are told apart best, by the mean silhouette (Rousseeuw 1987)."""
    from sklearn.metrics import silhouette_score

    sample = unit(_spread(weights, SILHOUETTE_ROWS))
    most = min(AUTO_SEGMENTS, kinds - 1, len(sample) - 1)
    scores = {k: round(float(silhouette_score(sample, _kmeans(sample, k)[1])), 4) for k in range(2, most + 1)}
    return (max(scores, key=lambda k: (scores[k], -k)) if scores else min(2, kinds)), scores


def topics(mix: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return each user's mixture of topics, [B, K]: variational inference with the topics held fixed.

    Blei, Ng and Jordan 2003; the update is that of Hoffman, Blei and Bach 2010, as in scikit-learn's `transform`.
    """
    from scipy.special import psi

    k = len(table)
    gamma = np.ones((len(mix), k))  # [B, K]
    for _ in range(PASSES):
        weight = np.exp(psi(gamma) - psi(gamma.sum(1, keepdims=True)))  # [B, K]
        gamma = 1 / k + weight * ((mix / (weight @ table + EVEN)) @ table.T)
    return np.asarray(gamma / gamma.sum(1, keepdims=True))


def name(members: np.ndarray, everyone: np.ndarray, names: Sequence[str]) -> str:
    """Name a group by the targets that tell it from everyone: the largest terms share * log(lift)."""
    if not len(members):
        return "nobody"
    mine, all_ = shares(members), shares(everyone)  # [C]
    told = mine * np.log((mine + EVEN) / (all_ + EVEN))
    best = [c for c in np.argsort(-told, kind="stable")[:NAMED_BY] if told[c] > 0]
    return ", ".join(dict.fromkeys(names[c].split(":", 1)[-1].lower() for c in best)) or "like everyone"


def shares(group: np.ndarray) -> np.ndarray:
    """Return the share of each target in what the typical member of a group does, [C]."""
    return np.asarray((group / np.maximum(group.sum(1, keepdims=True), EVEN)).mean(0))


def _kmeans(mix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=k, n_init=4, random_state=0).fit(mix)
    return model.cluster_centers_, model.labels_


def _lda(weights: np.ndarray, k: int) -> np.ndarray:
    """Fit topics; a user's segment will be the topic with the largest part in their mixture."""
    from scipy.special import psi
    from sklearn.decomposition import LatentDirichletAllocation

    model = LatentDirichletAllocation(k, max_iter=15, max_doc_update_iter=15, mean_change_tol=0.01, random_state=0)
    counts = model.fit(_spread(weights, TOPIC_ROWS)).components_  # [K, C]
    return np.asarray(np.exp(psi(counts) - psi(counts.sum(1, keepdims=True))) * (weights.sum(0) > 0))


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Take at most so many rows, evenly over their order."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
