"""What predicted probabilities are worth: ranking (AUROC, average precision), cross-entropy, calibration, F1.

Pure numpy on labels and probabilities; knows no model. Ties are met as scikit-learn meets them.

Letters: B rows, C targets, K cells of scores, P positives, R resamples of users.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components import verdicts

BINS = 15  # of equal width, for the calibration error
CURVE_POINTS = 200
RESAMPLES = 200
EDGES, LOOKED_AT, BLOCK = 400, 100_000, 4096  # cells of scores, values that place them, rows counted at a time


@dataclass(frozen=True)
class Curve:
    """The ROC curve over all pairs, and the confusion matrix at one threshold: truth by row, answer by column."""

    fpr: list[float]
    tpr: list[float]
    thresholds: list[float]
    threshold: float
    categories: list[str]
    confusion: list[list[int]]


def ranking(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and average precision of one target, [R] each, under row weights [B, R]; nan without both kinds.

    >>> auroc, ap = ranking(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.1]), np.ones((3, 1)))
    >>> auroc.tolist(), ap.round(4).tolist()
    ([0.75], [0.8333])
    """
    order = np.argsort(-score, kind="stable")
    descending = score[order]
    positive = np.flatnonzero(label[order])  # [P] places
    lows = -descending  # ascending
    first = np.searchsorted(lows, lows[positive], side="left")  # [P] where the ties of a positive begin
    last = np.searchsorted(lows, lows[positive], side="right")  # [P] and end
    ordered = weight[order]  # [B, R]
    none = np.zeros((1, weight.shape[1]), dtype=weight.dtype)
    everyone = np.concatenate([none, np.cumsum(ordered, axis=0)])  # [B + 1, R]
    mine = ordered[positive]  # [P, R]
    hits = np.concatenate([none, np.cumsum(mine, axis=0)])  # [P + 1, R]
    tied_first, tied_last = np.searchsorted(positive, first), np.searchsorted(positive, last)
    total, positives = everyone[-1], hits[-1]  # [R]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = hits[tied_last] / everyone[last]  # [P, R]
        ap = np.nansum(mine * precision, axis=0) / positives
        above = everyone[first] - hits[tied_first]  # [P, R] negatives ranked before
        beside = everyone[last] - hits[tied_last] - above
        auroc = 1 - (mine * (above + beside / 2)).sum(axis=0) / (positives * (total - positives))
    return auroc, np.where(positives > 0, ap, np.nan)


