"""From rows and clean events to judged heads: labels, heads fitted on training rows, stopped early, judged on test.

Pure: tables and the intent model's rows come in, nothing is read or written. The steps around it are in steps.py.

Letters: R rows, N inputs.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from components.intent import inputs
from components.intent.evaluate import cohorts
from components.intent.examples import Examples, require_purged
from components.intent.forecasts import baselines, evaluate, kinds, labels
from components.intent.forecasts.evaluate import Evaluation, Judged
from components.intent.forecasts.kinds import Head
from components.intent.forecasts.kinds.multiclass import Multiclass
from components.intent.forecasts.kinds.regression import Regression
from components.intent.forecasts.score import Fitted, ForecastScorer, Seen
from components.intent.forecasts.spec import Forecast, ForecastRule
from components.intent.forecasts.train import Epoch, Sample, train
from components.resamples import digest
from feature_repo import columns
from feature_repo.errors import DataError

if TYPE_CHECKING:
    from components.intent.forecasts.effect import Effects

PARTS = ("train", "validate", "test")
MOST_ROWS = {"train": 200_000, "validate": 60_000, "test": 200_000}  # evenly spaced ones beyond that
MOST_CELLS = 150_000_000  # rows times inputs of a part: bounds memory
STANDARD_ROWS = 20_000  # training rows, at most, that mean and deviation of inputs are taken from
SAME = 1e-6  # a deviation below which an input says nothing
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Learnt:
    """Judged forecasts and how they came about."""

    scorer: ForecastScorer
    evaluation: Evaluation
    epochs: dict[str, tuple[Epoch, ...]]  # by intent
    counts: dict[str, Any]


@dataclass(frozen=True)
class Labelled:
    """Labels of an intent's rows, and what their users' own past says."""

    y: np.ndarray  # [R]; nan of a row without a label
    own: np.ndarray  # [R] decayed mean of a regression, last class of a multiclass
    told: dict[str, Any]
    values: tuple[str, ...] = ()


def learn(
    events: pa.Table,
    items: pa.Table | None,
    rule: ForecastRule,
    examples: Examples,
    *,
    report: Report = lambda share, note: None,
) -> Learnt:
    """Fit and judge the heads of a rule's intents; refuse data that cannot tell."""
    require_purged(examples.split, max(intent.steps for intent in rule.intents))
    at = {part: spaced(_whole(examples, part), MOST_ROWS[part]) for part in PARTS}
    seen, x = _seen(examples, at, report=lambda share: report(0.3 * share, "encoded"))
    every = np.concatenate([at[part] for part in PARTS])
    rows = labels.Rows.of(examples.rows.user_id[every], examples.week[every])
    ends = np.cumsum([len(at[part]) for part in PARTS])
    masks = cohorts(examples.rows.take(at["test"]), examples)
    fitted, judged, told = [], [], {}
    epochs: dict[str, tuple[Epoch, ...]] = {}
    for n, intent in enumerate(rule.intents):
        begin, each = 0.3 + 0.7 * n / len(rule.intents), 0.7 / len(rule.intents)
        if intent.kind == kinds.UPLIFT:
            report(begin, intent.name)
            changed = _effect(events, intent, examples, rows, x)
            fitted.append(changed.fitted)
            judged.append(changed.judged)
            epochs[intent.name], told[intent.name] = (), changed.told
            continue
        found = labelled(events, items, intent, examples, rows, train=slice(0, int(ends[0])))
        parts = dict(zip(PARTS, np.split(np.arange(len(every)), ends[:-1]), strict=True))
        has = {part: place[~np.isnan(found.y[place])] for part, place in parts.items()}
        samples = {
            part: Sample(
                x[part][has[part] - parts[part][0]], found.y[has[part]], weights_of(examples, every[has[part]])
            )
            for part in PARTS
        }
        head = kinds.fit(intent, samples["train"].y, weight=samples["train"].weight, values=found.values)
        _require_rows(samples, intent)
        made = train(
            samples["train"],
            samples["validate"],
            head,
            rule.model,
            report=lambda share, note, begin=begin, each=each: report(begin + 0.6 * each * share, note),  # type: ignore[misc]
        )
        one = Fitted(head, made.net.arrays())
        own = {part: found.own[has[part]] for part in PARTS}
        others = _baselines(head, samples, own)
        said = head.answer(one.outputs(samples["test"].x))
        groups = {name: mask[has["test"] - parts["test"][0]] for name, mask in masks.items()}
        judged.append(Judged(head, samples["test"].y, said, others, rows.user[has["test"]], cohorts=groups))
        fitted.append(one)
        epochs[intent.name] = made.epochs
        unlabelled = int(np.isnan(found.y).sum())
        told[intent.name] = found.told | {
            "rows": {part: len(samples[part]) for part in PARTS},
            "unlabelled": unlabelled,
        }
    rows_digest = digest(examples.rows.user_id[at["test"]], examples.week[at["test"]])
    counts = {"rows": {part: len(at[part]) for part in PARTS}, "inputs": len(seen.mean), "intents": told}
    return Learnt(
        ForecastScorer(tuple(fitted), seen), evaluate.evaluate(judged, rows_digest=rows_digest), epochs, counts
    )


