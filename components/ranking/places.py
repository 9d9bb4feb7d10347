"""A baseline's order as a feature: the place that it gives each candidate among all items, 1 for its best.

Where `models.ranking.start` names a baseline, its place is what the network begins to rank by (start.py). A place is
among all items, not among candidates, so that it does not depend on what else is scored. Ties share their mean place.

Letters: B rows, I items, M candidates over all rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from components.ranking.baselines import FORMULAS, AllItems
from components.ranking.candidates import CandidateSet
from components.ranking.catalogue import Catalogue
from components.ranking.history import History
from feature_repo.rows import UserRows

PLACE_OF = "place:"  # and the baseline's name: the feature's


@dataclass(frozen=True)
class _Known(AllItems):
    """What is known of every item for every row, nearness as the history has it: later items have some too."""

    history: History | None = None

    @property
    def near(self) -> np.ndarray:
        """Return the nearness to the history, [B, I]."""
        assert self.history is not None
        return self.history.near


def feature(baseline: str) -> str:
    """Name the feature.

    >>> feature("popular")
    'place:popular'
    """
    return f"{PLACE_OF}{baseline}"


@lru_cache(maxsize=64)
def baselines_of(features: tuple[str, ...]) -> tuple[str, ...]:
    """Return the baselines whose places are among a model's features.

    >>> baselines_of(("slow", "place:popular"))
    ('popular',)
    """
    return tuple(name.removeprefix(PLACE_OF) for name in features if name.startswith(PLACE_OF))


def places(
    baselines: Iterable[str], rows: UserRows, found: CandidateSet, *, history: History, catalogue: Catalogue
) -> dict[str, np.ndarray]:
    """Return each candidate's place by each baseline, float64 [M], under the features' names."""
    known = _Known(rows, catalogue, history.neighbours, history.ties, history)
    result = {}
    for baseline in baselines:
        scores = np.atleast_2d(FORMULAS[baseline](known))  # [B, I], or [1, I] where it is the same for all
        result[feature(baseline)] = np.concatenate(
            [
                np.empty(0),
                *(
                    _place(scores[row if len(scores) > 1 else 0], found.item[start:end])
                    for row, (start, end) in enumerate(pairwise(found.offsets))
                ),
            ]
        )
    return result


def _place(scores: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Return the places of some items among all by their scores [I], float64.

    >>> _place(np.array([0.5, 0.9, 0.5, 0.1]), np.array([1, 0, 3]))
    array([1. , 2.5, 4. ])
    """
    ordered = np.sort(scores)
    below = np.searchsorted(ordered, scores[items], "left")
    up_to = np.searchsorted(ordered, scores[items], "right")
    return np.asarray(len(scores) - up_to + (up_to - below + 1) / 2)