def calibration_parts(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return each row's sum of (probability - truth) by bin, float64 [B, BINS]; over rows they make the error."""
    B = len(label)
    place = np.minimum((probability * BINS).astype(np.int64), BINS - 1) + BINS * np.arange(B)[:, None]
    return np.bincount(place.ravel(), (probability - label).ravel(), B * BINS).reshape(B, BINS)


def reliability(label: np.ndarray, probability: np.ndarray) -> list[dict[str, float]]:
    """Return by bin of equal width what was said on average and what happened; bins without a pair are left out.

    >>> reliability(np.array([0, 1]), np.array([0.5, 0.5]))
    [{'pairs': 2, 'said': 0.5, 'happened': 0.5}]
    """
    flat, truth = probability.ravel(), label.ravel()
    place = np.minimum((flat * BINS).astype(np.int64), BINS - 1)
    often, said, was = (np.bincount(place, values, BINS) for values in (None, flat, truth))
    return [
        {
            "pairs": int(often[b]),
            "said": round(float(said[b] / often[b]), 6),
            "happened": round(float(was[b] / often[b]), 6),
        }
        for b in np.flatnonzero(often)
    ]


def calibration_error(label: np.ndarray, probability: np.ndarray) -> float:
    """Return the expected calibration error over all pairs, bins of equal width.

    >>> calibration_error(np.array([0, 1, 0, 0]), np.full(4, 0.25))
    0.0
    """
    flat, truth = probability.ravel(), label.ravel()
    place = np.minimum((flat * BINS).astype(np.int64), BINS - 1)
    said, was = np.bincount(place, flat, BINS), np.bincount(place, truth, BINS)
    return float(np.abs(said - was).sum() / len(flat))


def cross_entropy(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the binary cross-entropy of each row, mean over targets, float64 [B]."""
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(-np.log(np.where(label > 0, p, 1 - p)).mean(axis=1))


def best_threshold(label: np.ndarray, probability: np.ndarray) -> float:
    """Return the threshold with the highest F1 over all pairs, the highest of equals; it takes all pairs of an answer.

    >>> round(best_threshold(np.array([[0, 1, 1]]), np.array([[0.1, 0.4, 0.8]])), 2)
    0.4
    >>> round(best_threshold(np.array([1, 1, 0, 0, 0, 0]), np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.5])), 2)
    0.9
    """
    order = np.argsort(-probability, axis=None)
    descending = probability.ravel()[order]
    hits = np.cumsum(label.ravel()[order], dtype=np.int64)
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    ends = np.append(descending[1:] < descending[:-1], True)  # of an answer: a threshold takes all of its pairs
    return float(descending[np.argmax(np.where(ends, f1, -1.0))])


def summary(label: np.ndarray, probability: np.ndarray) -> dict[str, float | None]:
    """Sum up the predictions [B, C]; macro AUROC and mAP are means over the targets that have both kinds."""
    ones = np.ones((len(label), 1))
    by_target = [ranking(label[:, c], probability[:, c], ones) for c in range(label.shape[1])]
    auroc, ap = (np.array([float(pair[i][0]) for pair in by_target]) for i in (0, 1))
    return {
        "rows": len(label),
        "positive_share": _rounded(label.mean()),
        "macro_auroc": _mean(auroc),
        "map": _mean(ap),
        "bce": _rounded(cross_entropy(label, probability).mean()),
        "ece": _rounded(calibration_error(label, probability)),
    }


def pooled(label: np.ndarray, probability: np.ndarray, *, threshold: float) -> dict[str, float | None]:
    """Return AUROC and F1 over all pairs of predictions [B, C]."""
    auroc, _ = ranking(label.ravel(), probability.ravel(), np.ones((label.size, 1)))
    said = probability >= threshold
    hits = int(label[said].sum())
    f1 = 2 * hits / max(int(said.sum()) + int(label.sum()), 1)
    return {
        "micro_auroc": _rounded(auroc[0]),
        "micro_f1": _rounded(f1),
        "micro_precision": _rounded(hits / max(int(said.sum()), 1)),
        "micro_recall": _rounded(hits / max(int(label.sum()), 1)),
        "brier": _rounded(((probability.astype(np.float64) - label) ** 2).mean()),
    }


def classified(label: np.ndarray, said: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 of each target from truth and decisions [B, C], each [C], and its support.

    As a classification report has them: 0 where nothing was said, or nothing was there.

    >>> found = classified(np.array([[1, 0], [1, 0]]), np.array([[True, True], [False, False]]))
    >>> found["precision"].tolist(), found["recall"].tolist(), found["f1"].round(3).tolist(), found["support"].tolist()
    ([1.0, 0.0], [0.5, 0.0], [0.667, 0.0], [2, 0])
    """
    truth = label > 0
    hits, yes, there = (part.sum(axis=0) for part in (truth & said, said, truth))
    return {
        "precision": hits / np.maximum(yes, 1),
        "recall": hits / np.maximum(there, 1),
        "f1": 2 * hits / np.maximum(yes + there, 1),
        "support": there,
    }


