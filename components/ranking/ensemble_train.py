"""Put rankers that were trained alike into one that means them: measure the unit of each on validation rows.

Spreads are measured on at most `ROWS` user-steps of the validation weeks, with the candidates and facts that serving
has. A refit keeps the judged spreads: what it fits has learnt from the validation weeks.

Letters: B rows, M candidates.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from components.ranking import lists
from components.ranking.baseline_net import BaselineNet
from components.ranking.bundle import Bundle, Single, scored
from components.ranking.ensemble import SPREAD, Alone, Ensemble, spread
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from feature_repo.errors import DataError

ROWS = 512


def joined(
    like: Ranker, nets: Mapping[str, Single | Bundle], world: World, spec: Ranking, *, weeks: list[int]
) -> Ranker:
    """Mean rankers that differ from `like` by how they score alone, in units that `weeks` tell."""
    members = {name: net for name, net in nets.items() if not isinstance(net, Bundle | Ensemble)}
    ranker = replace(like, features=world.features)
    spreads = measured(members, ranker, world, weeks)
    if idle := [name for name, found in spreads.items() if not found > 0 or not np.isfinite(found)]:
        raise DataError(
            f"models.ranking.members: {idle[0]} tells no candidate from another on the validation weeks, so it adds "
            "nothing; leave it out, or give it more to learn from"
        )
    return replace(ranker, net=Ensemble(members, spec.members, spreads))


def measured(nets: Mapping[str, Alone], ranker: Ranker, world: World, weeks: list[int]) -> dict[str, float]:
    """Return how far each ranker's scores lie apart within a list, the mean over rows of some weeks."""
    places = np.flatnonzero(np.isin(world.examples.week, weeks) & world.examples.labelled)
    places = places[np.unique(np.linspace(0, len(places) - 1, min(ROWS, len(places))).astype(np.int64))]
    found: dict[str, list[np.ndarray]] = {name: [] for name in nets}
    ranker = replace(ranker, net=BaselineNet("popular"), eligible=world.eligible)  # lists and facts, at no cost
    for week in np.unique(world.examples.week[places]).tolist():
        some = world.examples.take(places[world.examples.week[places] == week])
        at_week = ranker.at(world.item_state, week=week, graph=world.graph(week))
        for chunk in lists.chunks(some):
            listed = at_week.rank(chunk.rows, chunk.probabilities)
            for name, net in nets.items():
                found[name].append(spread(scored(net, listed.facts, at_week.matrix), listed.found.offsets))
    every = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: round(float(one.mean()), 6) if len(one) else 0.0 for name, one in every.items()}


def refitted(nets: Mapping[str, Alone], spec: Ranking, judged: Mapping[str, Any]) -> Ensemble:
    """Mean refitted members in the judged units; `judged` are the judged members by name, as training.json has them."""
    return Ensemble(nets, spec.members, {name: float(judged[name][SPREAD]) for name in nets})
