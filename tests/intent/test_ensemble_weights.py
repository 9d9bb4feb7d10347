"""How much each member of an ensemble counts, and what a mean of them says: pure arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.intent import ensemble
from components.intent.ensemble import Ensemble
from feature_repo import files
from feature_repo.errors import DataError


def test_a_mean_weighs_its_members_and_leaves_out_who_has_no_weight() -> None:
    said = {"a": np.array([[0.25, 0.5]]), "b": np.array([[0.75, 1.0]])}
    found = ensemble.mean(said, {"a": 0.75, "b": 0.25, "c": 0.0})
    np.testing.assert_array_equal(found, np.array([[0.375, 0.625]], np.float32))
    assert found.dtype == np.float32


@pytest.mark.parametrize("told", [None, {}, {"cnn": 0.5}, {"cnn": 0.5, "gbdt": 0.6}, ["cnn"]])
def test_a_folder_whose_members_are_not_told_or_do_not_sum_up_is_refused(told: Any, tmp_path: Path) -> None:
    files.write_json(tmp_path / "config.json", {"network": {}} | ({} if told is None else {"members": told}))
    with pytest.raises(DataError, match=r"names no members of an ensemble; run the pipeline again"):
        ensemble.weights_of(tmp_path)


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    files.write_json(tmp_path / "config.json", {"network": {}, "members": {"gbdt": 0.35, "cnn": 0.65}})
    assert list(ensemble.weights_of(tmp_path).items()) == [("gbdt", 0.35), ("cnn", 0.65)]


def test_two_that_err_in_opposite_ways_weigh_alike_and_of_equals_the_first_is_picked() -> None:
    labels = np.array([[1], [0]])
    said = {"high": np.array([[0.9], [0.3]]), "low": np.array([[0.7], [0.1]])}  # mirror images
    assert ensemble.chosen(labels, said) == {"high": 0.5, "low": 0.5}
    same = np.array([[0.8], [0.2]])
    assert ensemble.chosen(labels, {"first": same, "second": same}) == {"first": 1.0, "second": 0.0}


def test_weights_are_those_of_the_lowest_loss_and_who_adds_nothing_is_not_asked() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 3))
    labels = (rng.random((400, 3)) < truth).astype(np.uint8)
    noise = rng.random((400, 3))
    sees_left = np.where(np.arange(400)[:, None] < 200, truth, labels.mean())
    sees_right = np.where(np.arange(400)[:, None] < 200, labels.mean(), truth)
    found = ensemble.chosen(labels, {"left": sees_left, "noise": noise, "right": sees_right})
    assert found["noise"] == 0
    assert 0.3 < found["left"] < 0.7
    assert sum(found.values()) == pytest.approx(1)
    shape: Any = None
    whole = Ensemble(shape, {}, found)
    said = {"left": lambda rows: sees_left, "right": lambda rows: sees_right}
    rows: Any = None
    assert whole.said_by(said, rows).shape == (400, 3), "the third was not asked"


def test_rows_that_stand_for_several_weigh_so_when_weights_are_chosen() -> None:
    labels = np.array([[1], [0]])
    said = {"knows first": np.array([[0.9], [0.9]]), "knows second": np.array([[0.1], [0.1]])}
    assert ensemble.chosen(labels, said, np.array([9.0, 1.0]))["knows first"] > 0.5
    assert ensemble.chosen(labels, said, np.array([1.0, 9.0]))["knows second"] > 0.5
