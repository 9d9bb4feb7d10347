"""Fit the judged session model once more, on every visit whose end the data shows; it then serves.

It sees what the judged model sees (its kinds, categories and scale), begins at the same seed and goes on for as many
epochs as validation chose for that one: on the training visits alone it would come to the judged weights. Validation
and test visits are learnt from, so nothing stops it early, and nothing judges it but `sane`.

Letters: V visits, R rows, C session intents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components import conditions
from components.intent.sessions import learn, visits
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionRule
from components.intent.sessions.split import inside
from components.intent.sessions.train import LEAST_GAIN, Sample, train
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError

CHECKED = 4096  # rows, at most, that `sane` asks about
# How far a mean prediction may be from its base rate, and by which share of that more; or NEAR more than the judged
# model's is: one that few rows left half fitted was judged so, and its refit is no worse.
NEAR, SHARE = 0.02, 0.25


@dataclass(frozen=True)
class Refitted:
    """A refitted session model and what it learnt from."""

    scorer: SessionScorer
    rows: int
    visits: int
    weeks: list[int]
    means: dict[str, tuple[float, float]]  # by intent: mean prediction, and base rate of the same rows


def epochs_of(training: Mapping[str, Any]) -> int:
    """Return the epochs that the judged model was kept after: the last that was a gain, as training keeps them.

    >>> epochs_of({"epochs": [{"validate_bce": b} for b in (0.4, 0.2, 0.3)]})
    2
    >>> epochs_of({"epochs": [{"validate_bce": b} for b in (0.4, 0.2, 0.199995)]})
    2
    """
    best, kept = float("inf"), 0
    for number, epoch in enumerate(training["epochs"], start=1):
        if epoch["validate_bce"] < best - LEAST_GAIN:
            best, kept = epoch["validate_bce"], number
    return kept


def described(rule: SessionRule, split: Mapping[str, Any], calendar: Calendar, judged: SessionScorer) -> dict[str, Any]:
    """Return what the model is trained under, but for the visits that it learns from."""
    sees = judged.codes.document() | {"categories_of": len(judged.codes.category_of)}
    numbers = {name: [float(x) for x in getattr(judged, name)] for name in ("mean", "scale")}
    return {
        "spec session": rule.model_dump(mode="json"),
        "split": {part: list(split[part]) for part in ("train", "validate", "test")},
        "calendar": list(calendar.document().values()),
        "encode": {"features": list(judged.codes.names), **sees, **numbers},
    }


def refit(
    events: pa.Table,
    rule: SessionRule,
    judged: SessionScorer,
    *,
    split: Mapping[str, Sequence[int]],
    calendar: Calendar,
    epochs: int,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Refitted:
    """Fit the model to the visits that begin in ripe steps and have ended."""
    found, gap_s = visits.cut(visits.history(events, timezone=calendar.timezone), gap_s=rule.gap_s)
    quiet_s = visits.quiet(found, np.ones(len(found), dtype=bool), gap_s)
    weeks = conditions.ripe(split)
    # Between the parts lie steps that were left out for labels to end; here nothing comes after that could be told.
    weeks = sorted(set(range(weeks[0], weeks[-1] + 1)) - set(split.get("incomplete", [])))
    mine = inside(found, weeks, calendar, quiet_s=quiet_s)  # [V]
    every = visits.rows(found, rule.intents, positions=rule.model.positions)
    rows = learn.spaced(every, np.flatnonzero(mine[every.visit]), learn.MOST_ROWS["train"])
    sample = learn.sample(found, rows, judged.codes, rule.model)
    report(0.3, "encoded")
    made = train(
        sample,
        None,
        rule.model.model_copy(update={"epochs": epochs}),
        codes=judged.codes,
        intents=rule.intents,
        start=learn.start(found, mine, rule.intents),
        scale=(judged.mean, judged.scale),
        report=lambda share, note: report(0.3 + 0.6 * share, note),
    )
    return Refitted(made.scorer, len(rows), int(mine.sum()), weeks, sane(made.scorer, sample, judged))


def sane(scorer: SessionScorer, sample: Sample, judged: SessionScorer) -> dict[str, tuple[float, float]]:
    """Return the mean prediction and base rate of each intent; refuse one that is not finite or far from its rate."""
    some = np.linspace(0, len(sample.labels) - 1, min(CHECKED, len(sample.labels))).astype(np.int64)
    events = None if sample.events is None else sample.events.take(some)
    said, before = (one.predict(sample.features[some], events) for one in (scorer, judged))  # [R, C]
    if not np.isfinite(said).all():
        raise _insane("its probabilities are not finite")
    found = {}
    for c, name in enumerate(scorer.names):
        mean, rate = float(said[:, c].mean()), float(sample.labels[some, c].mean())
        if abs(mean - rate) > max(NEAR + SHARE * rate, NEAR + abs(float(before[:, c].mean()) - rate)):
            raise _insane(f"its mean probability of '{name}' is {mean:.4f}, where {rate:.4f} of its rows fulfil it")
        found[name] = (round(mean, 6), round(rate, 6))
    return found


def _insane(why: str) -> DataError:
    return DataError(
        f"refit of the session model: {why}; the judged model is in the registry and the champion stays; look at the "
        "newest visits of the data, or set promotion.refit: false"
    )
