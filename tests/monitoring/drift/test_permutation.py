"""The floor under drift scores: what chance reaches, at every size, with rare cells and without."""

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import permutation
from monitoring.drift.statistics import distance, psi

pytestmark = pytest.mark.world

SKEWED = 0.5 ** np.arange(1, 13)  # a few frequent values and many rare ones


def drawn(kind: str, rows: int, rng: np.random.Generator) -> pd.Series:
    if kind == "heavy tail":  # spend: the last bins hold one row or none
        return pd.Series(rng.lognormal(0, 1.2, rows))
    if kind == "many zeros":
        return pd.Series(np.where(rng.random(rows) < 0.6, 0.0, rng.gamma(2, 3, rows)))
    if kind == "rare values":
        return pd.Series(rng.choice(12, rows, p=SKEWED / SKEWED.sum()).astype(float))
    return pd.Series(rng.choice([f"value {i}" for i in range(40)], rows))


@pytest.mark.parametrize("kind", ["heavy tail", "many zeros", "rare values", "categories"])
@pytest.mark.parametrize(("current", "reference"), [(100, 100), (100, 2000)])
def test_two_samples_of_one_population_hardly_ever_exceed_the_floor(kind: str, current: int, reference: int) -> None:
    """At a quantile of .999, two of 50 or more have a probability of 1 in 800; seeds are fixed all the same."""
    number = kind != "categories"
    above, rng = 0, np.random.default_rng(1)
    for _ in range(50):
        now, then = drawn(kind, current, rng), drawn(kind, reference, rng)
        above += score(now, then, number=number) > floor(now, then, number=number)
    assert above <= 1


def floor(now: pd.Series, then: pd.Series, *, number: bool) -> float:
    return permutation.floor(now, then, number=number, score=psi if number else distance)


def score(now: pd.Series, then: pd.Series, *, number: bool) -> float:
    from evidently.legacy.calculations.stattests.jensenshannon import _jensenshannon  # seconds, for whom runs these
    from evidently.legacy.calculations.stattests.psi import _psi
    from evidently.legacy.core import ColumnType

    if number:
        return float(_psi(then, now, ColumnType.Numerical, 0.2)[0])
    return float(_jensenshannon(then, now, ColumnType.Categorical, 0.1)[0])


@pytest.mark.parametrize("kind", ["heavy tail", "many zeros", "rare values", "categories"])
def test_deals_are_scored_as_evidently_scores(kind: str) -> None:
    rng, number = np.random.default_rng(3), kind != "categories"
    now, then = drawn(kind, 150, rng), drawn(kind, 400, rng)
    if number and then.nunique() > permutation.PER_VALUE:
        edges = np.histogram_bin_edges(pd.concat([then, now]), bins="sturges")
        counts = [np.histogram(side, edges)[0] for side in (now, then)]
    else:
        keys = pd.concat([then, now]).unique()
        counts = [np.array([(side == key).sum() for key in keys]) for side in (now, then)]
    shares = [one[None] / one.sum() for one in counts]
    mine = psi(*shares) if number else distance(*shares)
    assert mine[0] == pytest.approx(score(now, then, number=number), rel=1e-9)


def test_the_floor_falls_with_the_rows_and_is_always_the_same() -> None:
    rng = np.random.default_rng(5)
    sizes = (100, 1_000, 10_000)
    floors = [floor(drawn("heavy tail", n, rng), drawn("heavy tail", n, rng), number=True) for n in sizes]
    assert floors[0] > floors[1] > floors[2]
    one, other = (drawn("categories", 100, np.random.default_rng(n)) for n in (1, 2))
    assert floor(one, other, number=False) == floor(one, other, number=False)


def test_shares_that_differ_in_their_last_bits_have_a_distance() -> None:
    """Rounding can make the divergence of equal shares a little negative, whose root is no number."""
    shares = np.random.default_rng(0).dirichlet(np.ones(10), 1_000)
    nudged = shares * (1 + np.random.default_rng(1).normal(size=shares.shape) * 1e-16)
    distances = distance(shares, nudged / nudged.sum(axis=1, keepdims=True))
    assert np.isfinite(distances).all()
    assert distances.max() < 1e-7
