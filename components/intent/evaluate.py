"""Judge the intent model on the test weeks, beside baselines on exactly the same rows.

Headline figures are over the targets of intents with a level (such as buy:SOUP); an intent without one (visit) has
figures of its own. The F1 threshold and the baselines' smoothing are chosen on the validation weeks.

Letters: B rows, C targets.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from components.intent import baselines, decisions, metrics, uncertainty
from components.intent.decisions import Thresholds
from components.intent.examples import Examples
from components.intent.metrics import Curve
from components.resamples import Line, digest
from components.verdicts import Least
from feature_repo import attributes, columns
from feature_repo.rows import UserRows

COMPARED = "decayed_rate"  # the baseline that gains are over
BCE_COMPARED = f"bce_of_{COMPARED}"  # not as a gate reads a baseline's: no resamples of it are drawn
COHORT_METRICS = ("rows", "map", "macro_auroc", "bce", "ece")
TENURES = ((0, "under 13"), (13, "13 to 25"), (26, "from 26"))  # steps since the first event
RARITIES = ("rare", "middle", "common")  # thirds of the headline's targets by their rate in training rows
ACTIVITIES = ("low", "middle", "high")  # thirds of the test rows by decayed sessions
ENOUGH = Least(rows=100, users=20)  # of a group by what users declared, and of one that may count as the worst
MOST_DECLARED = 24  # groups by what users declared, the largest: each is resampled
ELSEWHERE = ("curve", "resamples", "rows_digest")  # fields with a file of their own
Numbers = dict[str, float | None]


class Predicts(Protocol):
    """What is judged: rows in, a probability of each target out."""

    def predict(self, rows: UserRows) -> np.ndarray:
        """Return probabilities, float32 [B, C]."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """What the model is worth on the test rows, and its baselines."""

    test: Numbers
    validate: Numbers
    baselines: dict[str, Numbers]
    prior_weeks: dict[str, float]  # of the baselines
    intervals: dict[str, tuple[float, float]]  # 95 %, users resampled; ece has none: resampling biases it upwards
    gain: dict[str, tuple[float, float]]  # of the model over COMPARED, likewise; below 0 is better for bce
    cohorts: dict[str, Numbers]
    targets: dict[str, Numbers]  # test figures by target
    weeks: list[int]
    curve: Curve
    groups: dict[str, Numbers] = field(default_factory=dict)  # of targets, by how often they come true
    reliability: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # by intent
    resamples: list[Line] = field(repr=False, default_factory=list)  # what gates make intervals of
    rows_digest: str = ""  # of which users and weeks these are
    worst_cohort: str = ""  # in which the model leads COMPARED least; '': no cohort has enough rows and users

    def metrics(self) -> dict[str, Any]:
        """Return what metrics.json holds."""
        return {name: value for name, value in vars(self).items() if name not in ELSEWHERE}


@dataclass(frozen=True)
class Judge:
    """How predictions [B, C] are summed up: which targets make the headline, and where yes begins."""

    names: list[str]
    headline: np.ndarray  # [C] bool
    threshold: float  # of all pairs, for micro figures
    by_target: np.ndarray  # [C] thresholds, for macro figures

    def summary(self, labels: np.ndarray, probability: np.ndarray) -> Numbers:
        """Return the headline figures and those of each other target."""
        found = self.headline_of(labels, probability) | metrics.pooled(
            labels[:, self.headline], probability[:, self.headline], threshold=self.threshold
        )
        each = metrics.classified(labels, probability >= self.by_target)
        found |= metrics.macro({name: values[self.headline] for name, values in each.items()})
        for c in np.flatnonzero(~self.headline):
            found |= metrics.named(self.names[c], metrics.single(labels[:, c], probability[:, c]))
        return found

    def by_name(self, labels: np.ndarray, probability: np.ndarray) -> dict[str, Numbers]:
        """Return the figures of each target, as a classification report has them."""
        each = metrics.classified(labels, probability >= self.by_target)
        return {
            name: metrics.single(labels[:, c], probability[:, c])
            | {
                "bce": round(float(metrics.cross_entropy(labels[:, [c]], probability[:, [c]]).mean()), 6),
                "ece": round(metrics.calibration_error(labels[:, c], probability[:, c]), 6),
                "threshold": float(self.by_target[c]),
            }
            | {figure: round(float(values[c]), 6) for figure, values in each.items()}
            for c, name in enumerate(self.names)
        }

    def headline_of(self, labels: np.ndarray, probability: np.ndarray) -> Numbers:
        """Return the headline figures that need no threshold."""
        return metrics.summary(labels[:, self.headline], probability[:, self.headline])


def evaluate(
    scorer: Predicts,
    examples: Examples,
    *,
    thresholds: Thresholds | None = None,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Evaluation:
    """Judge a model on the examples' test rows; `thresholds` are its own, left out: chosen on the validation rows."""
    validate, test = examples.part("validate"), examples.part("test")
    validate_rows, rows = examples.rows.take(validate), examples.rows.take(test)
    labels = examples.labels[test]
    validate_said, said = scorer.predict(validate_rows), scorer.predict(rows)
    report(0.4, "predicted")
    rate = examples.train_rate  # [C]
    calendar = examples.calendar
    ahead = examples.vocabulary.horizons
    prior = baselines.choose(rate, validate_rows, examples.labels[validate], calendar=calendar, horizons=ahead)
    others = baselines.predictions(rate, rows, prior, calendar=calendar, horizons=ahead)
    judge = _judge(examples, examples.labels[validate], validate_said, thresholds)
    report(0.5, "baselines")
    head = judge.headline
    figures = {name: judge.summary(labels, p) for name, p in others.items()}
    masks = cohorts(rows, examples)
    drawn = uncertainty.Resampling(labels[:, head], examples.users[test], rows.user_id)
    compared = uncertainty.best(figures) | {COMPARED}
    lines = drawn.overall(said[:, head], {name: p[:, head] for name, p in others.items() if name in compared})
    report(0.8, "resampled users")
    lines += drawn.by_cohort(said[:, head], others[COMPARED][:, head], masks=masks, other=COMPARED)
    report(0.9, "resampled cohorts")
    intervals, gain = uncertainty.intervals(lines, COMPARED)
    by_cohort = _cohorts(judge, labels, said, others[COMPARED], masks=masks)
    leads = {name: _lead(values) for name, values in by_cohort.items()}
    worst = uncertainty.worst(lines, leads, other=COMPARED, least=ENOUGH)
    return Evaluation(
        test=judge.summary(labels, said) | {uncertainty.WORST: None if worst is None else leads[worst.cohort]},
        validate=judge.summary(examples.labels[validate], validate_said),
        baselines=figures,
        prior_weeks=prior,
        intervals=intervals,
        gain=gain,
        cohorts=by_cohort,
        targets=judge.by_name(labels, said),
        weeks=[int(w) for w in np.unique(examples.week[test])],
        curve=metrics.curve(labels[:, head], said[:, head], threshold=judge.threshold),
        groups=_groups(rate, head, labels, said, others[COMPARED]),
        reliability=_reliability(examples, labels, said),
        resamples=lines if worst is None else [*lines, worst.line],
        rows_digest=digest(rows.user_id, examples.week[test]),
        worst_cohort="" if worst is None else worst.cohort,
    )


