"""Bundle rankers that were trained alike, and learn which of them answers for whom on weeks that stopped none of them.

The validation weeks are cut in two: the earlier ones stop training, the later ones choose. Test weeks are never looked
at, so gates judge the bundle with its choice as one ranker.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from components.ranking import choose, metrics, worth
from components.ranking.bundle import Bundle, Single
from components.ranking.choice import ALL, Cell, Choice
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from feature_repo import columns
from feature_repo.errors import DataError

NDCG = f"ndcg_at_{metrics.K}"
MEMBERS, CHOICE = "algorithms", "choice"  # of training.json


def periods(world: World) -> tuple[list[int], list[int]]:
    """Return the validation weeks that stop training, and the later half, which choose.

    No label of the former, which may look several steps ahead, lies in the latter.
    """
    weeks = world.weeks("validate")
    later = weeks[len(weeks) // 2 :]
    ahead = next(iter(world.split.get(columns.LABELS_AHEAD, [1])))
    first = [week for week in weeks if week + ahead <= later[0]]
    if not first:
        raise DataError(
            f"models.ranking.choose: the validation steps with rows, {', '.join(map(str, weeks))}, cannot be cut into "
            f"some that stop training and later ones that choose, {ahead} or more steps apart; widen "
            "data.split.validate_weeks (validate_steps)"
        )
    return first, later


def alone(spec: Ranking, algorithm: str) -> Ranking:
    """Return the spec of one ranker of several."""
    return spec.model_copy(update={"algorithm": algorithm, "choose": None})


def learnt(
    like: Ranker, nets: Mapping[str, Single | Bundle], world: World, spec: Ranking, *, weeks: list[int]
) -> tuple[Ranker, Choice]:
    """Bundle rankers that differ from `like` by how they score alone, and learn on `weeks` which answers for whom."""
    if spec.choose is None:
        raise TypeError("chosen: the spec chooses nothing")
    among, targets = spec.choose.among, world.vocabulary.targets
    singles = {name: net for name, net in nets.items() if not isinstance(net, Bundle)}
    nobody = Choice(spec.choose.by, among, targets, {ALL: Cell(spec.algorithm, 0, 0)})
    ranker = replace(like, net=Bundle(singles, nobody), features=world.features)
    choice = choose.learn(worth.of_weeks(ranker, world, weeks), spec.choose, default=spec.algorithm, targets=targets)
    return replace(ranker, net=Bundle(singles, choice)), choice


def report(ranker: Ranker, world: World, *, part: str = "test") -> dict[str, Any]:
    """Say what each ranker of a bundle is worth on its own on a part of the split, and which answers for how many."""
    if not isinstance(ranker.net, Bundle):
        return {}
    choice, found = ranker.net.choice, worth.of_weeks(ranker, world, world.weeks(part))
    codes = choice.codes(found.intent, found.cohort)
    every = np.ones(len(codes), dtype=bool)
    apart = {name: found.of(codes) - found.ndcg[:, place] for place, name in enumerate(choice.algorithms)}
    return {
        "answers": {name: round(float((codes == n).mean()), 5) for n, name in enumerate(choice.algorithms)},
        NDCG: {name: round(float(found.ndcg[:, n].mean()), 5) for n, name in enumerate(choice.algorithms)},
        "chosen": round(float(found.of(codes).mean()), 5),
        "gain": metrics.intervals(apart, found.user_id, every),
    }
