"""Signals of the users' rows at a period's end: what models will see.

A feature is a function of the events, so there are two ways to the same number: the rows' sum of what a window counts,
and the events of the periods that the window covers. Their ratio stays as it is whatever users do (`features.agree`),
and moves where features are computed wrongly.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from feature_repo import columns
from monitoring.drift.observed import Observed
from monitoring.drift.signals import DESIGN, Measured, Values

SHARES = ("weekend_share", "evening_share", "recency_days")  # as they are; everything else on a log scale
SLOW = ("sessions_slow", "value_slow")
# A window of more periods than these hardly moves from one to the next, and then goes on for as long as it is: its last
# periods say nothing of how far it strays. Of its spread only a collapse is told.
LONG = 4
SLOW_ERROR = 0.5
Found = Iterator[tuple[str, Measured]]


def measure(of: Observed, before: Sequence[Values]) -> dict[str, Measured]:
    """Return every signal of a period's rows; `before` are the event signals of the periods before, oldest first."""
    if of.frame is None or not len(of.frame):
        return {}
    weight = np.ones(len(of.frame)) if of.weight is None else of.weight
    found: dict[str, Measured] = {}
    for name in of.frame.columns:
        found.update(_of_column(name, of.frame[name].to_numpy(dtype=np.float64), weight, of.days))
    found.update(_agreeing(of, weight, before))
    if of.row_segment is not None:
        shares = np.bincount(of.row_segment, weights=weight, minlength=len(of.segments)) / weight.sum()
        for name, share in zip(of.segments, shares[: len(of.segments)], strict=True):
            found[f"features.segment.{name}"] = Measured(float(share), len(of.frame))
    return found


def _of_column(name: str, values: np.ndarray, weight: np.ndarray, days: int) -> Found:
    held = np.isfinite(values)
    yield f"features.null.{name}", Measured(1 - float(weight[held].sum() / weight.sum()), len(values))
    if held.sum() < 2 or not (columns.window_of(name) or name in SHARES + SLOW):
        return  # lifetime totals grow by themselves
    logs = values[held] if name in SHARES else np.log1p(np.maximum(values[held], 0.0))
    mean = np.average(logs, weights=weight[held])
    spread = float(np.sqrt(np.average((logs - mean) ** 2, weights=weight[held])))
    counted = columns.window_of(name)
    slow = counted is not None and counted[1] > LONG * days
    if spread > 0 and not slow:
        yield f"features.mean.{name}", Measured(float(mean), int(held.sum()), spread)
    error = SLOW_ERROR if slow else spread_error(logs, weight[held], mean, spread)
    yield f"features.spread.{name}", Measured(spread, int(held.sum()), error)


def spread_error(values: np.ndarray, weight: np.ndarray, mean: float, spread: float) -> float | None:
    """Return the standard error of a deviation on the log scale: sqrt((k - 1) / 4n) for a kurtosis k; None without one.

    A column that is nought for most users, and something for a few, has a deviation that rests on those few. That of a
    normal one counts as a level's without an error of its own (signals.py).

    >>> round(spread_error(np.array([0.0, 1.0] * 50), np.ones(100), 0.5, 0.5), 4)
    0.1225
    >>> round(spread_error(np.array([1.0] + [0.0] * 99), np.ones(100), 0.01, 0.0995), 2)
    0.49
    """
    if spread <= 0:
        return None
    kurtosis = float(np.average(((values - mean) / spread) ** 4, weights=weight))
    return float(np.sqrt(max(kurtosis - 1, 2 * DESIGN) / (4 * len(values))))


def _agreeing(of: Observed, weight: np.ndarray, before: Sequence[Values]) -> Found:
    assert of.frame is not None
    for name in of.frame.columns:
        counted = columns.window_of(name)
        if counted is None or counted[1] % of.days:
            continue
        periods = int(counted[1] // of.days)
        if of.age is not None and of.age == len(before):
            periods = min(periods, of.age)  # before the data began there was nothing to count
        totals = _total(f"events.total.{counted[0]}", before[-periods:], periods)
        if totals:
            summed = float(np.nansum(of.frame[name].to_numpy() * weight))
            yield f"features.agree.{name}", Measured(summed / totals, len(of.frame))


def _total(name: str, of: Sequence[Mapping[str, Measured]], periods: int) -> float | None:
    """Return the sum of a total over periods; None where one of them lacks it."""
    known = [values[name].value for values in of if name in values]
    return sum(known) if len(known) == periods else None
