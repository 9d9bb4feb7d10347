"""What forecasts are worth on the test rows beside their baselines, with intervals over resampled users.

Metrics are named as gates read them: `rmse:spend` of the intent `spend`.

Letters: R rows, A numbers of an answer, D draws of users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from components import verdicts
from components.intent.forecasts.kinds import Answers
from components.resamples import MODEL, Line
from components.verdicts import Least, Sample

RESAMPLES = 200
HIGHER = ("accuracy", "top3", "macro_f1")  # is better; of all others lower is
NEITHER = ("coverage", "effect")
MAIN = ("log_loss", "pinball", "rmse")  # the loss of a kind, the first that it has: lower is better
COHORTS = "cohorts"
ENOUGH = Least(rows=100, users=20)  # of a cohort
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """One intent's answers and its baselines' on the test rows that have a label."""

    head: Answers
    y: np.ndarray  # [R]
    said: np.ndarray  # [R, A]
    others: Mapping[str, np.ndarray]  # [R, A] by name
    user: np.ndarray  # [R]
    beside: Mapping[str, float | None] = field(
        default_factory=dict, kw_only=True
    )  # of other rows: an uplift's placebo and overlap
    cohorts: Mapping[str, np.ndarray] = field(
        default_factory=dict, kw_only=True
    )  # by name which rows are of it, bool [R]


@dataclass(frozen=True)
class Evaluation:
    """Figures of all forecasts."""

    test: Numbers
    baselines: dict[str, Numbers]
    intents: dict[str, Numbers]  # by intent: rows, users, labels, differences by metric and baseline
    resamples: list[Line] = field(repr=False, default_factory=list)
    rows_digest: str = ""

    def metrics(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        return {name: getattr(self, name) for name in ("test", "baselines", "intents")}


def evaluate(judged: Sequence[Judged], *, rows_digest: str = "") -> Evaluation:
    """Judge all intents."""
    test: Numbers = {}
    baselines: dict[str, Numbers] = {}
    intents: dict[str, Numbers] = {}
    lines: list[Line] = []
    for one in judged:
        name = one.head.intent.name
        _, user = np.unique(one.user, return_inverse=True)
        users = int(user.max()) + 1
        weight = verdicts.draws(users, resamples=RESAMPLES)[user].astype(np.float64)
        once = np.ones((len(one.y), 1))
        sides = {MODEL: one.said, **one.others}
        points = {side: one.head.figures(one.y, said, once) for side, said in sides.items()}
        drawn = {side: one.head.figures(one.y, said, weight) for side, said in sides.items()}
        for side, found in points.items():
            into = test if side == MODEL else baselines.setdefault(side, {})
            into |= {f"{metric}:{name}": _rounded(value[0]) for metric, value in found.items()}
            lines += [Line(f"{m}:{name}", drawn[side][m], len(one.y), users, side) for m in found]
        test |= {f"{m}:{name}": None if value is None else _rounded(value) for m, value in one.beside.items()}
        compared = {
            metric: {
                other: _difference(metric, points, drawn, other, rows=len(one.y), users=users) for other in one.others
            }
            for metric in points[MODEL]
            if metric not in NEITHER
        }
        intents[name] = {"rows": len(one.y), "users": users, "differences": compared}
        if one.cohorts:
            intents[name][COHORTS] = _by_cohort(one, points, drawn, weight)
    test |= {"rows": max(len(one.y) for one in judged)}
    return Evaluation(test, baselines, intents, lines, rows_digest)


def _by_cohort(
    one: Judged,
    points: Mapping[str, Mapping[str, np.ndarray]],
    drawn: Mapping[str, Mapping[str, np.ndarray]],
    weight: np.ndarray,
) -> Numbers:
    """Judge the loss in each cohort beside the baseline that is best on all rows, on the same draws of users."""
    metric = next(name for name in MAIN if name in points[MODEL])
    other = min(one.others, key=lambda side: float(points[side][metric][0]))
    found: Numbers = {"metric": metric, "baseline": other, "by_name": {}}
    sides = {MODEL: one.said, other: one.others[other]}
    for name, mask in one.cohorts.items():
        users = len(np.unique(one.user[mask]))
        if mask.sum() < ENOUGH.rows or users < ENOUGH.users:
            continue  # chance, and it would tell of persons
        drawn_ones = weight[mask][:, weight[mask].sum(axis=0) > 0]  # a draw may hold nobody of it
        once = np.ones((int(mask.sum()), 1))
        mine = {side: one.head.figures(one.y[mask], said[mask], once) for side, said in sides.items()}
        draws = {side: one.head.figures(one.y[mask], said[mask], drawn_ones) for side, said in sides.items()}
        values = {side: _rounded(mine[side][metric][0]) for side in sides}
        about = _difference(metric, mine, draws, other, rows=int(mask.sum()), users=users)
        found["by_name"][name] = {"rows": int(mask.sum()), "users": users, **values, **about}
    return found


def _difference(
    metric: str,
    points: Mapping[str, Mapping[str, np.ndarray]],
    drawn: Mapping[str, Mapping[str, np.ndarray]],
    other: str,
    *,
    rows: int,
    users: int,
) -> Numbers:
    mine, theirs = (Sample(float(points[side][metric][0]), drawn[side][metric], rows, users) for side in (MODEL, other))
    found = verdicts.better(mine, theirs, lower=metric not in HIGHER, least=Least())
    ends = None if found.interval is None else [_rounded(end) for end in found.interval]
    estimate = None if found.estimate is None else _rounded(found.estimate)
    return {"estimate": estimate, "interval": ends, "verdict": found.word}


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