def macro(found: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Average a classification over the targets that came true at least once.

    >>> macro({"precision": np.array([0.5, 0]), "recall": np.ones(2), "f1": np.ones(2), "support": np.array([3, 0])})
    {'macro_precision': 0.5, 'macro_recall': 1.0, 'macro_f1': 1.0}
    """
    some = found["support"] > 0
    return {
        f"macro_{n}": _rounded(found[n][some].mean()) if some.any() else None for n in ("precision", "recall", "f1")
    }


def single(label: np.ndarray, probability: np.ndarray) -> dict[str, float | None]:
    """Sum up one target [B]: AUROC, average precision and Brier score."""
    auroc, ap = ranking(label, probability, np.ones((len(label), 1)))
    brier = ((probability.astype(np.float64) - label) ** 2).mean()
    return {"auroc": _rounded(auroc[0]), "ap": _rounded(ap[0]), "brier": _rounded(brier)}


def user_weights(user: np.ndarray, *, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw users with replacement; return how often each row of user numbers [B] counts, float32 [B, R]."""
    weights: np.ndarray = verdicts.draws(int(user.max()) + 1, resamples=resamples)[user]
    return weights


def resampled(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return macro AUROC, mean average precision, cross-entropy and calibration error under each resample, [R] each.

    Means are over the targets that have both kinds in a resample, as `summary` takes them; nan where none has.
    """
    C = label.shape[1]
    both = [ranking(label[:, c], probability[:, c], weight) for c in range(C)]
    auroc, ap = (_means(np.stack([pair[i] for pair in both])) for i in (0, 1))
    rows = weight.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bce = cross_entropy(label, probability).astype(np.float32) @ weight / rows
        parts = calibration_parts(label, probability).astype(np.float32)  # [B, BINS]
        ece = np.abs(parts.T @ weight).sum(axis=0) / (rows * C)
    return {"macro_auroc": auroc, "map": ap, "bce": bce, "ece": ece}


def resampled_micro_auroc(label: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the AUROC over all pairs [B, C] under each resample, [R]; nan without both kinds.

    All pairs sorted would need their weights at once, gigabytes. Instead they are counted by cells of scores, narrow
    where either kind is dense; two pairs of one cell count as a tie, which moves the value by less than a thousandth.
    """
    edges = _edges(label, probability)
    R, K = weight.shape[1], len(edges) + 1
    yes, all_ = (np.zeros((K, R)) for _ in range(2))
    for at in range(0, len(label), BLOCK):
        rows = slice(at, at + BLOCK)
        cell = np.searchsorted(edges, probability[rows], side="right") + K * np.arange(len(label[rows]))[:, None]
        for total, counted in ((yes, label[rows] > 0), (all_, None)):
            held = cell.ravel() if counted is None else cell[counted]
            table = np.bincount(held, minlength=len(cell) * K).reshape(len(cell), K)  # [block, K]
            total += table.T.astype(np.float32) @ weight[rows]
    no = all_ - yes
    below = np.cumsum(no, axis=0) - no / 2  # [K, R] negatives with a lower score, a tie as half of one
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((yes * below).sum(axis=0) / (yes.sum(axis=0) * no.sum(axis=0)))


def _edges(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return where cells of scores begin: at quantiles of either kind."""
    places = np.linspace(0, 1, EDGES // 2)
    kinds = (probability[label > 0], probability[label <= 0])
    return np.unique([np.quantile(k[:: max(len(k) // LOOKED_AT, 1)], places) for k in kinds if len(k)])


def _means(values: np.ndarray) -> np.ndarray:
    """Average over targets [C, R] what is a number."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0.0).sum(axis=0) / known.sum(axis=0))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the middle 95 % of resampled values."""
    low, high = np.nanquantile(values, [0.025, 0.975])
    return round(float(low), 6), round(float(high), 6)


def curve(label: np.ndarray, probability: np.ndarray, *, threshold: float) -> Curve:
    """Draw the ROC curve over all pairs through at most CURVE_POINTS thresholds."""
    order = np.argsort(-probability, axis=None)
    hits = np.concatenate([[0], np.cumsum(label.ravel()[order], dtype=np.int64)])
    places = np.unique(np.geomspace(1, label.size + 1, CURVE_POINTS).astype(np.int64) - 1)  # dense where it bends
    misses = places - hits[places]
    ordered = np.concatenate([[1.0], probability.ravel()[order]])
    said, truth = probability >= threshold, label > 0
    confusion = [[int((~truth & ~said).sum()), int((~truth & said).sum())],
                 [int((truth & ~said).sum()), int((truth & said).sum())]]  # fmt: skip
    return Curve(
        fpr=_shares(misses, label.size - hits[-1]),
        tpr=_shares(hits[places], hits[-1]),
        thresholds=[round(float(p), 6) for p in ordered[places]],
        threshold=round(threshold, 6),
        categories=["no", "yes"],
        confusion=confusion,
    )


def _shares(counts: np.ndarray, total: int) -> list[float]:
    return [round(float(c) / max(int(total), 1), 6) for c in counts]


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None


def _mean(values: np.ndarray) -> float | None:
    return _rounded(np.nanmean(values)) if np.isfinite(values).any() else None


def named(prefix: str, values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Put a prefix before names.

    >>> named("visit", {"auroc": 0.8})
    {'visit_auroc': 0.8}
    """
    return {f"{prefix}_{name}": value for name, value in values.items()}
