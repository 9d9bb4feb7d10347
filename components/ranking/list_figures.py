"""What lists of items are worth at several lengths, and what they are made of: coverage, popularity, novelty, sources.

Pure numpy on item indexes; knows no model. All figures are over full rankings of the candidates, never over a sample.

Letters: R rows, K positions, I items.
"""

from dataclasses import dataclass

import numpy as np

from components.ranking.catalogue import Catalogue
from feature_repo.rows import Ragged

LENGTHS = (5, 10, 20)
LONGEST = max(LENGTHS)
LEAST_SHARE = 1e-4  # of users: what nobody had lately is no more novel than this
Figures = dict[str, float]


@dataclass(frozen=True)
class Made:
    """What a ranker's lists hold."""

    items: np.ndarray  # [R, K], -1 past the last
    share: np.ndarray  # [R, K] of active users who had the item in the weeks before, 0 past the last


def at_lengths(items: np.ndarray, wanted: Ragged, n_items: int) -> dict[str, Figures]:
    """Judge ranked items [R, K] (-1: no item) by the wanted ones, by length; means over rows that want something.

    Precision divides by the length, MAP by the smaller of the length and the number wanted, NDCG by the best order of
    as many, each wanted item gaining 1. A list that is shorter than the length misses for the rest of it.

    >>> at_lengths(np.array([[3, 5]]), Ragged(np.array([5]), np.array([0, 1])), 9)["5"]["mrr"]
    0.5
    """
    number = np.diff(wanted.offsets)
    counts = number > 0
    keys = np.arange(len(items))[:, None] * n_items + items
    hits = np.isin(keys, wanted.row_of_value() * n_items + wanted.values) & (items >= 0)
    hits, number = hits[counts], number[counts]
    if not len(hits):
        return {}
    return {str(k): _at(hits[:, :k].astype(np.float64), number, k) for k in LENGTHS}


def _at(hits: np.ndarray, number: np.ndarray, k: int) -> Figures:
    width = hits.shape[1]
    found = hits.sum(axis=1)
    precision, recall = found / k, found / number
    gain = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gain)[np.minimum(number, k) - 1]
    at_hit = np.cumsum(hits, axis=1) / np.arange(1, width + 1) * hits
    first = np.where(found > 0, 1.0 / (1 + np.argmax(hits > 0, axis=1)), 0.0)
    values = {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
        "ndcg": (hits * gain[:width]).sum(axis=1) / ideal,
        "map": at_hit.sum(axis=1) / np.minimum(number, k),
        "mrr": first,
        "hit_rate": (found > 0).astype(np.float64),
    }
    return {name: round(float(value.mean()), 5) for name, value in values.items()}


def made_of(made: Made, wanted_share: float, n_items: int, *, catalogue: Catalogue | None = None) -> Figures:
    """Return how much of the catalogue lists show, and how popular, how novel and whose it is.

    `popularity` is the mean share of users who had what is shown, `popularity_bias` that over the mean share of what
    was wanted (above 1: more popular than what users want); `novelty` is the mean of -log2 of the share, in bits. Of a
    catalogue that knows brands, `providers` is the share of them that are shown and `top_provider` the share of places
    of the one that is shown most; of one that knows category paths, `categories` is how many a list has on average.
    """
    there = made.items >= 0
    share = made.share[there]
    if not len(share):
        return {"coverage": 0.0}
    return {
        "coverage": round(len(np.unique(made.items[there])) / n_items, 5),
        "popularity": round(float(share.mean()), 5),
        "popularity_bias": round(float(share.mean() / max(wanted_share, LEAST_SHARE)), 4),
        "novelty": round(float(_bits(share).mean()), 4),
    } | ({} if catalogue is None else _whose(made.items, catalogue))


def _whose(items: np.ndarray, catalogue: Catalogue) -> Figures:
    found: Figures = {}
    there = items >= 0
    if (catalogue.brand >= 0).any():
        shown = np.bincount(1 + catalogue.brand[items[there]], minlength=catalogue.brands + 1)[1:]  # 0: of no brand
        found["providers"] = round(float((shown > 0).sum() / catalogue.brands), 5)
        found["top_provider"] = round(float(shown.max() / there.sum()), 5)
    if (catalogue.kind >= 0).any():
        kinds = np.sort(np.where(there, np.append(catalogue.kind, -1)[items], -1), axis=1)  # [R, K]
        new = np.diff(kinds, axis=1, prepend=-1) != 0
        found["categories"] = round(float((new & (kinds >= 0)).sum(axis=1).mean()), 4)
    return found


def by_source(
    made: Made, codes: np.ndarray, wanted: Ragged, names: tuple[str, ...], n_items: int
) -> dict[str, Figures]:
    """Return of each source its share of the places shown, how many of them were wanted, and their novelty.

    `codes` [R, K] are the sources' codes, positions in `names`.
    """
    there = made.items >= 0
    keys = np.arange(len(made.items))[:, None] * n_items + made.items
    hits = np.isin(keys, wanted.row_of_value() * n_items + wanted.values)
    found = {}
    for code in np.unique(codes[there]):
        mine = there & (codes == code)
        found[names[code]] = {
            "share": round(float(mine.sum() / there.sum()), 5),
            "precision": round(float(hits[mine].mean()), 5),
            "novelty": round(float(_bits(made.share[mine]).mean()), 4),
        }
    return found


def _bits(share: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log2(np.maximum(share, LEAST_SHARE)))
