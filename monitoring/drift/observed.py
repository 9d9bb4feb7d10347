"""What one period left: its events, the users' rows as they stood at its end, scores, labels and answers.

`period_reader.py` fills it from a run's folders; the measuring modules read it and know no files. A planted fault
(plants.py) is a function from one `Observed` to another.

Letters: N events, I items, T values of item columns, K directions of texts, B rows of users, C intents.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class ItemValues:
    """Which values of item columns each item has, such as its category or its genres."""

    names: tuple[str, ...]  # [T] <column>.<value>
    held: Any  # scipy CSR matrix, float32 [I, T]


@dataclass(frozen=True)
class ItemTexts:
    """What each item's text is about: its vector seen from some fixed directions (text_directions.py)."""

    names: tuple[str, ...]  # [K] of the directions; other encoders have others
    seen: np.ndarray  # float32 [I, K]; NaN of an item without a text


@dataclass(frozen=True)
class Labels:
    """What users did and were expected to do within the horizon that this period completed, by intent."""

    intents: tuple[str, ...]
    done: np.ndarray  # [B, C] targets of the intent that a user fulfilled
    weight: np.ndarray  # [B] possible rows that a row stands for
    expected: np.ndarray | None = (
        None  # [b, C] sums of probabilities, of a sample of the rows; None: nothing was scored
    )
    sample: np.ndarray | None = None  # int64 [b] which rows were scored


@dataclass(frozen=True)
class Observed:
    """A period by its number in the periods' calendar. What was not there to be read is None."""

    period: int
    days: int
    events: pd.DataFrame  # user, item, event, local_s, session (-1: none), quantity, value, discount; items are codes
    age: int | None = None  # periods since the data began, this one included; None: it began in the midst of one
    values: ItemValues | None = None
    texts: ItemTexts | None = None
    new_items: np.ndarray | None = None  # bool [N]: the event's item was in no event of an earlier period
    usual: np.ndarray | None = None  # float64 [N]: what the event's item cost in the periods before; NaN: not known
    segment: np.ndarray | None = None  # int64 [N]: of the event's user as the period began; -1: none
    segments: tuple[str, ...] = ()  # their names
    ingested: int | None = None  # events as the source gave them, those set aside and cleaned away included
    unknown: int | None = None  # of them, those with an item that the source does not list
    frame: pd.DataFrame | None = None  # numbers of the users' rows at the period's end, float64 [B]
    weight: np.ndarray | None = None  # [B] possible rows that a row stands for
    row_segment: np.ndarray | None = None  # int64 [B]
    scores: pd.DataFrame | None = None  # float64 [b, C]: targets of an intent that are expected, of a sample of rows
    forecasts: pd.DataFrame | None = None  # float64 [b, F]: amounts, and shares of next values, of the same rows
    served: pd.DataFrame | None = None  # the same of the period's answers, as the request log holds them
    served_by: str = ""  # the release that answered last in the period: `served` is of its answers alone
    labels: Labels | None = None
    answers: pd.DataFrame | None = None  # of the request log: user, rung, degraded, latency_ms
    shown: pd.DataFrame | None = None  # an item that was shown: answer, user, item, source, position, acted


def of_users(of: Observed, keep: np.ndarray, rows: np.ndarray) -> Observed:
    """Return what a part of the users left: events by user code bool [users], rows bool [B]."""
    mask = keep[of.events["user"].to_numpy()]
    share = float(mask.mean()) if len(mask) else 0.0
    return replace(
        of,
        events=of.events[mask],
        new_items=None if of.new_items is None else of.new_items[mask],
        usual=None if of.usual is None else of.usual[mask],
        segment=None if of.segment is None else of.segment[mask],
        ingested=None if of.ingested is None else max(round(of.ingested * share), int(mask.sum())),
        unknown=None if of.unknown is None else round(of.unknown * share),
        frame=None if of.frame is None else of.frame[rows[: len(of.frame)]],
        weight=None if of.weight is None else of.weight[rows[: len(of.weight)]],
        row_segment=None if of.row_segment is None else of.row_segment[rows[: len(of.row_segment)]],
    )
