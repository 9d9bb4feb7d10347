"""What each ranker of a bundle is worth on the same rows: its NDCG@10, beside the rows' users, intents and cohorts.

A choice is learnt from this, and judged by it. Candidates and facts are made once; each ranker scores them.

Letters: R rows, A algorithms.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from components.ranking import lists, metrics
from components.ranking.bundle import Bundle, scored
from components.ranking.examples import World
from components.ranking.metrics import K
from components.ranking.score import Ranker
from components.ranking.scored import top


@dataclass(frozen=True)
class Worth:
    """What each algorithm is worth on rows."""

    ndcg: np.ndarray  # [R, A] float64, in the order of the bundle's algorithms
    user_id: np.ndarray  # [R]
    intent: np.ndarray  # [R] int64, the likeliest predicted one that counts
    cohort: np.ndarray  # [R] int64
    row: np.ndarray  # [R] int64: which of the world's rows it is

    def take(self, index: np.ndarray) -> "Worth":
        """Return some rows."""
        return Worth(*(values[index] for values in vars(self).values()))

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Return the NDCG of answering each row by the algorithm that `codes` [R] names, [R]."""
        return np.asarray(self.ndcg[np.arange(len(codes)), codes])


def of_weeks(ranker: Ranker, world: World, weeks: Collection[int]) -> Worth:
    """Let every ranker of a bundle rank the rows of some weeks."""
    bundle = ranker.net
    if not isinstance(bundle, Bundle):
        raise TypeError("worth: the ranker is no bundle")
    ranker, parts = replace(ranker, eligible=world.eligible), []
    for week in weeks:
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        places = np.flatnonzero((world.examples.week == week) & world.examples.labelled)
        for start in range(0, len(places), lists.CHUNK):
            mine = places[start : start + lists.CHUNK]
            chunk = world.examples.take(mine)
            found = at_week.rank(chunk.rows, chunk.probabilities)
            item, columns = np.append(found.found.item, -1), []
            for name in bundle.choice.algorithms:
                scores = scored(bundle.nets[name], found.facts, at_week.matrix)
                best = item[top(replace(found, scores=scores, spoke=None), K)]
                columns.append(metrics.per_row(best, chunk.bought, len(ranker.catalogue), worth=chunk.worth).ndcg)
            intent, cohort = bundle.choice.keys(chunk.rows, chunk.probabilities)
            parts.append(Worth(np.stack(columns, axis=1), chunk.rows.user_id, intent, cohort, mine))
    return Worth(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
