"""How much each number of the profile tells of the declared intents: the part of their uncertainty that it takes away.

Importance of a number for a target is their mutual information, with the number cut at its own quantiles, over the
target's entropy (Theil's uncertainty coefficient, 0..1). An intent with a level sums both over its targets, so that
targets count by what there is to know of them; over several intents it is the mean or the largest. Chance alone lets
every number seem to tell something: the first-order bias of mutual information (Miller and Madow 1955) is taken off.

Pure numpy: no file, no model. A number is judged by itself, so two that say the same are both important.

Letters: R rows, P numbers, C targets, I intents, K bins.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from feature_repo.dropped_features import Relevance
from feature_repo.errors import DataError

BINS = 16
NOTHING = 1e-12  # nats
CHUNK = 4096  # rows counted at a time: bounds memory


@dataclass(frozen=True)
class Importance:
    """How much a number tells, 0..1."""

    joined: float  # over all intents
    by_intent: dict[str, float]


@dataclass(frozen=True)
class Choice:
    """Which numbers stay, and why."""

    kept: tuple[str, ...]  # in the order of all names
    importance: dict[str, Importance]  # by number, the most important first
    constant: tuple[str, ...]
    not_finite: dict[str, int]  # rows in which a number is none
    notes: tuple[str, ...] = ()  # where the outcome is not what was asked

    def document(self, asked: Relevance) -> dict[str, Any]:
        """Return what the model's folder holds of it."""
        return {
            "relevance": "top_k",
            "k": asked.k,
            "join": asked.join,
            "kept": [name for name in self.importance if name in self.kept],
            "dropped": [name for name in self.importance if name not in self.kept],
            "constant": list(self.constant),
            "not_finite": self.not_finite,
            "importance": {name: asdict(told) for name, told in self.importance.items()},
            "notes": list(self.notes),
        }


def choose(
    names: Sequence[str],
    values: np.ndarray,
    labels: np.ndarray,
    intents: Sequence[str],
    asked: Relevance,
    *,
    weight: np.ndarray | None = None,
) -> Choice:
    """Choose of numbers [R, P] the k that tell most of the targets [R, C]; `intents` names each target's intent.

    A number that never changes, or is not finite in some row, is never chosen. A row counts `weight` [R] times.

    >>> table = np.array([[0.0, 5.0, 1.0], [0.0, 5.0, 2.0], [1.0, 5.0, 1.0], [1.0, 5.0, 2.0]] * 20)
    >>> found = choose(["tells", "flat", "noise"], table, table[:, :1].astype(int), ["buy"], Relevance(1, "mean"))
    >>> found.kept, found.constant, found.importance["noise"]
    (('tells',), ('flat',), Importance(joined=0.0, by_intent={'buy': 0.0}))
    """
    if (labels == labels[:1]).all():
        raise DataError(
            "profiles.selection: in the training rows every intent always or never comes true, so no number tells of "
            "it; take relevance out, or bring more weeks"
        )
    bad = (~np.isfinite(values)).sum(axis=0)  # [P]
    flat = (bad == 0) & (values == values[:1]).all(axis=0)  # [P]
    usable = np.flatnonzero((bad == 0) & ~flat).tolist()
    if not usable:
        raise DataError(
            f"profiles.selection: none of {len(names)} numbers of the profile is finite and changes in the training "
            "rows; take relevance out"
        )
    every = list(dict.fromkeys(intents))
    by_intent = np.zeros((len(every), len(names)))  # [I, P]
    by_intent[:, usable] = importance(values[:, usable], labels, [every.index(i) for i in intents], weight=weight)
    joined = by_intent.max(axis=0) if asked.join == "max" else by_intent.mean(axis=0)  # [P]
    ranked = sorted(usable, key=lambda p: (-joined[p], p))
    order = [*ranked, *(p for p in range(len(names)) if p not in usable)]
    chosen = ranked[: asked.k]
    broken = {names[p]: int(bad[p]) for p in np.flatnonzero(bad).tolist()}
    notes = [f"{name} is not finite in {rows} training rows and is left out" for name, rows in broken.items()]
    if asked.k > len(usable):
        notes.append(f"k {asked.k} is above the {len(usable)} numbers that change; all of these stay")
    return Choice(
        kept=tuple(name for p, name in enumerate(names) if p in chosen),
        importance={
            names[p]: Importance(
                _short(joined[p]), {name: _short(told) for name, told in zip(every, by_intent[:, p], strict=True)}
            )
            for p in order
        },
        constant=tuple(names[p] for p in np.flatnonzero(flat).tolist()),
        not_finite=broken,
        notes=tuple(notes),
    )


def importance(
    values: np.ndarray, labels: np.ndarray, intent: Sequence[int], *, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return how much finite numbers [R, P] tell of each intent, 0..1, [I, P]; `intent` is each target's own [C]."""
    often = np.ones(len(values)) if weight is None else weight.astype(np.float64)  # [R]
    place = _places(values, often)  # [R, P]
    total, positive = _counts(place, labels, often)  # [P, K], [P, K, C]
    whole = often.sum()
    before = _entropy(positive[0].sum(axis=0) / whole)  # [C]
    with np.errstate(invalid="ignore", divide="ignore"):
        after = _entropy(np.nan_to_num(positive / total[:, :, None]))  # [P, K, C]
    told = before - np.einsum("pk,pkc->pc", total / whole, after)  # [P, C]
    effective = whole**2 / (often**2).sum()  # rows that would tell as much if each counted once
    told -= ((total > 0).sum(axis=1)[:, None] - 1) / (2 * effective)
    own = np.eye(max(intent) + 1)[np.asarray(intent)]  # [C, I]
    uncertain = before > NOTHING  # a target that always or never comes true has nothing to tell
    known = np.maximum((told * uncertain) @ own, 0.0)  # [P, I]
    return np.asarray((known / np.maximum(before @ own, NOTHING)).T)


def _places(values: np.ndarray, often: np.ndarray) -> np.ndarray:
    """Return the bin of each number, 0..K-1, int64 [R, P]; equal numbers share a bin."""
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    place = np.empty(values.shape, dtype=np.int64)
    for p, column in enumerate(values.T.astype(np.float64)):
        edges = np.unique(np.quantile(column, shares, method="inverted_cdf", weights=often))
        place[:, p] = np.searchsorted(edges, column, side="left")
    return place


def _counts(place: np.ndarray, labels: np.ndarray, often: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count rows by bin [P, K], and those of them in which each target came true [P, K, C]."""
    P, C = place.shape[1], labels.shape[1]
    total, positive = np.zeros((P, BINS)), np.zeros((P * BINS, C))
    for start in range(0, len(place), CHUNK):
        part = slice(start, start + CHUNK)
        cell = np.zeros((len(place[part]), P, BINS))  # [chunk, P, K]
        np.put_along_axis(cell, place[part][:, :, None], often[part, None, None], axis=2)
        total += cell.sum(axis=0)
        positive += cell.reshape(len(cell), -1).T @ labels[part]
    return total, positive.reshape(P, BINS, C)


def _entropy(share: np.ndarray) -> np.ndarray:
    """Return the entropy of a yes that comes with some probability, in nats.

    >>> _entropy(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.6931, 0.0]
    """
    p, q = np.maximum(share, 1e-300), np.maximum(1.0 - share, 1e-300)
    return np.asarray(-(p * np.log(p) + q * np.log(q)))


def _short(value: float) -> float:
    return round(float(value), 6)
