"""The contract of every drift statistic: Evidently knows it, scores as we do, and it tells a moved column."""

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.compare import compare
from monitoring.drift.permutation import floor
from monitoring.drift.statistics import STATISTICS, Statistic, distance, psi, statistic_of
from monitoring.spec import Monitoring

EVERY = pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.name)
COLUMNS = (
    lambda share, rng: pd.Series(rng.normal(3 * share, 1.0, 600)),
    lambda share, rng: pd.Series(rng.random(600) < share),
    lambda share, rng: pd.Series(np.where(rng.random(600) < share, "yes", "no")),
)


def frame(statistic: Statistic, share: float, seed: int) -> pd.DataFrame:
    """Return a column that this statistic is taken for."""
    for make in COLUMNS:
        column = make(share, np.random.default_rng(seed))
        if statistic_of(column) is statistic:
            return pd.DataFrame({"column": column})
    raise AssertionError(f"no column here is {statistic.name}'s")


@EVERY
def test_a_column_that_stays_is_stable_and_one_that_moves_has_drifted(statistic: Statistic) -> None:
    then, same, moved = (frame(statistic, share, seed) for share, seed in ((0.2, 1), (0.2, 2), (0.8, 3)))
    spec = Monitoring()
    stable, drifted = (compare(now, then, spec=spec) for now in (same, moved))
    assert (stable.verdict, drifted.verdict) == ("stable", "drifted")
    found = drifted.columns["column"]
    assert (found.method, found.threshold) == (statistic.name, statistic.threshold(spec))
    assert found.score is not None
    assert found.noise is not None
    assert found.score > found.noise


@EVERY
def test_shares_are_scored_as_evidently_scores_the_column(statistic: Statistic) -> None:
    if statistic.number:
        pytest.skip("binned: test_permutation compares the cells as well")
    then, now = (frame(statistic, share, seed)["column"] for share, seed in ((0.2, 1), (0.6, 2)))
    theirs = compare(now.to_frame(), then.to_frame(), spec=Monitoring()).columns["column"].score
    cells = pd.concat([then, now]).unique()
    shares = [np.array([[float((side == cell).mean()) for cell in cells]]) for side in (now, then)]
    assert statistic.score(*shares)[0] == pytest.approx(theirs, rel=1e-6)


@EVERY
def test_the_floor_of_a_column_that_stays_lies_above_its_score(statistic: Statistic) -> None:
    then, now = (frame(statistic, 0.5, seed)["column"] for seed in (1, 2))
    assert 0 < floor(now, then, number=statistic.number, score=statistic.score) < statistic.threshold(Monitoring())


def test_two_shares_have_the_scores_that_one_can_work_out_by_hand() -> None:
    now, then = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    assert psi(now, then)[0] == pytest.approx(-0.25 * np.log(0.5) + 0.25 * np.log(1.5))
    middle = np.array([0.375, 0.625])
    kl = [(side * np.log(side / middle)).sum() for side in (now[0], then[0])]
    assert distance(now, then)[0] == pytest.approx(np.sqrt(sum(kl) / 2))
