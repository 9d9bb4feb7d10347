"""What answers turned out to be worth: precision, recall, average precision, calibration, NDCG, clicks, with intervals.

Figures of intents are over the headline's targets, as evaluations have them; lists are judged by what was shown in its
order. Users are resampled whole. `expected` is what a release's own probabilities promise before labels come, were they
calibrated (confidence-based estimation); it is shown beside the realised figures and decides nothing.

Pure numpy. Letters: B answers, C targets, K places, R resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components import verdicts
from components.intent import metrics

RESAMPLES = 100
PLACES = 10
CAME = "came"  # labels that came over those that the probabilities promised: 1 where both agree
INTENT = ("precision", "recall", "map", "ece", CAME)
LISTS = ("ndcg_at_10", "ctr")
METRICS = (*INTENT, *LISTS)
LOWER_IS_BETTER = ("ece",)


@dataclass(frozen=True)
class Realised:
    """A figure with the ends of its interval, each 95 % sure; None where nothing tells how far it strays."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Said:
    """Probabilities that were served, and what came true. One answer a user."""

    user: np.ndarray  # [B] int64, users by number
    probability: np.ndarray  # [B, C]
    label: np.ndarray  # [B, C] uint8; all 0 where labels are not ripe
    threshold: np.ndarray  # [C] from where a probability is a yes
    weight: np.ndarray  # [B] answers that a logged one stands for


@dataclass(frozen=True)
class Shown:
    """Lists that were shown, and what their users then chose."""

    user: np.ndarray  # [B] int64
    relevant: np.ndarray  # [B, K] bool, by place: the user chose the item within the ranker's horizon
    chosen: np.ndarray  # [B] int64, items that the user chose within it
    acted: np.ndarray  # [B, K] bool, by place: within the time in which an act is a reward
    places: np.ndarray  # [B] int64, items shown, at most K
    weight: np.ndarray  # [B]


def of_intents(said: Said) -> dict[str, Realised]:
    """Return the realised figures of probabilities; {} without an answer."""
    if not len(said.user):
        return {}
    weight = _drawn(said.user, said.weight)  # [B, 1 + R]
    found = metrics.resampled(said.label, said.probability, weight)
    yes = said.probability >= said.threshold
    hits, count, true = (
        (part).sum(axis=1).astype(np.float64) for part in (yes & (said.label > 0), yes, said.label > 0)
    )
    values = {"precision": _ratio(hits, count, weight), "recall": _ratio(hits, true, weight)}
    values[CAME] = _ratio(true, said.probability.sum(axis=1, dtype=np.float64), weight)
    return _with_intervals(values | {name: found[name] for name in ("map", "ece")}, said.user)


def of_lists(shown: Shown) -> dict[str, Realised]:
    """Return the realised figures of lists; NDCG is over answers whose user chose something."""
    if not len(shown.user):
        return {}
    weight = _drawn(shown.user, shown.weight)
    some = (shown.chosen > 0).astype(np.float64)
    values = {
        "ndcg_at_10": _ratio(np.where(some > 0, ndcg(shown.relevant, shown.chosen), 0.0), some, weight),
        "ctr": _ratio(shown.acted.sum(axis=1).astype(np.float64), shown.places.astype(np.float64), weight),
    }
    return _with_intervals(values, shown.user)


def ndcg(relevant: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the normalised discounted gain of lists [B, K] of which `chosen` [B] items would have been right.

    >>> ndcg(np.array([[True, False], [False, True]]), np.array([1, 1])).round(3).tolist()
    [1.0, 0.631]
    """
    discount = 1 / np.log2(np.arange(2, relevant.shape[1] + 2))
    best = np.concatenate([[1.0], np.cumsum(discount)])  # of 0 items: 1, which divides
    ideal = best[np.minimum(chosen, relevant.shape[1])]
    return np.asarray((relevant * discount).sum(axis=1) / ideal)


def expected(said: Said) -> dict[str, float]:
    """Return what the probabilities promise of precision, recall and average precision, were they calibrated.

    Ratios of expectations: of a target, sum over ranks of p times (1 + the p above it) / rank, over the sum of p.

    >>> one = Said(np.zeros(2), np.array([[0.8], [0.2]]), np.zeros((2, 1)), np.array([0.5]), np.ones(2))
    >>> {name: round(value, 3) for name, value in expected(one).items()}
    {'precision': 0.8, 'recall': 0.8, 'map': 0.98}
    """
    if not len(said.user):
        return {}
    p = said.probability.astype(np.float64)
    yes = p >= said.threshold
    weight = said.weight[:, None]
    promised, all_ = float((p * yes * weight).sum()), float((p * weight).sum())
    ordered = -np.sort(-p, axis=0)  # [B, C]
    above = np.cumsum(ordered, axis=0) - ordered
    ap = (ordered * (1 + above) / np.arange(1, len(p) + 1)[:, None]).sum(axis=0) / np.maximum(
        ordered.sum(axis=0), 1e-12
    )
    found = {"map": float(np.minimum(ap, 1.0).mean())}
    if (count := float((yes * weight).sum())) > 0:
        found = {"precision": promised / count} | found
    return {"precision": found.get("precision", 0.0), "recall": promised / all_ if all_ else 0.0, "map": found["map"]}


def _drawn(user: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return row weights [B, 1 + R]: as they are, then under each resample of users."""
    _, number = np.unique(user, return_inverse=True)
    resampled = verdicts.draws(int(number.max()) + 1, resamples=RESAMPLES)[number]  # [B, R]
    return np.asarray(np.concatenate([np.ones((len(user), 1), dtype=np.float32), resampled], axis=1) * weight[:, None])


def _ratio(part: np.ndarray, whole: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((part @ weight) / (whole @ weight))


def _with_intervals(values: Mapping[str, np.ndarray], user: np.ndarray) -> dict[str, Realised]:
    """Split each [1 + R] into the figure and its interval; what is no number is left out."""
    users, found = len(np.unique(user)), {}
    for name, each in values.items():
        if not np.isfinite(each[0]):
            continue
        drawn = each[1:][np.isfinite(each[1:])]
        enough = users >= 2 and len(drawn) >= (1 - verdicts.MOST_MISSING) * RESAMPLES
        low, high = verdicts.interval(float(each[0]), drawn, users=users) if enough else (None, None)
        found[name] = Realised(float(each[0]), low, high)
    return found
