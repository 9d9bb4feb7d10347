"""From events to a judged session model: cut visits, make rows, fit on those of training steps, judge on test steps.

Pure: tables and the split come in, nothing is read or written. The steps around it are in steps.py, the door's half
(encode and score) in encode.py and score.py.

Letters: R rows, F features, C session intents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.intent.sessions import baselines, evaluate, visits
from components.intent.sessions.encode import Codes, encode
from components.intent.sessions.recurrent import Events, events_of
from components.intent.sessions.spec import GRU, SessionIntent, SessionModel, SessionRule
from components.intent.sessions.split import PARTS, parts, require_rows
from components.intent.sessions.train import Sample, Trained, train
from components.intent.sessions.visits import History, Rows
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError

CHUNK = 4096  # rows encoded at a time: bounds memory
MOST_ROWS = {"train": 500_000, "validate": 100_000, "test": 200_000}  # evenly spaced ones beyond that


@dataclass(frozen=True)
class Learnt:
    """A judged session model, and what it rests on."""

    trained: Trained
    evaluation: evaluate.Evaluation
    told: str  # how visits are told, in words
    counts: dict[str, Any]


def learn(
    events: pa.Table,
    items: pa.Table | None,
    rule: SessionRule,
    *,
    split: Mapping[str, Sequence[int]],
    calendar: Calendar,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Learnt:
    """Fit and judge the model of a rule's intents; refuse data that cannot tell."""
    found, gap_s = visits.cut(visits.history(events, timezone=calendar.timezone), gap_s=rule.gap_s)
    told = said_of(found, gap_s)
    # A visit that is silent for less before the data's end may go on after it: its labels are not known.
    quiet_s = visits.quiet(found, np.ones(len(found), dtype=bool), gap_s)
    part = parts(found, split, calendar, quiet_s=quiet_s)  # [V]
    every = visits.rows(found, rule.intents, positions=rule.model.positions)
    require_rows(every, part, found, what=told)
    by_part = {name: _of(every, part, place) for place, name in enumerate(PARTS)}
    _require_both(by_part["train"], rule.intents)
    report(0.1, "visits")
    learnt_from = part[found.visit] == PARTS.index("train")
    codes = visits.codes(found, learnt_from, {} if rule.people else _categories(items), gap_s=gap_s)
    rates = start(found, part == PARTS.index("train"), rule.intents)
    samples = {name: sample(found, rows, codes, rule.model) for name, rows in by_part.items()}
    report(0.3, "encoded")
    trained = train(
        samples["train"],
        samples["validate"],
        rule.model,
        codes=codes,
        intents=rule.intents,
        start=rates,
        report=lambda share, note: report(0.3 + 0.5 * share, note),
    )
    test = by_part["test"]
    others = baselines.predictions(found, by_part["train"], test, rule.intents)
    names = [intent.name for intent in rule.intents]
    judged = evaluate.evaluate(
        test, trained.scorer.predict(samples["test"].features, samples["test"].events), others, names
    )
    return Learnt(trained, judged, told, _counts(found, part, by_part))


def said_of(events: History, gap_s: int | None) -> str:
    """Say how visits are told.

    >>> import dataclasses
    >>> few = History(*[np.zeros(1, int)] * 5, kinds=("view",), item_ids=(), user_ids=("u",),
    ...     sessions_told=False, visit=np.zeros(1, int))
    >>> said_of(few, 1800)
    'cut where a user is silent for more than 30 minutes, since the events have no session_id'
    """
    silence = "" if gap_s is None else f"a user is silent for more than {gap_s / 60:g} minutes"
    if not events.sessions_told:
        return f"cut where {silence}, since the events have no session_id"
    return f"by session_id, and cut where {silence}" if silence else "by session_id"


def sample(events: History, rows: Rows, codes: Codes, model: SessionModel) -> Sample:
    """Encode rows: their features, and the visits' events where the model reads them."""
    features, told = [], []
    for begin in range(0, len(rows), CHUNK):
        windows = visits.windows(events, rows.event[begin : begin + CHUNK], codes)
        features.append(encode(windows, codes))
        if model.architecture == GRU:
            told.append(events_of(windows, codes))
    return Sample(np.concatenate(features), rows.labels, Events.joined(told) if told else None)


def _of(every: Rows, part: np.ndarray, place: int) -> Rows:
    return spaced(every, np.flatnonzero(part[every.visit] == place), MOST_ROWS[PARTS[place]])


def spaced(every: Rows, index: np.ndarray, most: int) -> Rows:
    """Return the rows at `index`, evenly spaced ones where they are more than `most`."""
    if len(index) > most:
        index = index[np.linspace(0, len(index) - 1, most).astype(np.int64)]
    return every.take(index)


def _require_both(learnt: Rows, intents: Sequence[SessionIntent]) -> None:
    """Refuse a label that is the same in every training row: a model of it would say nothing."""
    rates = learnt.labels.mean(axis=0)
    for intent, rate in zip(intents, rates.tolist(), strict=True):
        if rate in (0.0, 1.0):
            what = "an end" if intent.ends else f"'{intent.event}'" if intent.event else "another event"
            raise DataError(
                f"intents.{intent.name}: {what} follows in {'every' if rate else 'none'} of the {len(learnt):,} "
                "training rows, so nothing can be learnt of it; name another kind of event, or drop the intent"
            )


def start(events: History, mine: np.ndarray, intents: Sequence[SessionIntent]) -> np.ndarray:
    """Return the share of visits [V] in `mine` that hold what each intent asks for, float64 [C].

    Every visit that begins has an event, and ends: of an intent about any event that is 1, of an end it is the share
    of visits with no more than one instant.
    """
    V = len(mine)
    found = []
    first = np.full(V, np.iinfo(np.int64).max)
    np.minimum.at(first, events.visit, events.at)
    last = np.zeros(V, dtype=np.int64)
    np.maximum.at(last, events.visit, events.at)
    for intent in intents:
        if intent.ends:
            found.append((first == last)[mine].mean())
        elif intent.event is None:
            found.append(1.0)
        else:
            held = np.zeros(V, dtype=bool)
            held[events.visit[events.kind == events.kinds.index(intent.event)]] = True
            found.append(held[mine].mean())
    return np.asarray(found, dtype=np.float64)


def _categories(items: pa.Table | None) -> dict[str, str]:
    if items is None or columns.CATEGORY not in items.column_names:
        return {}
    pairs = zip(items[columns.ITEM_ID].to_pylist(), items[columns.CATEGORY].to_pylist(), strict=True)
    return {str(item): str(category) for item, category in pairs if category is not None}


def _counts(events: History, part: np.ndarray, by_part: Mapping[str, Rows]) -> dict[str, Any]:
    return {
        "events": len(events),
        "sessions": len(part),
        "sessions_left_out": int((part < 0).sum()),
        "rows": {name: len(rows) for name, rows in by_part.items()},
        "rates": {name: [round(float(rate), 6) for rate in rows.labels.mean(axis=0)] for name, rows in by_part.items()},
    }
