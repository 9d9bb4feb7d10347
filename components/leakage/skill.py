"""A smoke test for leaks that no recomputation shows: a column that knows its own week far better than the next.

What was honestly known at a cutoff tells nearly as much of the week after next; what comes from the label week
itself does not. Each column is scored by itself against a few labels (any at all, and the most frequent ones). It
warns, it proves nothing: its bar is far above what honest columns reach.

Letters: B rows, N list values over all rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.leakage.compare import KNOWN_AFTER, LABELS, WEEK
from feature_repo import columns
from feature_repo.leak import Leak

HOW = "tells its own week better than the past can"
TARGETS = 5  # most frequent labels that columns are scored against, beside "any"
FEWEST = 30  # rows of either answer that a label needs
MARGIN = 0.1  # of AUROC above the same column a week ahead, and above the label's own past
SKIP = {columns.USER_ID, WEEK, "now", columns.STATE_AT, *KNOWN_AFTER}


@dataclass(frozen=True)
class Label:
    """One yes or no a row, in the row's week and in the week after it."""

    name: str
    now: np.ndarray  # [B] bool
    after: np.ndarray  # [B] bool
    linked: np.ndarray  # [B] bool: there is a row a week later, so `after` is known
    past: np.ndarray  # [B] float64: its share of the user's earlier weeks
    weight: np.ndarray | None = None  # [B] possible rows that a row stands for; None: each for itself


def suspicious(rows: pa.Table, names: list[str]) -> list[Leak]:
    """Return a warning for each column of `rows` (user_id, week, label_ids, features) that knows too much."""
    labels = list(_labels(rows, names))
    found = []
    for column, values in numbers(rows):
        worst = max(((excess(values, label), label) for label in labels), key=lambda e: e[0][0], default=None)
        if worst is not None and worst[0][0] > MARGIN:
            (_, skill, rival), label = worst
            what = (
                f"AUROC {0.5 + skill:.3f} for '{label.name}'; a week ahead, or from the label's past, {0.5 + rival:.3f}"
            )
            found.append(Leak("intent", column, None, "", HOW, what, severity="warning"))
    return found


def noticeable(rows: pa.Table, names: list[str]) -> Label | None:
    """Return the label that a column which simply holds it would stand out on most; None where none would."""
    margins = [(excess(label.now.astype(np.float64), label)[0], label) for label in _labels(rows, names)]
    best = max(margins, key=lambda pair: pair[0], default=None)
    return best[1] if best is not None and best[0] > MARGIN else None


def excess(values: np.ndarray, label: Label) -> tuple[float, float, float]:
    """Return how far a column's skill is above what is fair, that skill, and what is fair (AUROC beyond .5)."""
    usable = np.isfinite(values) & label.linked
    if min(np.count_nonzero(label.now[usable]), np.count_nonzero(~label.now[usable])) < FEWEST:
        return 0.0, 0.0, 0.0
    weight = None if label.weight is None else label.weight[usable]
    skill = abs(auroc(values[usable], label.now[usable], weight) - 0.5)
    fair = max(
        abs(auroc(values[usable], label.after[usable], weight) - 0.5),
        abs(auroc(label.past[usable], label.now[usable], weight) - 0.5),
    )
    return skill - fair, skill, fair


def auroc(values: np.ndarray, label: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Return the area under the ROC curve, ties by half; .5 where one answer is missing. A row counts `weight` times.

    >>> auroc(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, False, True, True]))
    0.875
    >>> auroc(np.array([1.0, 2.0, 3.0]), np.array([False, True, False]), np.array([3.0, 1.0, 1.0]))
    0.75
    """
    if weight is not None:
        return _weighted_auroc(values, label, weight)
    positive = int(np.count_nonzero(label))
    if positive in (0, len(label)):
        return 0.5
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[code]  # mean rank of ties, from 1
    return float((rank[label].sum() - positive * (positive + 1) / 2) / (positive * (len(label) - positive)))


def _weighted_auroc(values: np.ndarray, label: np.ndarray, weight: np.ndarray) -> float:
    _, code = np.unique(values, return_inverse=True)
    yes, no = (np.bincount(code, weight * side, minlength=code.max(initial=0) + 1) for side in (label, ~label))
    if not yes.sum() or not no.sum():
        return 0.5
    below = np.cumsum(no) - no / 2
    return float((yes * below).sum() / (yes.sum() * no.sum()))


def numbers(rows: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every feature as numbers [B]: scalars as they are, lists by their length and their sum."""
    for name in rows.column_names:
        kind = rows.schema.field(name).type
        if name in SKIP:
            continue
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            lists = pa.chunked_array(rows[name]).combine_chunks()
            length = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
            yield f"{name} (length)", length.astype(np.float64)
            value = lists.flatten()
            if pa.types.is_integer(value.type) or pa.types.is_floating(value.type):
                row = np.repeat(np.arange(len(length)), length)
                values = np.nan_to_num(np.asarray(value.cast(pa.float64()).to_numpy(zero_copy_only=False)))
                yield f"{name} (sum)", np.bincount(row, values, minlength=len(length))
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            yield name, np.asarray(rows[name].cast(pa.float64()).to_numpy(), dtype=np.float64)


def _labels(rows: pa.Table, names: list[str]) -> Iterator[Label]:
    """Yield the labels of rows that have a row a week later: any label, then the most frequent ones."""
    lists = pa.chunked_array(rows[LABELS[0]]).combine_chunks()
    length = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    owner, value = np.repeat(np.arange(len(length)), length), lists.flatten().to_numpy(zero_copy_only=False)
    frequent = np.argsort(-np.bincount(value), kind="stable")[:TARGETS]
    chosen = {"any": length > 0}
    for target in frequent:
        happened = np.zeros(len(length), dtype=bool)
        happened[owner[value == target]] = True
        chosen[names[target] if target < len(names) else f"label {target}"] = happened
    user = np.unique(rows[columns.USER_ID].to_numpy(), return_inverse=True)[1]
    week = rows[WEEK].to_numpy()
    weight = rows[columns.ROW_WEIGHT].to_numpy() if columns.ROW_WEIGHT in rows.column_names else None
    for name, now in chosen.items():
        if min(np.count_nonzero(now), np.count_nonzero(~now)) >= FEWEST:
            yield Label(name, now, *_after(user, week, now), _past(user, week, now, weight), weight)


def _after(user: np.ndarray, week: np.ndarray, now: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's label a week later, and whether there is such a row, each bool [B]."""
    order = np.lexsort((week, user))
    following = np.append(order[1:], order[-1:])
    after, linked = np.empty_like(now), np.empty_like(now)
    after[order] = now[following]
    linked[order] = (user[following] == user[order]) & (week[following] == week[order] + 1)
    return after, linked


def _past(user: np.ndarray, week: np.ndarray, now: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the share of each user's earlier rows with the label, smoothed towards the share of all."""
    order = np.lexsort((week, user))
    often = np.ones(len(order)) if weight is None else weight[order]
    counted = now[order] * often
    hits, rows = np.cumsum(counted) - counted, np.cumsum(often) - often
    first = np.searchsorted(user[order], user[order])
    share = (hits - hits[first] + counted.sum() / often.sum()) / (rows - rows[first] + 1)
    past = np.empty(len(order))
    past[order] = share
    return past
