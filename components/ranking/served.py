"""The ranker as it serves, one row at a time: what that costs, and how far it is from the batch.

Runs in the evaluation step; the gates read what it returns as served.json.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from components import measure
from components.ranking import metrics
from components.ranking.examples import World
from components.ranking.metrics import K
from components.ranking.score import Ranker
from components.ranking.scored import Recommended


def _at(ranker: Ranker, world: World, week: int) -> Ranker:
    return ranker.at(world.item_state, week=week, graph=world.graph(week))


def served(ranker: Ranker, world: World, *, trained: Ranker, memory: dict[str, float]) -> dict[str, Any]:
    """Ask for some test rows one by one as they are served, and the trained network for all at once, and compare.

    `memory` is what loading the served form added.
    """
    ranker, trained = (replace(one, eligible=world.eligible) for one in (ranker, trained))
    examples = world.examples.of_weeks(world.weeks("test"))
    examples = examples.take(measure.spread(np.arange(len(examples))))
    at_week = {int(week): _at(ranker, world, int(week)) for week in np.unique(examples.week)}

    def alone(i: int) -> list[Recommended]:
        row = examples.rows.take(np.array([i]))
        return at_week[int(examples.week[i])].recommend(row, examples.probabilities[i], k=K)

    answers, ms = measure.one_by_one(alone, len(examples))
    items = np.full((len(examples), K), -1, dtype=np.int64)
    batch, gap = items.copy(), 0.0
    for i, answer in enumerate(answers):
        items[i, : len(answer)] = [one.item_index for one in answer]
    for week in at_week:
        member = np.flatnonzero(examples.week == week)
        alike, rows = _at(trained, world, week), examples.rows.take(member)
        scored = alike.rank(rows, examples.probabilities[member])
        best = alike.best(scored, rows, K)  # [member, K]
        batch[member] = np.append(scored.found.item, -1)[best]
        for row, i in zip(best, member.tolist(), strict=True):
            there_are = int((row >= 0).sum())  # past the candidates an answer goes on with popular items
            mine = np.array([one.score for one in answers[i][:there_are]])
            gap = max(gap, float(np.abs(mine - scored.scores[row[:there_are]]).max(initial=0.0)))
    n_items = len(ranker.catalogue)
    bought, worth = examples.bought, examples.worth
    together, apart = (
        metrics.per_row(found, bought, n_items, worth=worth).mean()["ndcg_at_10"] for found in (batch, items)
    )
    return {
        "rows": len(examples),
        "latency": {f"recommend_ms_{name}": value for name, value in ms.items()},
        "memory": memory,
        "variant": {"score_gap": gap, "ndcg_loss": together - apart},
    }
