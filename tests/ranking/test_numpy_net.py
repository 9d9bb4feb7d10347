"""The contract of every ranker: its served form, in numpy, scores as the trained network does."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components import served_form
from components.ranking import model, numpy_net
from components.ranking.baseline_net import BaselineNet
from components.ranking.baselines import BASELINES
from components.ranking.examples import World
from components.ranking.models import MODELS
from components.ranking.net import ScoringNet
from components.ranking.numpy_net import FORMS, NumpyNet
from components.ranking.score import Ranker

K = 10


def test_every_architecture_has_a_served_form() -> None:
    assert set(FORMS) == set(MODELS)


def test_all_users_get_the_same_items_in_the_same_order(ranker: Ranker, world: World, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    served, some = Ranker.served(tmp_path), world.examples.of_weeks([19])
    assert isinstance(served.net, NumpyNet)
    for b in range(len(some.rows)):
        row, probabilities = some.rows.take(np.array([b])), some.probabilities[b]
        want, found = (one.recommend(row, probabilities, k=K) for one in (ranker, served))
        assert [item.item_index for item in found] == [item.item_index for item in want]
        np.testing.assert_allclose([i.score for i in found], [i.score for i in want], atol=1e-5)
        assert [item.reasons for item in found] == [item.reasons for item in want]


def random_net(architecture: str, *, seed: int) -> ScoringNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = model.build(architecture, 9, width=16, dropout=0.1)
        net.standardise(np.random.default_rng(seed).normal(2, 3, (50, 9)).astype(np.float32))
    return net.eval()


@pytest.mark.parametrize("architecture", MODELS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(0, 40), far=st.sampled_from([0.0, 1.0, 100.0]))
def test_degraded_candidates_score_the_same(
    architecture: str, tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, far: float
) -> None:
    """No candidate, features that are all 0, and features far outside of what training saw."""
    net, folder = random_net(architecture, seed=seed % 3), tmp_path_factory.mktemp("net")
    model.save(net, folder)
    config = {name: getattr(net, name) for name in ("architecture", "n_features", "width", "dropout")}
    form = numpy_net.served(folder, config)
    assert form is not None
    features = (np.random.default_rng(seed).normal(size=(n, 9)) * far).astype(np.float32)
    np.testing.assert_allclose(form.score(features), net.score(features), atol=1e-5, rtol=1e-5)


def test_a_ranker_of_before_the_form_is_served_by_torch(
    ranker: Ranker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ranker.save(tmp_path)
    (tmp_path / served_form.FILE).unlink()
    with caplog.at_level(logging.INFO):
        assert isinstance(Ranker.served(tmp_path).net, ScoringNet)
    assert "ranking model: " in caplog.text
    assert "torch serves it" in caplog.text


def test_a_form_that_differs_is_not_served(
    ranker: Ranker, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = NumpyNet.score
    monkeypatch.setattr(NumpyNet, "score", lambda self, features: real(self, features) * np.float32(1.001))
    ranker.save(tmp_path)
    assert not (tmp_path / served_form.FILE).exists()
    assert "torch serves it" in caplog.text


def test_a_served_form_is_not_saved_as_a_trained_one(ranker: Ranker, tmp_path: Path) -> None:
    ranker.save(tmp_path)
    with pytest.raises(TypeError, match="the served form"):
        Ranker.served(tmp_path).save(tmp_path)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_served_as_it_is(name: str, ranker: Ranker, world: World, tmp_path: Path) -> None:
    made, some = replace(ranker, net=BaselineNet(name), features=()), world.examples.of_weeks([19])
    made.save(tmp_path)
    scored, again = (one.rank(some.rows, some.probabilities) for one in (made, Ranker.served(tmp_path)))
    np.testing.assert_array_equal(scored.scores, again.scores)
