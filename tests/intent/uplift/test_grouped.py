"""A score of expected effect: learnt where users differ, and none where they do not."""

import numpy as np
import pytest

from components.intent.uplift.grouped import QUARTERS, grouped

N = 2000


def parted(*, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and corrected differences of users whose effect grows with the first feature."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 3))
    return x, 1.0 + spread * x[:, 0] + rng.normal(size=N)


def test_quarters_grow_where_a_feature_says_who_is_changed() -> None:
    x, corrected = parted(spread=1.0)
    found = grouped(x, corrected, np.arange(N), np.arange(N) % 5)
    values = [group.value for group in found.groups]
    assert len(values) == QUARTERS
    assert values == sorted(values)
    assert found.weight == pytest.approx([1.0, 0.0, 0.0], abs=0.1)
    # Quarter means of a standard normal variable: 1 -+ 1.271 and 1 -+ 0.325.
    assert values == pytest.approx([-0.27, 0.68, 1.32, 2.27], abs=0.25)
    place = np.searchsorted(found.bounds, found.score(x), "right")
    assert np.bincount(place) / N == pytest.approx(np.full(QUARTERS, 0.25), abs=0.03)


def test_everyone_has_the_mean_where_nobody_is_changed_more() -> None:
    x, corrected = parted(spread=0.0)
    found = grouped(x, corrected, np.arange(N), np.arange(N) % 5)
    assert [group.value for group in found.groups] == [pytest.approx(1.0, abs=0.1)]
    assert found.bounds == ()
    assert not found.weight.any()


def test_too_few_rows_for_quarters_have_one_group() -> None:
    x, corrected = parted(spread=1.0)
    assert len(grouped(x[:7], corrected[:7], np.arange(7), np.arange(7) % 2).groups) == 1