def _effect(
    events: pa.Table, intent: Forecast, examples: Examples, rows: labels.Rows, x: dict[str, np.ndarray]
) -> "Effects":
    """Learn what an intent's offer changes; the rows are those of all parts in their order."""
    from components.intent.forecasts.effect import effect  # LightGBM, which other kinds do without

    test = np.concatenate([np.full(len(x[part]), part == "test") for part in PARTS])
    return effect(events, intent, examples, rows, np.concatenate([x[part] for part in PARTS]), test=test)


def labelled(
    events: pa.Table,
    items: pa.Table | None,
    intent: Forecast,
    examples: Examples,
    rows: labels.Rows,
    *,
    train: slice,
    values: tuple[str, ...] = (),
) -> Labelled:
    """Make an intent's labels; what everyone usually does is taken from the rows of `train`.

    `values` are those that a multiclass tells apart; left out, they are taken from the events before training's end.
    """
    happened = labels.happened(events, items, intent, rows, examples.calendar)
    if intent.kind == "multiclass":
        last = max(examples.split["train"], default=0) + intent.steps
        values = values or labels.values_of(happened, before=last, top=intent.top, name=intent.name)
        instants, codes, tied = labels.instants(happened, values)
        none = len(values) + 1
        y = labels.next_values(instants, codes, rows, intent, none=none).astype(np.float64)
        own = labels.last_values(instants, codes, rows, none=none)
        return Labelled(y, own, {"values": len(values), "tied": round(tied, 4)}, values)
    y = labels.amounts(happened, rows, intent)
    mine = y[train][~np.isnan(y[train])]
    usual = float(mine.mean()) if len(mine) else 0.0
    own = labels.own_means(happened, rows, intent, decay=examples.calendar.pace.slow, usual=usual)
    return Labelled(y, own, {})


def described(rule: ForecastRule, examples: Examples, judged: ForecastScorer) -> dict[str, Any]:
    """Return what heads are trained under, but for the rows that they learn from."""
    seen = judged.seen
    return {
        "spec forecasts": rule.model_dump(mode="json"),
        "split": {part: list(examples.split[part]) for part in PARTS},
        "calendar": list(examples.calendar.document().values()),
        "vocabulary": examples.vocabulary.digest,
        "encode": {"profile": list(seen.profile), "segments": seen.segments}
        | {name: [float(one) for one in getattr(seen, name)] for name in ("mean", "scale")},
        "heads": [one.head.document() for one in judged.fitted],
    }


def document(epochs: dict[str, tuple[Epoch, ...]]) -> dict[str, list[dict[str, Any]]]:
    """Return the epochs as training.json holds them."""
    return {name: [asdict(epoch) for epoch in every] for name, every in epochs.items()}


def _baselines(head: Head, samples: dict[str, Sample], own: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if isinstance(head, Regression):
        return baselines.of_amounts(head, *(samples[part] for part in PARTS), own=own)
    assert isinstance(head, Multiclass)
    return baselines.of_values(head, samples["train"], samples["test"], last=own)


def _whole(examples: Examples, part: str) -> np.ndarray:
    """Return the rows of a part whose labels the data holds whole: a week that the data cuts would look poor."""
    found = examples.part(part)
    whole = found[~np.isin(examples.week[found], examples.split.get("incomplete", []))]
    if not len(whole):
        raise DataError(
            f"forecasts: the data ends within the only {part} {examples.calendar.step}, so no label is whole; give "
            f"data.split more {part} {examples.calendar.step}s"
        )
    return whole


def _seen(examples: Examples, at: dict[str, np.ndarray], *, report: Callable[[float], None]) -> tuple[Seen, Any]:
    """Fit how inputs are scaled on training rows; return it, and each part's scaled rows."""
    segments = int(examples.rows.numbers[columns.SEGMENT].max()) + 1
    targets, names = len(examples.vocabulary.targets), inputs.names_of(examples)
    bare = Seen(examples.context, examples.calendar, targets, names, segments, np.zeros(0), np.zeros(0))
    one = bare.encoded(examples.rows.take(at["train"][:1])).shape[1]
    for part in PARTS:
        at[part] = spaced(at[part], max(MOST_CELLS // one, 1))
    raw = {part: bare.encoded(examples.rows.take(at[part])) for part in PARTS}
    report(1.0)
    some = spaced(np.arange(len(at["train"])), STANDARD_ROWS)
    weight, sample = weights_of(examples, at["train"][some]), raw["train"][some].astype(np.float64)
    mean = np.average(sample, axis=0, weights=weight)
    spread = np.sqrt(np.average((sample - mean) ** 2, axis=0, weights=weight))
    scale = np.where(spread > SAME, 1 / np.maximum(spread, SAME), 0.0)
    found = Seen(
        examples.context, examples.calendar, targets, names, segments, mean.astype(np.float32), scale.astype(np.float32)
    )
    return found, {part: found.scale_of(values) for part, values in raw.items()}


def weights_of(examples: Examples, index: np.ndarray) -> np.ndarray:
    """Return how many possible rows those in `index` stand for, float64 [R]."""
    found = examples.weights(index)
    return np.ones(len(index)) if found is None else found


def spaced(index: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of some rows, evenly spaced."""
    return index if len(index) <= most else index[np.linspace(0, len(index) - 1, most).astype(np.int64)]


def _require_rows(samples: dict[str, Sample], intent: Forecast) -> None:
    for part, sample in samples.items():
        if not len(sample):
            raise DataError(
                f"intents.{intent.name}: no {part} row has a label: nobody did what it is a mean of within the "
                "horizon; use `aggregate: sum`, a longer horizon, or drop the intent"
            )
