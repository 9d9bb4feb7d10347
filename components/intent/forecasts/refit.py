"""Fit the judged heads once more, on every ripe step, the newest complete one included; they then serve.

Each keeps its scale, its values and its inputs, begins at the same seed and goes on for as many epochs as validation
chose for the judged one: on the training rows alone it would come to the judged weights. An effect (kind: uplift) is
kept as it was judged. Validation and test rows are
learnt from, so nothing stops it early, and nothing judges it but `sane`.

Letters: R rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from components import conditions
from components.intent.examples import Examples
from components.intent.forecasts import kinds, labels
from components.intent.forecasts.kinds import Answers, Head
from components.intent.forecasts.learn import MOST_CELLS, MOST_ROWS, labelled, spaced, weights_of
from components.intent.forecasts.score import Fitted, ForecastScorer
from components.intent.forecasts.spec import ForecastRule
from components.intent.forecasts.train import Sample, kept_after, train
from feature_repo.errors import DataError

CHECKED = 4096  # rows, at most, that `sane` asks about
WORSE = 1.25  # times the judged head's loss on the same rows, at which a refit is refused
LOSSES = ("pinball", "rmse", "log_loss")  # the first that a head has


@dataclass(frozen=True)
class Refitted:
    """Refitted heads and what they learnt from."""

    scorer: ForecastScorer
    rows: int
    weeks: list[int]
    epochs: dict[str, int]
    losses: dict[str, tuple[float, float]]  # by intent: of the refit, and of the judged head, on the same rows


def refit(
    events: pa.Table,
    items: pa.Table | None,
    rule: ForecastRule,
    examples: Examples,
    judged: ForecastScorer,
    *,
    epochs: Mapping[str, Sequence[Mapping[str, Any]]],
    weeks: Sequence[int] | None = None,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Refitted:
    """Fit every head to the rows of `weeks`, left out: the ripe ones; `epochs` are those of training.json."""
    wanted = conditions.ripe(examples.split) if weeks is None else list(weeks)
    most = min(MOST_ROWS["train"], max(MOST_CELLS // len(judged.seen.mean), 1))
    every = spaced(np.flatnonzero(np.isin(examples.week, wanted)), most)
    x = judged.seen.scaled(examples.rows.take(every))
    rows = labels.Rows.of(examples.rows.user_id[every], examples.week[every])
    report(0.3, "encoded")
    fitted, kept, losses = [], {}, {}
    for n, (intent, before) in enumerate(zip(rule.intents, judged.fitted, strict=True)):
        if intent.kind == kinds.UPLIFT:  # a measured effect stays what it was judged as
            fitted.append(before)
            continue
        head = cast(Head, before.head)
        values = tuple(getattr(before.head, "values", ()))
        found = labelled(events, items, intent, examples, rows, train=slice(None), values=values)
        has = np.flatnonzero(~np.isnan(found.y))
        sample = Sample(x[has], found.y[has], weights_of(examples, every[has]))
        kept[intent.name] = max(kept_after(epochs[intent.name]), 1)
        model = rule.model.model_copy(update={"epochs": kept[intent.name]})
        made = train(sample, None, head, model)
        again = Fitted(head, made.net.arrays())
        losses[intent.name] = sane(again, before, sample)
        fitted.append(again)
        report(0.3 + 0.7 * (n + 1) / len(rule.intents), intent.name)
    return Refitted(ForecastScorer(tuple(fitted), judged.seen), len(every), wanted, kept, losses)


def sane(again: Fitted, before: Fitted, sample: Sample) -> tuple[float, float]:
    """Return a refit's loss and the judged head's on some of the rows; refuse one that is not finite or much worse."""
    some = sample.take(spaced(np.arange(len(sample)), CHECKED))
    mine, theirs = (_loss(one.head, some, one.outputs(some.x)) for one in (again, before))
    name = again.head.intent.name
    if not np.isfinite(mine) or mine > WORSE * theirs + 1e-9:
        raise DataError(
            f"refit of the forecast '{name}': its loss is {mine:.4g} where the judged head's is {theirs:.4g} on "
            "the same rows; the judged model is in the registry and the champion stays; look at the newest steps of "
            "the data, or set promotion.refit: false"
        )
    return round(mine, 6), round(theirs, 6)


def _loss(head: Answers, sample: Sample, outputs: np.ndarray) -> float:
    found = head.figures(sample.y, head.answer(outputs), np.ones((len(sample), 1)))
    return float(next(found[name] for name in LOSSES if name in found)[0])
