"""Items that share attributes with the history: category paths, brands, and the targets that intents speak of.

A graph of items through what they have in common, weighed as Adamic and Adar do: a brand of few items says more than
one of many. What nobody had yet is reached as well, later items among them; popular items come first among equals.

Letters: B rows, I items, L levels of an item, V values of an attribute.
"""

from collections.abc import Iterator

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from components.ranking.sources.context import Context
from components.ranking.sources.fitted import best_of, claims_none

REASONS = ("category_weeks", "intent")
brings = claims_none


def candidates(context: Context, limit: int) -> np.ndarray:
    """Return keys of the items that share most, weighed by what sells now."""
    if limit == 0:
        return np.empty(0, dtype=np.int64)
    return best_of(context, shared(context.history, context.catalogue) * np.sqrt(context.catalogue.popularity), limit)


def shared(history: History, catalogue: Catalogue) -> np.ndarray:
    """Sum over attributes the share of each row's history that has the item's value, float64 [B, I]."""
    found = np.zeros((history.n_rows, history.n_items))
    for codes in attributes_of(catalogue):
        through(history, codes, into=found)
    return found


def through(history: History, codes: np.ndarray, *, into: np.ndarray) -> None:
    """Add the share of each row's history that has an item's values [I, L], by their rarity, to [B, I]."""
    weight = np.maximum(history.slow, 0.0)
    total = np.bincount(history.row, weight, minlength=history.n_rows)
    share = weight / np.maximum(total, 1e-12)[history.row]
    rarity = rarity_of(codes)
    size = len(rarity)
    mass = np.zeros((history.n_rows, size))
    for level in codes.T:
        keys = history.row * size + level[history.item] % size
        mass += np.bincount(keys, share, minlength=mass.size).reshape(mass.shape)
    for level in codes.T:
        into += (mass * rarity)[:, level % size]


def rarity_of(codes: np.ndarray) -> np.ndarray:
    """Weigh each value of an attribute [I, L], -1 where an item has none, [V + 1]; the last, for none, weighs nothing.

    A value that every item has weighs little, and one of a single item most: `1 / log(1 + items)`.
    """
    size = int(codes.max(initial=-1)) + 2
    holders = np.maximum(np.bincount((codes % size).ravel(), minlength=size), 1)
    rarity = 1.0 / np.log(1.0 + holders)
    rarity[-1] = 0.0
    return np.asarray(rarity)


def attributes_of(catalogue: Catalogue) -> Iterator[np.ndarray]:
    """Yield the values of each attribute, int64 [I, L], -1 where an item has none."""
    yield catalogue.kind[:, None]
    yield catalogue.brand[:, None]
    yield np.where(catalogue.targets < catalogue.n_targets, catalogue.targets, -1)
