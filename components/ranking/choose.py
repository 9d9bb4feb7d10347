"""Learn which algorithm answers for which predicted intent and length of history, from what each is worth on some rows.

A cell is the users of one intent and cohort; the cohort is its parent, and all users are the cohort's. Each cell's gain
of NDCG is shrunk towards its parent's by adding so many rows of it (a partial pooling, Gelman and Hill, 2006, ch. 12).
A cell leaves its parent's algorithm only where the interval of its shrunk gain lies above 0; intervals are normal, of
users as clusters, and as wide as the number of comparisons asks for (Bonferroni). A cell of few users never does.

Pure: worth of rows in, a table out. Knows no ranker.

Letters: R rows, A algorithms, U users.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from components.ranking.choice import ALL, Cell, Choice, Key
from components.ranking.choose_spec import COHORT, INTENT, Choose
from components.ranking.metrics import user_numbers
from components.ranking.worth import Worth
from feature_repo.errors import DataError
from feature_repo.vocabulary import Target

LEVEL = 0.05  # chance that any cell leaves its parent's algorithm where none is better


@dataclass(frozen=True)
class _Known:
    """What was found of a cell: its algorithm's code, and each one's shrunk gain over the first [A]."""

    code: int
    gain: np.ndarray


def learn(worth: Worth, spec: Choose, *, default: str, targets: tuple[Target, ...]) -> Choice:
    """Learn the table; `default` answers for all unless another is better for all."""
    if not len(worth.ndcg):
        raise DataError("models.ranking.choose: no user did anything in the steps to choose by; widen data.split")
    user = user_numbers(worth.user_id)
    members = {key: np.flatnonzero(mine) for key, mine in _cells(worth, spec.by)}
    users = {key: len(np.unique(user[rows])) for key, rows in members.items()}
    asked = sum(count >= spec.least_users for count in users.values())
    comparisons = max(asked, 1) * (len(spec.among) - 1)
    z = NormalDist().inv_cdf(1 - LEVEL / (2 * comparisons))
    first = _Known(spec.among.index(default), np.zeros(len(spec.among)))
    known: dict[Key, _Known] = {}
    cells: dict[Key, Cell] = {}
    for key, rows in members.items():  # parents first
        parent = first if key == ALL else known[_parent(key, spec.by)]
        few = users[key] < spec.least_users
        known[key], cells[key] = _decided(worth.ndcg[rows], user[rows], parent, spec, z=z, few=few)
    return Choice(spec.by, spec.among, targets, cells)


def _cells(worth: Worth, by: tuple[str, ...]) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield every cell that has rows with a mask of them [R], parents before children."""
    yield ALL, np.ones(len(worth.ndcg), dtype=bool)
    groups = range(int(worth.cohort.max()) + 1) if COHORT in by else [None]
    for c in groups:
        of_cohort = np.ones(len(worth.ndcg), dtype=bool) if c is None else worth.cohort == c
        if c is not None and of_cohort.any():
            yield (None, c), of_cohort
        if INTENT in by:
            for i in np.unique(worth.intent[of_cohort]).tolist():
                yield (i, c), of_cohort & (worth.intent == i)


def _parent(key: Key, by: tuple[str, ...]) -> Key:
    return (None, key[1]) if key[0] is not None and COHORT in by else ALL


def _decided(
    ndcg: np.ndarray, user: np.ndarray, parent: _Known, spec: Choose, *, z: float, few: bool
) -> tuple[_Known, Cell]:
    """Decide one cell from its rows [R, A]."""
    own = ndcg - ndcg[:, :1]  # gain over the first
    n, m = len(ndcg), spec.shrink
    gain = (own.sum(axis=0) + m * parent.gain) / (n + m)  # [A]
    apart = ndcg - ndcg[:, [parent.code]]  # [R, A] over what answers for the parent
    prior = parent.gain - parent.gain[parent.code]
    shrunk = (apart.sum(axis=0) + m * prior) / (n + m)
    low = shrunk - z * _error(apart, user) * n / (n + m)
    eligible = (low > 0) & (not few)
    code = int(np.argmax(np.where(eligible, shrunk, -np.inf))) if eligible.any() else parent.code
    moved = code != parent.code
    cell = Cell(
        algorithm=spec.among[code],
        rows=n,
        users=len(np.unique(user)),
        gain=round(float(shrunk[code]), 5) if moved else 0.0,
        low=round(float(low[code]), 5) if moved else 0.0,
        ndcg={name: round(float(value), 5) for name, value in zip(spec.among, ndcg.mean(axis=0), strict=True)},
    )
    return _Known(code, gain), cell


def _error(values: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Return the standard error of means over rows [R, A] whose users [R] are clusters, [A]; infinite for one user."""
    number = np.unique(user, return_inverse=True)[1]
    n_users = int(number.max()) + 1
    if n_users < 2:
        return np.full(values.shape[1], np.inf)
    off = values - values.mean(axis=0)
    sums = np.stack([np.bincount(number, column, minlength=n_users) for column in off.T], axis=1)  # [U, A]
    return np.asarray(np.sqrt((sums**2).sum(axis=0) * n_users / (n_users - 1)) / len(values))
