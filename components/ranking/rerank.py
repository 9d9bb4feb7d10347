"""Order the best candidates anew so that a list is less alike, or holds a user's categories as their history does.

All ways go place by place: of the first `pool` candidates by score, the one that is worth most beside what stands
above is next, so a shorter list is the beginning of a longer one. What the ranker's order is worth is the discount of a
place, 1 / log2(1 + place), as NDCG has it: scores of a network and of a formula have no unit in common. Scores stay
what they were, and no longer fall along a list. Pure numpy.

Letters: P candidates of the pool, G groups of items, B rows, M candidates over all rows.
"""

from collections.abc import Callable

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.diversity_spec import Diversity
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

RIDGE = 0.01  # of an item's volume that its own double still adds: the log of none would be infinite
SMOOTHING = 0.01  # of the history's shares in a list's, so that a category that it lacks costs no infinity (Steck)
Worth = Callable[[list[int]], np.ndarray]  # of each of the pool, by position, beside those that stand already, [P]


def require(catalogue: Catalogue, option: Diversity) -> None:
    """Refuse to tell items apart by what none of them has: lists would stay as they are, in silence."""
    has_target = (catalogue.targets[:, 0] < catalogue.n_targets).any()
    if option.calibrate is not None and not has_target:
        raise DataError(
            "models.ranking.diversity: no item has a category that an intent names, so there are no shares to keep to; "
            "leave calibrate out, or give an intent a level"
        )
    if option.calibrate is None and not has_target and not _codes(catalogue):
        raise DataError(
            "models.ranking.diversity: items have no category and no brand, so no two are alike; leave "
            f"{'mmr' if option.dpp is None else 'dpp'} out, or map a column to category or brand"
        )


def best(
    order: np.ndarray, items: np.ndarray, rows: UserRows, catalogue: Catalogue, option: Diversity, *, k: int
) -> np.ndarray:
    """Return each row's first k candidates in their new order, by position, -1 where there are fewer, int64 [B, k].

    `order` [B, max(pool, k)] are the best candidates by score, by position in `items` [M].
    """
    found = np.full((len(order), k), -1, dtype=np.int64)
    for b, positions in enumerate(order):
        there = positions[positions >= 0]
        pool, rest = there[: option.pool], there[option.pool :]
        worth = _worth(items[pool], rows, b, catalogue, option)
        chosen = pool if worth is None else pool[_greedy(worth, len(pool), k)]
        listed = np.concatenate([chosen, rest])[:k]
        found[b, : len(listed)] = listed
    return found


def _greedy(worth: Worth, size: int, k: int) -> list[int]:
    """Choose position by position what is worth most beside the chosen; the first of equals."""
    chosen: list[int] = []
    free = np.ones(size, dtype=bool)
    for _ in range(min(k, size)):
        following = int(np.argmax(np.where(free, worth(chosen), -np.inf)))
        chosen.append(following)
        free[following] = False
    return chosen


def _worth(items: np.ndarray, rows: UserRows, b: int, catalogue: Catalogue, option: Diversity) -> Worth | None:
    """Return how candidates [P] are weighed; None: their order stays."""
    gain = 1.0 / np.log2(np.arange(len(items)) + 2.0)  # [P]
    if option.mmr is not None:
        return _marginal(gain, likeness(items, catalogue), option.mmr)
    if option.dpp is not None:
        return _spanning(gain, likeness(items, catalogue), option.dpp)
    history = rows.lists["history_items"]
    mine = slice(*history.offsets[b : b + 2].tolist())
    weight = rows.lists["history_slow"].values[mine].astype(np.float64)
    if weight.sum() <= 0 or option.calibrate is None:
        return None
    wanted = (shares(history.values[mine], catalogue) * weight[:, None]).sum(axis=0) / weight.sum()  # [G]
    counted = wanted > 0  # what the history lacks adds nothing to the divergence
    return _calibrated(gain, wanted[counted], shares(items, catalogue)[:, counted], option.calibrate)


def _marginal(gain: np.ndarray, alike: np.ndarray, share: float) -> Worth:
    """Weigh by maximal marginal relevance: share * gain - (1 - share) * likeness to the likest above."""

    def worth(chosen: list[int]) -> np.ndarray:
        nearest = alike[:, chosen].max(axis=1) if chosen else np.zeros(len(gain))
        return np.asarray(share * gain - (1 - share) * nearest)

    return worth


def _spanning(gain: np.ndarray, alike: np.ndarray, share: float) -> Worth:
    """Weigh by share * gain + (1 - share) * log(volume that an item adds to those above).

    The greedy maximum of a determinantal point process (Chen, Zhang and Zhou, NeurIPS 2018): items span a volume, whose
    square is the determinant of their likeness, and its Cholesky factor grows by a row a place. Items that nothing is
    known of are like nothing, themselves apart.
    """
    kernel = (1 - RIDGE) * alike
    np.fill_diagonal(kernel, 1.0)
    left = np.ones(len(gain))  # [P]: the square of what an item adds
    factor: list[np.ndarray] = []  # rows [P]

    def worth(chosen: list[int]) -> np.ndarray:
        for place in chosen[len(factor) :]:
            known = sum((row[place] * row for row in factor), start=np.zeros(len(gain)))
            factor.append((kernel[place] - known) / np.sqrt(left[place]))
            left[:] = np.maximum(left - factor[-1] ** 2, RIDGE**2)
        return np.asarray(share * gain + (1 - share) * np.log(left) / 2)

    return worth


def _calibrated(gain: np.ndarray, wanted: np.ndarray, has: np.ndarray, share: float) -> Worth:
    """Weigh by (1 - share) * gain - share * KL(wanted || shares of the list) (Steck, RecSys 2018)."""

    def worth(chosen: list[int]) -> np.ndarray:
        listed = (has[chosen].sum(axis=0) + has) / (len(chosen) + 1)  # [P, G] with each as the next
        smooth = (1 - SMOOTHING) * listed + SMOOTHING * wanted
        return np.asarray((1 - share) * gain - share * (wanted * np.log(wanted / smooth)).sum(axis=1))

    return worth


def likeness(items: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """Return how alike items [P] are, 0 to 1, [P, P]: the mean over what the catalogue tells of items.

    That is whether they have one category path, whether they have one brand, and the shared part of their targets.
    """
    parts = []
    for code in _codes(catalogue):
        mine = code[items]
        parts.append((mine[:, None] == mine[None, :]) & (mine[:, None] >= 0))
    if (catalogue.targets[:, 0] < catalogue.n_targets).any():
        has = shares(items, catalogue)[:, :-1] > 0  # [P, C]
        both = has.astype(np.float64) @ has.T
        either = has.sum(axis=1)[:, None] + has.sum(axis=1)[None, :] - both
        parts.append(both / np.maximum(either, 1))
    return np.asarray(np.mean(parts, axis=0, dtype=np.float64))


def shares(items: np.ndarray, catalogue: Catalogue) -> np.ndarray:
    """Return each item's part in each target, [P, C + 1]; the last is of items that have none."""
    targets = catalogue.targets[items]  # [P, L], C past the last
    count = np.maximum((targets < catalogue.n_targets).sum(axis=1), 1)
    found = np.zeros((len(items), catalogue.n_targets + 1))
    np.add.at(found, (np.arange(len(items))[:, None], targets), 1.0 / count[:, None])
    found[:, -1] = np.where(targets[:, 0] < catalogue.n_targets, 0.0, 1.0)
    return found


def _codes(catalogue: Catalogue) -> list[np.ndarray]:
    return [code for code in (catalogue.kind, catalogue.brand) if (code >= 0).any()]
