"""Items that self-attention over the order of a history predicts (SASRec: Kang and McAuley, 2018).

A history holds each item once, where the user had it last; so the order is that of last times. sequence_fit.py learns
the network with torch; this file computes the same in numpy.

Letters: U users, I items, D width, T positions.
"""

import numpy as np

from components.ranking.history import History
from components.ranking.neighbours import Arrays
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import Known, best_of, claims_none, lift, scored
from feature_repo.rows import UserRows

REASONS = ("near_history", "intent", "category_weeks")
LONGEST = 50  # as sequence_fit.py has it
EPSILON = 1e-5  # torch's, of a norm
brings = claims_none


def fit(rows: UserRows, n_items: int) -> Arrays:
    """Learn the network on the order of users' histories."""
    from components.ranking import sequence_fit

    items, at = rows.lists["history_items"], rows.lists["history_last_at"]
    cut = [part for b in range(len(rows)) for part in windows(ordered(items.row(b), at.row(b)), LONGEST)]
    sequences = np.full((len(cut), LONGEST + 1), sequence_fit.NONE, dtype=np.int64)
    for place, part in enumerate(cut):
        sequences[place, -len(part) :] = part
    return sequence_fit.learn(sequences, n_items)


def windows(item: np.ndarray, length: int) -> list[np.ndarray]:
    """Cut a history into parts of at most `length` + 1 items, so that each but the first comes after others once.

    >>> [part.tolist() for part in windows(np.arange(6), 2)]
    [[3, 4, 5], [1, 2, 3], [0, 1]]
    """
    return [item[max(end - length - 1, 0) : end] for end in range(len(item), 1, -length)]


def ordered(item: np.ndarray, last_at: np.ndarray) -> np.ndarray:
    """Return items in the order in which the user had each last, ties by item.

    >>> ordered(np.array([7, 5, 6]), np.array([3, 1, 3])).tolist()
    [5, 6, 7]
    """
    return np.asarray(item[np.lexsort((item, last_at))])


def scores(history: History) -> np.ndarray:
    """Score items by how many times likelier than chance they come next."""
    return scored(history, "sequence", lambda arrays: len(arrays["items.weight"]), _of_one)


def _of_one(arrays: Arrays, one: Known) -> np.ndarray:
    table = arrays["items.weight"]
    if not len(one.item):
        return np.zeros(len(table))
    return lift((table @ _after(arrays, ordered(one.item, one.last_at)[-LONGEST:])).astype(np.float64))


def _after(arrays: Arrays, item: np.ndarray) -> np.ndarray:
    """Say what comes after the last of items [T], float32 [D]."""
    T, D = len(item), arrays["items.weight"].shape[1]
    x = arrays["items.weight"][item] + arrays["places.weight"][LONGEST - T :]  # [T, D]
    later = np.triu(np.ones((T, T), dtype=bool), 1)
    blocks = sorted({name.split(".")[1] for name in arrays if name.startswith("blocks.")}, key=int)
    for block in blocks:
        of = f"blocks.{block}."
        z = _normed(arrays, f"{of}norm", x)
        query, key, value = (_linear(arrays, f"{of}{name}", z) for name in ("query", "key", "value"))
        fit = query @ key.T / np.float32(D**0.5)  # [T, T]
        fit[later] = -1e9
        raised = np.exp(fit - fit.max(axis=1, keepdims=True))
        x = x + (raised / raised.sum(axis=1, keepdims=True)) @ value
        inner = np.maximum(_linear(arrays, f"{of}inner", _normed(arrays, f"{of}norm_after", x)), 0)
        x = x + _linear(arrays, f"{of}outer", inner)
    return np.asarray(_normed(arrays, "last", x[-1:])[0])


def _linear(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"])


def _normed(arrays: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    mean, spread = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return np.asarray((x - mean) / np.sqrt(spread + EPSILON) * arrays[f"{name}.weight"] + arrays[f"{name}.bias"])


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that are likeliest next."""
    return best_of(context, scores(context.history), limit)