def _judge(examples: Examples, labels: np.ndarray, probability: np.ndarray, thresholds: Thresholds | None) -> Judge:
    found = decisions.choose(labels, probability, examples.vocabulary) if thresholds is None else thresholds
    head = decisions.headline(examples.vocabulary)
    pooled = found.pooled if found.apart else metrics.best_threshold(labels[:, head], probability[:, head])
    return Judge(examples.vocabulary.target_names, head, pooled, found.by_target)


def cohorts(rows: UserRows, examples: Examples) -> dict[str, np.ndarray]:
    """Name groups of rows: by segment, by weeks since the first event, by activity, by what users declared; [B]."""
    calendar = examples.calendar
    segment = rows.numbers[columns.SEGMENT].astype(np.int64)
    found = {f"segment {s}": segment == s for s in np.unique(segment)}
    tenure = calendar.upcoming(rows.now) - calendar.weeks(rows.numbers["first_at"].astype(np.int64))
    place = np.searchsorted([start for start, _ in TENURES], tenure, side="right") - 1
    found |= {f"tenure {name} {calendar.step}s": place == i for i, (_, name) in enumerate(TENURES)}
    active = rows.numbers["sessions_slow"]
    third = np.searchsorted(np.quantile(active, [1 / 3, 2 / 3]), active, side="left")
    found |= {f"activity {name}": third == i for i, name in enumerate(ACTIVITIES)}
    found |= declared(rows, examples.vocabulary.attributes)
    return {name: mask for name, mask in found.items() if mask.any()}


