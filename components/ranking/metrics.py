"""What a ranking is worth: recall, NDCG and hit rate at k per user-week, and bootstrap intervals over users.

Pure numpy on item indexes; knows no model.

Letters: R rows (user-weeks), K positions, U users.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from feature_repo.rows import Ragged

K = 10
RESAMPLES = 1000


@dataclass(frozen=True)
class PerRow:
    """Metrics of each row; rows without anything to find are left out of means by `counts`."""

    ndcg: np.ndarray  # [R]
    recall: np.ndarray  # [R]
    hit: np.ndarray  # [R]
    counts: np.ndarray  # [R] bool: the row has something to find

    def mean(self, where: np.ndarray | None = None) -> dict[str, float]:
        """Average over the rows that count, within a mask; none where no row does: undefined is not 0."""
        rows = self.counts if where is None else self.counts & where
        names = {f"ndcg_at_{K}": self.ndcg, f"recall_at_{K}": self.recall, f"phr_at_{K}": self.hit}
        return {name: float(values[rows].mean()) for name, values in names.items() if rows.any()}


def per_row(items: np.ndarray, wanted: Ragged, n_items: int, *, worth: Ragged | None = None) -> PerRow:
    """Judge ranked items [R, K] (-1: no item) by the wanted items of each row.

    NDCG's ideal is cut at min(number wanted, K). A hit gains its `worth`, 0..1, which lies beside `wanted`; 1 without.

    >>> found = per_row(np.array([[3, 5]]), Ragged(np.array([5]), np.array([0, 1])), 9)
    >>> round(float(found.ndcg[0]), 4), float(found.recall[0])
    (0.6309, 1.0)
    """
    rows, k = items.shape
    keys = np.arange(rows)[:, None] * n_items + items
    hits = np.isin(keys, wanted.row_of_value() * n_items + wanted.values) & (items >= 0)  # [R, K]
    number = np.diff(wanted.offsets)
    gain = 1.0 / np.log2(np.arange(2, k + 2))
    if worth is None:
        ideal, gained = np.concatenate([[1.0], np.cumsum(gain)])[np.minimum(number, k)], hits * gain
    else:
        ideal, gained = ideal_gain(worth, k), worth_of(keys, wanted, worth, n_items) * hits * gain
    ideal[number == 0] = 1.0
    return PerRow(
        ndcg=gained.sum(axis=1) / ideal,
        recall=hits.sum(axis=1) / np.maximum(number, 1),
        hit=np.asarray(hits.any(axis=1), dtype=np.float64),
        counts=number > 0,
    )


def worth_of(keys: np.ndarray, wanted: Ragged, worth: Ragged, n_items: int) -> np.ndarray:
    """Return the worth of items by key, row * n_items + item, 0 of those that are not wanted, float64, keys' shape."""
    mine = wanted.row_of_value() * n_items + wanted.values
    if not len(mine):
        return np.zeros(keys.shape)
    order = np.argsort(mine)
    place = order[np.minimum(np.searchsorted(mine[order], keys), len(mine) - 1)]
    return np.where(mine[place] == keys, worth.values[place].astype(np.float64), 0.0)


def ideal_gain(worth: Ragged, k: int) -> np.ndarray:
    """Return the gain of each row's best order of its wanted items, cut at k, float64 [R].

    >>> ideal_gain(Ragged(np.array([0.5, 1.0, 0.2]), np.array([0, 2, 3])), 1).tolist()
    [1.0, 0.2]
    """
    row, gain = worth.row_of_value(), 1.0 / np.log2(np.arange(2, k + 2))
    values = worth.values.astype(np.float64)
    order = np.lexsort((-values, row))
    rank = np.arange(len(row)) - worth.offsets[row]
    first = rank < k
    return np.bincount(row[first], values[order][first] * gain[rank[first]], minlength=len(worth.offsets) - 1)


def intervals(
    values: Mapping[str, np.ndarray], user_id: np.ndarray, counts: np.ndarray, *, seed: int = 0
) -> dict[str, list[float]]:
    """Bootstrap users (with all their rows) and return each mean's 95 % interval [low, high]; none without rows."""
    if not counts.any():
        return {}
    user = user_numbers(user_id[counts])
    n_users = int(user.max()) + 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n_users, np.full(n_users, 1 / n_users), size=RESAMPLES)  # [resamples, U]
    rows = weights @ np.bincount(user, minlength=n_users)
    result = {}
    for name, value in values.items():
        means = weights @ np.bincount(user, value[counts], minlength=n_users) / rows
        result[name] = [round(float(q), 5) for q in np.quantile(means, (0.025, 0.975))]
    return result


def without(lists: Ragged, other: Ragged, n_items: int) -> Ragged:
    """Remove from each row's list the values of the other's, such as what a user had before."""
    return only(lists, ~among(lists, other, n_items))


def among(lists: Ragged, other: Ragged, n_items: int) -> np.ndarray:
    """Tell which values are in the other's list of the same row, bool [N]."""
    keys = lists.row_of_value() * n_items + lists.values
    return np.isin(keys, other.row_of_value() * n_items + other.values)


def only(lists: Ragged, keep: np.ndarray) -> Ragged:
    """Keep the values of a mask [N] in each row's list."""
    kept = np.concatenate([[0], np.cumsum(keep)])
    return Ragged(lists.values[keep], kept[lists.offsets])


def user_numbers(user_id: np.ndarray) -> np.ndarray:
    """Number users by first appearance, so that resamples do not depend on the key that made the pseudonyms.

    >>> user_numbers(np.array(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    _, first, inverse = np.unique(user_id.astype(str), return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    codes: np.ndarray = number[inverse]
    return codes
