"""Trainings that differ by seed or algorithm share what they are fitted to, and a killed run takes up what it kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kept_fits import Fits, Materials
from components.ranking import examples, lists
from components.ranking.examples import World
from components.ranking.train import Material, train
from feature_repo.errors import SpecError
from tests.ranking.board import SPEC, checkerboard, write

pytestmark = pytest.mark.world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give the checkerboard, two of whose sources are fitted."""
    read = examples.load(*write(tmp_path_factory.mktemp("ranking"), checkerboard()))
    return replace(read, learn=("ease", "users"))


def test_a_kept_fit_is_that_of_a_training_and_is_made_once(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = lists.fitted_until(world, 17)
    found = Fits.of(tmp_path / "fits", world).until(world, 17)
    monkeypatch.setattr(lists, "fitted_until", None)
    again = Fits.of(tmp_path / "fits", world)
    for one in (found, again.until(world, 17)):
        np.testing.assert_array_equal(one.similarities, want.similarities)
        assert list(one.learnt) == ["ease", "users"]
        for name, arrays in want.learnt.items():
            for key, value in arrays.items():
                np.testing.assert_array_equal(one.learnt[name][key], value)
    assert again.cost(world, [17]) > 0


def test_fits_of_other_rows_are_refused(world: World, tmp_path: Path) -> None:
    Fits.of(tmp_path, world)
    fewer = replace(world, examples=world.examples.take(np.arange(5)))
    with pytest.raises(SpecError, match="holds fits of other rows; name a new folder"):
        Fits.of(tmp_path, fewer)


def test_a_seed_fitted_to_shared_lists_is_the_one_that_it_would_be_alone(world: World) -> None:
    materials, other = Materials(Fits(None)), SPEC.model_copy(update={"seed": SPEC.seed + 1})
    first, _ = materials.of(world, SPEC)
    shared, _ = materials.of(world, other)
    assert shared is first
    some = world.examples.of_weeks([19])
    scores = [
        one.ranker.rank(some.rows, some.probabilities).scores
        for one in (train(world, other, material=shared), train(world, other), train(world, SPEC, material=shared))
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).any()


def test_lists_of_other_candidates_are_no_material(world: World) -> None:
    other = SPEC.model_copy(update={"candidates": SPEC.candidates.model_copy(update={"popular": 3})})
    with pytest.raises(TypeError, match="its candidates differ"):
        Material.of(world, SPEC).require(world, other)
    with pytest.raises(TypeError, match="its features differ"):
        Material.of(world, SPEC).require(replace(world, learn=("ease",)), SPEC)
    with pytest.raises(TypeError, match="its weeks differ"):
        Material.of(world, SPEC).require(world, SPEC.model_copy(update={"train_weeks": 2}))
