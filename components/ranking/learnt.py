"""Fit the candidate sources that learn from histories, as known at one week (sources/fitted.py serves them)."""

from collections.abc import Collection

from components.ranking.neighbours import Arrays
from components.ranking.past import Past
from components.ranking.sources import LABELLED, LEARNT, labelled, learnt
from feature_repo.rows import UserRows


def fit(rows: UserRows, n_items: int, sources: Collection[str], past: Past | None = None) -> dict[str, Arrays]:
    """Fit the named sources on one row a user; those that learn nothing are passed over.

    `past` is what the sources learn from that need to know what came after a row; without it they learn nothing.
    """
    named = [name for name in LEARNT if name in sources]
    return {name: learnt(name).fit(rows, n_items) for name in named if name not in LABELLED} | {
        name: labelled(name).fit_past(past, n_items) for name in named if name in LABELLED and past is not None
    }