def declared(rows: UserRows, values: attributes.Values) -> dict[str, np.ndarray]:
    """Name groups of rows by what their users declared, as 'attribute age: 65+', the largest first; masks [B].

    Groups of fewer rows or users than `ENOUGH` are left out: their figures would be chance, and tell of persons.
    """
    member = attributes.indicators(rows, values) > 0  # [B, N]
    found = {}
    for name, mask in zip(attributes.names(values), member.T, strict=True):
        if mask.sum() >= ENOUGH.rows and len(np.unique(rows.user_id[mask].astype(str))) >= ENOUGH.users:
            found[f"attribute {name.replace('=', ': ', 1)}"] = mask
    largest = sorted(found, key=lambda name: -int(found[name].sum()))[:MOST_DECLARED]
    return {name: found[name] for name in largest}


def _lead(values: Numbers) -> float | None:
    """Return by how much the model's mean average precision is above the compared baseline's in a cohort."""
    mine, theirs = values["map"], values[f"{COMPARED}_map"]
    return None if mine is None or theirs is None else round(mine - theirs, 6)


def _groups(
    rate: np.ndarray, head: np.ndarray, labels: np.ndarray, said: np.ndarray, other: np.ndarray
) -> dict[str, Numbers]:
    """Sum up thirds of the headline's targets by how often training rows fulfilled them; none of fewer than three."""
    ordered = np.flatnonzero(head)[np.argsort(rate[head], kind="stable")]
    if len(ordered) < len(RARITIES):
        return {}
    parts = dict(zip(RARITIES, np.array_split(ordered, len(RARITIES)), strict=True))
    return {
        name: {"targets": len(mine)} | _beside(labels[:, mine], said[:, mine], other[:, mine])
        for name, mine in parts.items()
    }


def _beside(labels: np.ndarray, said: np.ndarray, other: np.ndarray) -> Numbers:
    """Return the figures of a cohort, the compared baseline's mean average precision and cross-entropy beside them."""
    mine, theirs = (metrics.summary(labels, p) for p in (said, other))
    compared = {f"{COMPARED}_map": theirs["map"], BCE_COMPARED: theirs["bce"]}
    return {key: mine[key] for key in COHORT_METRICS} | compared


def _reliability(examples: Examples, labels: np.ndarray, said: np.ndarray) -> dict[str, list[dict[str, float]]]:
    of = np.array([target.intent for target in examples.vocabulary.targets])
    return {
        name: metrics.reliability(labels[:, of == name], said[:, of == name]) for name in dict.fromkeys(of.tolist())
    }


def _cohorts(
    judge: Judge, labels: np.ndarray, said: np.ndarray, other: np.ndarray, *, masks: dict[str, np.ndarray]
) -> dict[str, Numbers]:
    head = judge.headline
    return {
        name: _beside(*(part[np.ix_(mask, head)] for part in (labels, said, other))) for name, mask in masks.items()
    }
