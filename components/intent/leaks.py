"""Check that the intents which the ranker learns from were predicted before they came true.

Two ways: the weeks that training recorded for each stage, and the scores themselves. On the weeks that the early
stage scored, the final network knows the labels, so its scores must differ; on later weeks they must be its own.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from components.intent.examples import WEEK
from components.intent.score import IntentScorer
from feature_repo import columns
from feature_repo.leak import Leak
from feature_repo.rows import UserRows

TABLE, COLUMN = "out_of_time", "probabilities"
RECORDED, SCORES = "recorded training weeks", "scores compared with the final model's"
CLOSE = 1e-3  # two runs of one network differ by less, two networks by more


def recorded(weeks: Mapping[str, list[int]] | None, split: Mapping[str, list[int]], *, horizon: int = 1) -> list[Leak]:
    """Compare the weeks that each stage learned from with those it scored; `weeks` is training.json's.

    Labels look ahead `horizon` steps: what a stage learned from must have been known when it first scored.

    >>> split = {"train": [1, 2, 3], "validate": [4], "test": [5]}
    >>> good = {"early": [1], "full": [1, 2, 3], "scored_by_early": [2, 3], "scored_by_full": [4, 5]}
    >>> recorded(good, split)
    []
    >>> [leak.week for leak in recorded(good | {"early": [1, 2]}, split)]
    [2]
    """
    if weeks is None:
        what = "training.json names no weeks; train again"
        return [Leak(TABLE, COLUMN, None, "", RECORDED, what, severity="warning")]
    found = []
    for stage in ("early", "full"):
        first = min(weeks[f"scored_by_{stage}"], default=None)
        for week in weeks[stage]:
            if first is not None and week + horizon > first:
                ahead = "" if horizon == 1 else f" with labels of {horizon} steps"
                what = f"stage {stage} learned from week {week}{ahead} and scored week {first}"
                found.append(Leak(TABLE, COLUMN, week, "", RECORDED, what))
    for week in sorted({*weeks["early"], *weeks["full"]} - {*split["train"]}):
        found.append(Leak(TABLE, COLUMN, week, "", RECORDED, f"week {week} is no training week"))
    return found


def scores(
    scorer: IntentScorer, rows: UserRows, week: np.ndarray, *, stored: pa.Table, weeks: Mapping[str, list[int]]
) -> list[Leak]:
    """Compare stored out-of-time scores with the final model's on `rows` of `week` [B], week by week."""
    pairs = zip(stored[columns.USER_ID].to_pylist(), stored[WEEK].to_pylist(), strict=True)
    place = {pair: row for row, pair in enumerate(pairs)}
    position = np.array([place.get((str(user), int(w)), -1) for user, w in zip(rows.user_id, week, strict=True)])
    found = []
    for number in np.unique(week[position >= 0]):
        index = np.flatnonzero((week == number) & (position >= 0))
        said = np.asarray(stored[COLUMN].take(position[index]).to_pylist(), dtype=np.float64)  # [B, C]
        gap = float(np.abs(said - scorer.predict(rows.take(index))).max())
        example = f"user {rows.user_id[index[0]]}"
        if not np.isfinite(gap):
            what = "no numbers, or the final model's are none: nothing says which model they come from"
            found.append(Leak(TABLE, COLUMN, int(number), example, SCORES, what, len(index)))
            continue
        if number in weeks["scored_by_early"] and gap < CLOSE:
            what = f"the same as the final model's (within {gap:.1g}), which learned from this week"
            found.append(Leak(TABLE, COLUMN, int(number), example, SCORES, what, len(index)))
        if number in weeks["scored_by_full"] and gap >= CLOSE:
            what = f"up to {gap:.2g} off the final model's: they come from another one"
            found.append(Leak(TABLE, COLUMN, int(number), example, SCORES, what, len(index), severity="warning"))
    return found


def assumed(split: Mapping[str, list[int]], *, horizon: int = 1) -> dict[str, list[int]]:
    """Return the weeks that training should have used, for a model folder that does not name its own."""
    held = [week for week in split["train"] if week in split["ranking"]]
    first = min(held, default=max(split["train"]) + horizon)
    return {
        "early": [week for week in split["train"] if week + horizon <= first],
        "full": list(split["train"]),
        "scored_by_early": held,
        "scored_by_full": [*split["validate"], *split["test"]],
    }
