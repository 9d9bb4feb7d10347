from pathlib import Path

import numpy as np
import pytest
import torch

from components.ranking import model
from components.ranking.models.listwise_mlp import RankingNet, listwise_loss

FEATURES = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)


@pytest.fixture
def net() -> RankingNet:
    torch.manual_seed(0)
    net = RankingNet(7, width=8, dropout=0.5)
    net.standardise(FEATURES)
    return net


def test_a_saved_net_scores_the_same_when_loaded(net: RankingNet, tmp_path: Path) -> None:
    model.save(net, tmp_path)
    again = model.load(tmp_path, {"n_features": 7, "width": 8, "dropout": 0.5})
    assert (again.score(FEATURES) == net.score(FEATURES)).all()


def test_a_candidate_scores_the_same_alone_and_among_others(net: RankingNet) -> None:
    alone = np.concatenate([net.score(FEATURES[i : i + 1]) for i in range(len(FEATURES))])
    assert np.allclose(alone, net.score(FEATURES), atol=1e-6)


def test_a_feature_that_never_varied_in_training_does_not_move_scores(net: RankingNet) -> None:
    constant = FEATURES.copy()
    constant[:, 3] = 5.0
    net.standardise(constant)
    moved = constant.copy()
    moved[:, 3] = -99.0
    assert np.array_equal(net.score(constant), net.score(moved))


def test_the_loss_of_equal_scores_is_the_log_of_the_rivals_and_padding_does_not_count() -> None:
    scores = torch.tensor([[1.0, 1.0, 1.0, 1.0, 9.0]])
    labels = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True, True, False]])
    assert listwise_loss(scores, labels, mask).item() == pytest.approx(np.log(4))


def test_bought_items_are_no_rivals_of_each_other() -> None:
    labels, mask = torch.tensor([[1.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    near, apart = (listwise_loss(torch.tensor([[5.0, other, 0.0]]), labels, mask) for other in (5.0, 50.0))
    assert apart < near < 0.01
