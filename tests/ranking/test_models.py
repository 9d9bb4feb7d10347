"""The contract of every ranker, on the checkerboard."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.ranking import model
from components.ranking.examples import World
from components.ranking.models import MODELS
from components.ranking.score import Ranker
from components.ranking.spec import Ranking
from components.ranking.train import train
from feature_repo import files
from feature_repo.errors import DataError
from tests.ranking.board import SPEC

EVERY = pytest.mark.parametrize("architecture", MODELS)


@EVERY
def test_a_ranker_learns_saves_and_scores_one_as_many(architecture: str, world: World, tmp_path: Path) -> None:
    trained = train(world, SPEC.model_copy(update={"architecture": architecture}))
    assert trained.epochs[trained.best_epoch].validate_ndcg_at_10 > 0.5  # chance has about .15
    ranker, some = trained.ranker, world.examples.of_weeks([19])
    ranker.save(tmp_path)
    assert files.read_json(tmp_path / "config.json")["architecture"] == architecture
    scored, again = (one.rank(some.rows, some.probabilities) for one in (ranker, Ranker.load(tmp_path)))
    np.testing.assert_array_equal(scored.scores, again.scores)
    for b in range(5):
        alone = ranker.rank(some.rows.take(np.array([b])), some.probabilities[[b]])
        mine = slice(scored.found.offsets[b], scored.found.offsets[b + 1])
        np.testing.assert_allclose(alone.scores, scored.scores[mine], atol=1e-5)


@EVERY
def test_the_same_seed_gives_the_same_network(architecture: str) -> None:
    features = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        net = model.build(architecture, 5, width=8, dropout=0.1)
        net.standardise(features)
        found.append(net.score(features))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@EVERY
def test_padding_does_not_move_the_loss(architecture: str) -> None:
    net = model.build(architecture, 5, width=8, dropout=0.0)
    labels, mask = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, True, False]])
    losses = [net.loss(torch.tensor([[1.0, 0.5, padding]]), labels, mask).item() for padding in (0.0, 99.0)]
    assert losses[0] == losses[1]


@EVERY
def test_a_spec_may_ask_for_it(architecture: str) -> None:
    assert Ranking(architecture=architecture).architecture == architecture


def test_another_name_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        Ranking(architecture="tree")
    with pytest.raises(DataError, match="ranking model: no architecture 'tree'; have listwise_mlp"):
        model.load(tmp_path, {"architecture": "tree", "n_features": 5, "width": 8, "dropout": 0})


def test_a_folder_of_before_there_were_several_is_the_perceptron(tmp_path: Path) -> None:
    net = model.build("listwise_mlp", 5, width=8, dropout=0.0)
    model.save(net, tmp_path)
    assert model.load(tmp_path, {"n_features": 5, "width": 8, "dropout": 0}).architecture == "listwise_mlp"
