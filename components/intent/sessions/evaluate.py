"""Judge the session model on visits of the test steps, beside the baselines on exactly the same rows.

Figures are means over the intents that have both kinds of rows; each intent has its own beside. The interval of a
difference resamples users, whole with all their visits (components/verdicts.py).

Letters: R rows, C session intents, D draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components import verdicts
from components.intent import metrics
from components.intent.sessions.baselines import EDGES, bucket
from components.intent.sessions.visits import Rows
from components.resamples import MODEL, Line, digest
from components.verdicts import Least, Sample

RESAMPLES = 200
RANKED = ("auroc", "ap")
LOWER = ("bce",)
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What the model is worth on the test rows, and its baselines."""

    test: Numbers
    baselines: dict[str, Numbers]
    by_position: list[Numbers]
    differences: dict[str, dict[str, Numbers]]  # by metric and baseline: model less baseline, with its interval
    resamples: list[Line] = field(repr=False, default_factory=list)
    rows_digest: str = ""

    def metrics(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        names = ("test", "baselines", "by_position", "differences")
        return {name: getattr(self, name) for name in names}


def evaluate(rows: Rows, said: np.ndarray, others: Mapping[str, np.ndarray], names: list[str]) -> Evaluation:
    """Judge probabilities [R, C] of the test rows beside those of the baselines."""
    _, user = np.unique(rows.user, return_inverse=True)
    users, visits = int(user.max()) + 1, len(np.unique(rows.visit))
    weight = verdicts.draws(users, resamples=RESAMPLES)[user]
    sides = {MODEL: said, **others}
    numbers = {name: summary(rows.labels, p, names) for name, p in sides.items()}
    drawn = {name: _resampled(rows.labels, p, weight) for name, p in sides.items()}
    lines = [
        Line(metric, values, len(rows), users, side)
        for side, found in drawn.items()
        for metric, values in found.items()
    ]
    differences = {
        metric: {other: _difference(metric, numbers, drawn, other, rows=len(rows), users=users) for other in others}
        for metric in (*RANKED, *LOWER)
    }
    about = {"rows": len(rows), "sessions": visits, "users": users}
    return Evaluation(
        test=about | numbers[MODEL],
        baselines={name: numbers[name] for name in others},
        by_position=_by_position(rows, sides),
        differences=differences,
        resamples=lines,
        rows_digest=digest(rows.visit.astype(str), rows.position),
    )


def summary(labels: np.ndarray, probability: np.ndarray, names: list[str]) -> Numbers:
    """Sum up predictions [R, C]: over the intents, and of each intent as `auroc:<intent>`."""
    ones = np.ones((len(labels), 1))
    by_intent = [
        [float(x[0]) for x in metrics.ranking(labels[:, c], probability[:, c], ones)] for c in range(len(names))
    ]
    found: Numbers = {}
    for place, metric in enumerate(RANKED):
        values = [pair[place] for pair in by_intent]
        found[metric] = _mean(values)
        found |= {f"{metric}:{name}": _rounded(value) for name, value in zip(names, values, strict=True)}
    found["bce"] = _rounded(float(metrics.cross_entropy(labels, probability).mean()))
    return found


def _resampled(labels: np.ndarray, probability: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return the figures over the intents under each draw, [D] each; nan where no intent has both kinds."""
    pairs = [metrics.ranking(labels[:, c], probability[:, c], weight) for c in range(labels.shape[1])]
    found = {}
    for place, metric in enumerate(RANKED):
        stacked = np.stack([pair[place] for pair in pairs])  # [C, D]
        known = np.isfinite(stacked)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[metric] = np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)
    loss = metrics.cross_entropy(labels, probability)
    found["bce"] = (loss @ weight) / weight.sum(axis=0)
    return found


def _difference(
    metric: str,
    numbers: Mapping[str, Numbers],
    drawn: Mapping[str, Mapping[str, np.ndarray]],
    other: str,
    *,
    rows: int,
    users: int,
) -> Numbers:
    mine, theirs = (Sample(numbers[side][metric], drawn[side][metric], rows, users) for side in (MODEL, other))
    found = verdicts.better(mine, theirs, lower=metric in LOWER, least=Least())
    ends = None if found.interval is None else [_rounded(end) for end in found.interval]
    estimate = None if found.estimate is None else _rounded(found.estimate)
    return {"estimate": estimate, "interval": ends, "verdict": found.word}


def _by_position(rows: Rows, sides: Mapping[str, np.ndarray]) -> list[Numbers]:
    """Return the mean AUROC over intents by place in the visit."""
    place, found = bucket(rows.position), []
    for number, first in enumerate(EDGES):
        mask = place == number
        if not mask.any():
            continue
        last = EDGES[number + 1] - 1 if number + 1 < len(EDGES) else None
        name = f"{first}" if last == first else f"{first} to {last}" if last else f"from {first}"
        ones = np.ones((int(mask.sum()), 1))
        entry: Numbers = {"position": name, "rows": int(mask.sum())}
        for side, probability in sides.items():
            values = [
                float(metrics.ranking(rows.labels[mask, c], probability[mask, c], ones)[0][0])
                for c in range(rows.labels.shape[1])
            ]
            entry[side] = _mean(values)
        found.append(entry)
    return found


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return _rounded(float(np.mean(known))) if known else None


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
