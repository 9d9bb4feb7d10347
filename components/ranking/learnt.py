"""Fit the candidate sources that learn from histories, as known at one week (sources/fitted.py serves them)."""

from collections.abc import Collection

from components.ranking.neighbours import Arrays
from components.ranking.sources import LEARNT, learnt
from feature_repo.rows import UserRows


def fit(rows: UserRows, n_items: int, sources: Collection[str]) -> dict[str, Arrays]:
    """Fit the named sources on one row a user; those that learn nothing are passed over."""
    return {name: learnt(name).fit(rows, n_items) for name in LEARNT if name in sources}
