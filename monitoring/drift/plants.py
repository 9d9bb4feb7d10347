"""Faults and changes that are planted into a period, each with the class that a watch should give it.

What a power is worth depends on what was planted: each plant is what an operator has met, and touches one source of
signals alone. Features of planted events stay as they were, which understates what a fault in production would move.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feature_repo import columns
from monitoring.drift.observed import ItemValues, Observed
from monitoring.reason_classes import DATA_FAULT, WORLD, Reason

PART = 0.05
LIKE = 2.0  # a segment of half or twice the share is not the one that is lost
LATE_S = 5 * 3600
LARGE_SEGMENT, SMALL_SEGMENT = 0.22, 0.04  # shares of the users who come; who does not come is missed by nobody


@dataclass(frozen=True)
class Plant:
    """A change of one period. `touches` is the source of the signals that it moves."""

    name: str
    touches: str
    reason: Reason
    change: Callable[[Observed, np.random.Generator], Observed | None]  # None: the recommender has no such thing


def _scaled(factor: float) -> Callable[[Observed, np.random.Generator], Observed | None]:
    def change(of: Observed, rng: np.random.Generator) -> Observed | None:
        return _events(of, value=of.events["value"] * factor) if np.nansum(of.events["value"]) else None

    return change


def _nulled(column: str) -> Callable[[Observed, np.random.Generator], Observed | None]:
    def change(of: Observed, rng: np.random.Generator) -> Observed | None:
        if of.events[column].isna().all():
            return None
        return _events(of, **{column: of.events[column].mask(rng.random(len(of.events)) < PART)})

    return change


def _unknown(of: Observed, rng: np.random.Generator) -> Observed | None:
    if of.ingested is None or of.unknown is None:
        return None
    return dataclasses.replace(of, unknown=of.unknown + round(PART * (of.ingested - of.unknown)))


def _holes(share: float) -> Callable[[Observed, np.random.Generator], Observed | None]:
    def change(of: Observed, rng: np.random.Generator) -> Observed | None:
        name = _windowed(of, "value")
        return None if name is None else _column(of, name, of.frame[name].mask(rng.random(len(of.frame)) < share))  # type: ignore[index, arg-type]

    return change


def _stuck_feature(of: Observed, rng: np.random.Generator) -> Observed | None:
    name = _windowed(of, "sessions")
    return None if name is None else _column(of, name, pd.Series(np.full(len(of.frame), of.frame[name].median())))  # type: ignore[index, arg-type]


def _more_sessions(of: Observed, rng: np.random.Generator) -> Observed | None:
    name = _windowed(of, "sessions", longest=28)
    return None if name is None else _column(of, name, of.frame[name] * 1.2)  # type: ignore[index]


def _renamed(of: Observed, rng: np.random.Generator) -> Observed | None:
    if of.values is None:
        return None
    item = of.events["item"].to_numpy()
    sold = np.bincount(item[item >= 0], minlength=of.values.held.shape[0]) @ of.values.held
    first = int(np.argmax(sold))
    names = tuple(f"{n} (renamed)" if place == first else n for place, n in enumerate(of.values.names))
    held = ItemValues((*names, of.values.names[first]), _with_an_empty_column(of.values))
    return dataclasses.replace(of, values=held)


def _with_an_empty_column(values: ItemValues) -> object:
    from scipy.sparse import csr_matrix, hstack

    return hstack([values.held, csr_matrix((values.held.shape[0], 1))], format="csr")


def _half_the_lines(of: Observed, rng: np.random.Generator) -> Observed | None:
    return kept(of, rng.random(len(of.events)) < 0.5)


def _half_the_sessions(of: Observed, rng: np.random.Generator) -> Observed | None:
    session = of.events["session"].to_numpy()
    if (session < 0).all():
        return None
    chosen = rng.random(int(session.max()) + 2) < 0.5
    return kept(of, chosen[session])


def _constant(of: Observed, rng: np.random.Generator) -> Observed | None:
    if of.scores is None:
        return None
    return dataclasses.replace(of, scores=of.scores * 0 + of.scores.mean())


def _lost_segment(share: float) -> Callable[[Observed, np.random.Generator], Observed | None]:
    def change(of: Observed, rng: np.random.Generator) -> Observed | None:
        if of.segment is None:
            return None
        first = np.unique(of.events["user"].to_numpy(), return_index=True)[1]
        users = np.bincount(of.segment[first] + 1, minlength=len(of.segments) + 1)[1:] / max(len(first), 1)
        nearest = int(np.argmin(np.abs(users - share)))
        if not share / LIKE <= users[nearest] <= share * LIKE:
            return None
        return kept(of, of.segment != nearest)

    return change


def _late_clock(of: Observed, rng: np.random.Generator) -> Observed | None:
    local = of.events["local_s"]
    return None if (local % 86_400 == 0).all() else _events(of, local_s=local + LATE_S)


def _half_the_labels(of: Observed, rng: np.random.Generator) -> Observed | None:
    if of.labels is None:
        return None
    done = of.labels.done * (rng.random(len(of.labels.done)) < 0.5)[:, None]
    return dataclasses.replace(of, labels=dataclasses.replace(of.labels, done=done))


PLANTS = (
    Plant("values x 1.2", "events", WORLD, _scaled(1.2)),
    Plant("5 % of values null", "events", DATA_FAULT, _nulled("value")),
    Plant("5 % of quantities null", "events", DATA_FAULT, _nulled("quantity")),
    Plant("5 % unknown items", "events", DATA_FAULT, _unknown),
    Plant("5 % NaN in a feature", "features", DATA_FAULT, _holes(PART)),
    Plant("a feature all NaN", "features", DATA_FAULT, _holes(1.1)),
    Plant("a category renamed", "events", DATA_FAULT, _renamed),
    Plant("half of the lines", "events", DATA_FAULT, _half_the_lines),
    Plant("half of the sessions", "events", DATA_FAULT, _half_the_sessions),
    Plant("values x 100", "events", DATA_FAULT, _scaled(100.0)),
    Plant("predictions constant", "scores", DATA_FAULT, _constant),
    Plant("a feature stuck", "features", DATA_FAULT, _stuck_feature),
    Plant("a large segment lost", "events", DATA_FAULT, _lost_segment(LARGE_SEGMENT)),
    Plant("a small segment lost", "events", DATA_FAULT, _lost_segment(SMALL_SEGMENT)),
    Plant("the clock 5 hours off", "events", DATA_FAULT, _late_clock),
    Plant("half of the labels missing", "labels", DATA_FAULT, _half_the_labels),
    Plant("sessions_28d x 1.2", "features", DATA_FAULT, _more_sessions),
)


def kept(of: Observed, mask: np.ndarray) -> Observed:
    """Return a period with a part of its events [N]."""
    return dataclasses.replace(
        of,
        events=of.events[mask],
        new_items=None if of.new_items is None else of.new_items[mask],
        usual=None if of.usual is None else of.usual[mask],
        segment=None if of.segment is None else of.segment[mask],
        ingested=None if of.ingested is None else max(of.ingested - int((~mask).sum()), int(mask.sum())),
    )


def _events(of: Observed, **changed: object) -> Observed:
    return dataclasses.replace(of, events=of.events.assign(**changed))  # type: ignore[arg-type]


def _column(of: Observed, name: str, values: pd.Series) -> Observed:
    assert of.frame is not None
    return dataclasses.replace(of, frame=of.frame.assign(**{name: values.to_numpy()}))


def _windowed(of: Observed, counted: str, *, longest: float = np.inf) -> str | None:
    """Name the feature that counts something over the longest window up to a limit; None where there is none."""
    names = () if of.frame is None else of.frame.columns
    found = [(window[1], name) for name in names if (window := columns.window_of(name)) and window[0] == counted]
    fitting = [pair for pair in found if pair[0] <= longest]
    return max(fitting)[1] if fitting else None
