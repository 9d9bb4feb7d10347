"""A baseline in the ranker's place orders candidates as the evaluation's baseline of that name orders all items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components.ranking.baseline_net import BaselineNet
from components.ranking.baselines import BASELINES
from components.ranking.examples import World
from components.ranking.score import Ranker
from components.ranking.scored import top
from components.ranking.spec import Candidates
from feature_repo import files

K = 5
EVERY = pytest.mark.parametrize("name", BASELINES)


def standing_in(ranker: Ranker, name: str) -> Ranker:
    """Return a baseline with all else that the trained ranker has, and every item among its candidates."""
    every = Candidates(history=512, neighbours=512, popular=512)
    return replace(ranker, net=BaselineNet(name), features=(), spec=every)


@EVERY
def test_a_saved_baseline_ranks_as_the_evaluation_compared(
    name: str, ranker: Ranker, world: World, tmp_path: Path
) -> None:
    made = standing_in(ranker, name)
    made.save(tmp_path)
    assert files.read_json(tmp_path / "config.json")["architecture"] == name
    some = world.examples.of_weeks([19])
    scored, again = (
        one.at(world.item_state, week=19).rank(some.rows, some.probabilities) for one in (made, Ranker.load(tmp_path))
    )
    np.testing.assert_array_equal(scored.scores, again.scores)
    known = made.at(world.item_state, week=19)
    expected = BASELINES[name](some.rows, known.catalogue, known.neighbours, k=K)
    assert again.found.item[top(again, K)].tolist() == expected.tolist()


@EVERY
def test_one_user_gets_what_the_batch_got(name: str, ranker: Ranker, world: World) -> None:
    made, some = standing_in(ranker, name), world.examples.of_weeks([20])
    scored = made.rank(some.rows, some.probabilities)
    best = scored.found.item[top(scored, K)]
    for b in range(3):
        alone = made.recommend(some.rows.take(np.array([b])), some.probabilities[b], k=K)
        assert [one.item_index for one in alone] == best[b].tolist()
        assert all(one.reasons for one in alone)
        asked = made.score(some.rows.take(np.array([b])), some.probabilities[b], best[b])
        np.testing.assert_allclose(asked, [one.score for one in alone], atol=1e-5)
