"""Principal components beside scikit-learn's, and a world of rank three that three components hold whole."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from components.intent import projection
from components.intent.projection import Projection, fit
from feature_repo.dropped_features import Reduction
from feature_repo.errors import DataError

RNG = np.random.default_rng(2)
P, RANK = 9, 3
MIXED = RNG.normal(size=(500, RANK)) * np.array([3.0, 2.0, 1.0]) @ RNG.normal(size=(RANK, P)) + 5.0
NOISY = MIXED + RNG.normal(0, 0.5, MIXED.shape)
NAMES = [f"n{p}" for p in range(P)]


def projected(found: Projection, values: np.ndarray) -> np.ndarray:
    return np.asarray((values - found.mean) * found.scale @ found.matrix)


@pytest.mark.parametrize("asked", [RANK, 0.9999, 1.0 - 1e-6])
def test_three_components_hold_a_world_of_rank_three_whole(asked: float) -> None:
    found = fit(MIXED, Reduction(asked), names=NAMES)
    assert found.matrix.shape == (P, RANK)
    assert found.shares.sum() == pytest.approx(1.0)
    back = projected(found, MIXED) @ found.matrix.T / found.scale + found.mean
    np.testing.assert_allclose(back, MIXED, atol=1e-9)
    assert found.notes == ()


def test_components_are_those_of_scikit_learn() -> None:
    found = fit(NOISY, Reduction(4), names=NAMES)
    peer = PCA(4, svd_solver="full")
    theirs = peer.fit_transform(StandardScaler().fit_transform(NOISY))
    np.testing.assert_allclose(np.abs(projected(found, NOISY)), np.abs(theirs), atol=1e-9)
    np.testing.assert_allclose(found.shares, peer.explained_variance_ratio_)
    assert (np.take_along_axis(found.matrix, np.abs(found.matrix).argmax(axis=0)[None], axis=0) > 0).all()


def test_a_share_takes_the_fewest_components_that_reach_it() -> None:
    every = fit(NOISY, Reduction(P), names=NAMES).shares
    for share in (0.5, 0.8, 0.95):
        n = len(fit(NOISY, Reduction(share), names=NAMES).shares)
        assert every[: n - 1].sum() < share <= every[:n].sum()


def test_more_components_than_there_are_is_said_and_bounded() -> None:
    found = fit(MIXED, Reduction(7), names=NAMES)
    assert found.matrix.shape == (P, RANK)
    assert found.notes == ("components 7 is above the 3 that the numbers have; these stay",)


def test_rows_count_as_often_as_they_stand_for_and_chunks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = RNG.integers(1, 5, len(NOISY))
    whole = fit(np.repeat(NOISY, weight, axis=0), Reduction(3), names=NAMES)
    monkeypatch.setattr(projection, "CHUNK", 77)
    found = fit(NOISY, Reduction(3), names=NAMES, weight=weight.astype(float))
    for name in ("mean", "scale", "matrix", "shares"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name))
    assert np.abs(found.mean - fit(NOISY, Reduction(3), names=NAMES).mean).max() > 1e-3


def test_a_number_that_never_changes_is_in_no_component() -> None:
    table = NOISY.copy()
    table[:, 4] = 2.0
    found = fit(table, Reduction(P), names=NAMES)
    assert found.matrix.shape == (P, P - 1)
    assert (found.scale[4], np.abs(found.matrix[4]).max()) == (0.0, 0.0)


def test_components_are_told_by_the_numbers_that_weigh_most_in_them() -> None:
    line = np.arange(6.0)[:, None] * np.array([1.0, -2.0, 0.0]) + np.array([0.0, 0.0, 4.0])
    said = fit(line, Reduction(0.5), names=["a", "b", "flat"]).document(["a", "b", "flat"], Reduction(0.5))
    assert said["components"] == [{"share": 1.0, "loadings": {"a": 0.7071, "b": -0.7071}}]
    del said["components"]
    assert said == {"method": "pca", "asked": 0.5, "numbers": ["a", "b", "flat"], "share": 1.0, "notes": []}
    many = Projection(np.zeros(7), np.ones(7), np.array([[0.1, -0.7, 0.3, 0.2, -0.4, 0.5, 0.05]]).T, np.ones(1))
    told = many.document(list("abcdefg"), Reduction(1))["components"][0]["loadings"]
    assert list(told.items()) == [("b", -0.7), ("f", 0.5), ("e", -0.4), ("c", 0.3), ("d", 0.2)]


def test_what_cannot_be_projected_is_one_line() -> None:
    broken = NOISY.copy()
    broken[:2, 3] = np.nan
    with pytest.raises(
        DataError, match=r"^profiles\.reduce: n3 is not finite in 2 of 500 training rows.*take reduce out"
    ):
        fit(broken, Reduction(2), names=NAMES)
    with pytest.raises(DataError, match=r"^profiles\.reduce: none of 9 numbers of the profile changes"):
        fit(np.ones((5, P)), Reduction(2), names=NAMES)
