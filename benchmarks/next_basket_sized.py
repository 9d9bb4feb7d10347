"""The platform's ranker `tifu_sized` on trips (next_basket.py): its groups and its blend are components/ranking's own.

Settings are what a spec may set, the half-life of slow counts (`data.half_lives`), and what a basket is: all of one
day, as `step: day` has it, or one trip, which no step of a clock tells apart. Steps are exact here, of all days; a row
blurs an item's steps beyond four and clips what is older than 160 of them. `tifu_knn_sized` is the peer's form of it:
each user's own 300 nearest on trips, where the platform keeps means of groups alone.

Letters: U users, I items, L lines, N pairs.
"""

import numpy as np
import scipy.sparse as sp

from benchmarks.trips import Past, at_pairs, near_mean
from components.ranking.baselines import LESS_THAN_ONE
from components.ranking.sources import sized

DAYS, TRIPS, NEAREST = "tifu_sized", "tifu_sized_trips", "tifu_knn_sized"
NAMES = (DAYS, TRIPS, NEAREST)
NEIGHBOURS = 300


def weights(past: Past, half_life_days: float, *, by_trip: bool) -> sp.csr_matrix:
    """Weigh users' items by age and by the size of the basket that each was in, float32 [U, I]."""
    age = past.at[past.user] - past.day  # [L] days
    basket = past.trip if by_trip else 1 + age.astype(np.int64)
    line, first = np.unique((past.user * 100_000 + basket) * past.n_items + past.item, return_index=True)
    _, of_basket, sizes = np.unique(line // past.n_items, return_inverse=True, return_counts=True)
    then = age[first] if by_trip else basket[first]
    worth = 0.5 ** (then / half_life_days) * sizes[of_basket].astype(np.float64) ** -sized.POWER
    shape = (past.n_users, past.n_items)
    return sp.csr_matrix((worth.astype(np.float32), (past.user[first], past.item[first])), shape=shape)


def scores(past: Past, user: np.ndarray, item: np.ndarray, name: str, half_life_days: float) -> np.ndarray:
    """Score pairs [N], whose users are ascending, by one of `NAMES`."""
    weight = sized.at_length_1(weights(past, half_life_days, by_trip=name != DAYS))
    found = _near(weight, user, item) if name == NEAREST else _grouped(weight, user, item)
    return np.asarray(found + LESS_THAN_ONE * past.share[item])


def _near(weight: sp.csr_matrix, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    own = np.asarray(weight[user, item], dtype=np.float64).ravel()
    others = at_pairs(near_mean(weight, NEIGHBOURS), weight, user, item)
    return np.asarray(sized.OWN * own + (1 - sized.OWN) * others)


def _grouped(weight: sp.csr_matrix, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Score as sources/sized.py does, by what a fit on everybody's weights keeps."""
    arrays, found = sized.groups(weight), np.zeros(len(user))
    ends = np.searchsorted(user, np.arange(weight.shape[0] + 1))
    for u in range(weight.shape[0]):
        mine, kept = slice(ends[u], ends[u + 1]), slice(weight.indptr[u], weight.indptr[u + 1])
        of_all = sized.of_one(arrays, weight.indices[kept], weight.data[kept].astype(np.float64))
        found[mine] = of_all[item[mine]]
    return found
