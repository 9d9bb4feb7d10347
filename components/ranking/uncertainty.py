"""The evaluation's metrics under resamples of users: of the model and each baseline, overall and by cohort.

The metrics are means over rows, so each user's sum and number of rows are enough, whatever the number of draws.

Letters: R rows (user-weeks), U users.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from components import verdicts
from components.ranking.metrics import K, PerRow, user_numbers
from components.resamples import ACROSS, ALL, MODEL, WITHIN, Line

RESAMPLES = 400
COHORT_RESAMPLES = 200
Judged = Mapping[str, tuple[PerRow, PerRow]]  # by side: over all items, and over those that the user had not


def lines(
    judged: Judged, user_id: np.ndarray, *, groups: Mapping[str, np.ndarray], chosen: str, explore: str
) -> list[Line]:
    """Resample users and return every metric under each resample; `groups` are masks of rows [R]."""
    user = user_numbers(user_id)  # [R]
    first = np.unique(user, return_index=True)[1]  # [U] a row of each user
    within = verdicts.draws(len(first), resamples=RESAMPLES)
    across = verdicts.shared_draws(user_id[first], resamples=RESAMPLES)
    found = [one for side in judged for one in _of_side(judged[side], user, within, side=side, explore=explore)]
    found += _of_side(judged[MODEL], user, across, side=MODEL, explore=explore, draws=ACROSS)
    few = within[:, :COHORT_RESAMPLES]
    for name, where in groups.items():
        found += _metrics(judged[MODEL][0], user, few, where=where, cohort=name)
        found += list(_metrics(judged[chosen][0], user, few, where=where, cohort=name, side=chosen))[:1]
    return found


def _of_side(
    of: tuple[PerRow, PerRow], user: np.ndarray, drawn: np.ndarray, *, side: str, explore: str, draws: str = WITHIN
) -> Iterator[Line]:
    yield from _metrics(of[0], user, drawn, side=side, draws=draws)
    yield _line(explore, of[1].ndcg, of[1].counts, user, drawn, side=side, cohort=ALL, draws=draws)


def _metrics(
    of: PerRow,
    user: np.ndarray,
    drawn: np.ndarray,
    *,
    side: str = MODEL,
    cohort: str = ALL,
    where: np.ndarray | None = None,
    draws: str = WITHIN,
) -> Iterator[Line]:
    """Resample the metrics over all items, NDCG first."""
    rows = of.counts if where is None else of.counts & where
    if not rows.any():
        return
    for name, values in ((f"ndcg_at_{K}", of.ndcg), (f"recall_at_{K}", of.recall), (f"phr_at_{K}", of.hit)):
        yield _line(name, values, rows, user, drawn, side=side, cohort=cohort, draws=draws)


def _line(
    metric: str,
    values: np.ndarray,
    rows: np.ndarray,
    user: np.ndarray,
    drawn: np.ndarray,
    *,
    side: str,
    cohort: str,
    draws: str,
) -> Line:
    n_users = len(drawn)
    sums = np.bincount(user[rows], values[rows], minlength=n_users)  # [U]
    counts = np.bincount(user[rows], minlength=n_users)
    resampled = verdicts.means(sums, counts, drawn)
    return Line(metric, resampled, int(rows.sum()), int((counts > 0).sum()), side, cohort, draws)
