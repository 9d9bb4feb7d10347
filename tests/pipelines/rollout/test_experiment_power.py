"""What an experiment may still find, against draws of what the test would say."""

import numpy as np
import pytest

from pipelines.rollout import experiment_power
from pipelines.rollout.sequential import Difference, between_difference, between_planned, planned_reach

EFFECT, ALPHA = 0.005, 0.05


@pytest.mark.parametrize("deviation", [0.0008, 0.0015, 0.0025])
def test_power_is_the_share_of_draws_that_the_test_calls_better(deviation: float) -> None:
    drawn = np.random.default_rng(5).normal(EFFECT, deviation, size=2000)
    ends = between_difference(Difference(0.0, deviation**2), effect=EFFECT, alpha=ALPHA)
    better = np.mean([value + ends[0] > 0 for value in drawn])
    found = experiment_power.power(deviation**2, effect=EFFECT, alpha=ALPHA)
    assert found == pytest.approx(better, abs=0.035)


def test_the_least_effect_is_found_in_eighty_of_a_hundred() -> None:
    least = experiment_power.least_effect(0.002**2, effect=EFFECT, alpha=ALPHA)
    drawn = np.random.default_rng(6).normal(least, 0.002, size=4000)
    reach = between_difference(Difference(0.0, 0.002**2), effect=EFFECT, alpha=ALPHA)[1]
    assert np.mean(drawn > reach) == pytest.approx(0.8, abs=0.03)


def test_a_plan_s_variance_power_and_least_effect_are_those_of_its_own_interval() -> None:
    ends = between_planned(Difference(0.003, 0.002**2), share=0.5, alpha=ALPHA)
    assert experiment_power.variance_of(ends, effect=EFFECT, alpha=ALPHA, share=0.5) == pytest.approx(0.002**2)
    reach, told = planned_reach(ALPHA) * 0.002, {"effect": EFFECT, "alpha": ALPHA, "share": 1.0}
    drawn = np.random.default_rng(7).normal(EFFECT, 0.002, size=4000)
    assert experiment_power.power(0.002**2, **told) == pytest.approx(np.mean(drawn > reach), abs=0.03)
    least = experiment_power.least_effect(0.002**2, **told)
    assert np.mean(drawn - EFFECT + least > reach) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("deviation", [1e-5, 0.002, 3.0, 1e4])
def test_the_variance_of_an_interval_is_the_one_that_made_it(deviation: float) -> None:
    ends = between_difference(Difference(1.0, deviation**2), effect=deviation, alpha=0.01)
    assert experiment_power.variance_of(ends, effect=deviation, alpha=0.01) == pytest.approx(deviation**2, rel=1e-5)


def test_nothing_grows_before_the_first_users_are_judged_or_after_the_end() -> None:
    assert experiment_power.grown(day=7.0, days=28.0, within=7.0) == 0.0
    assert experiment_power.grown(day=40.0, days=28.0, within=7.0) == 1.0
    assert experiment_power.grown(day=10.5, days=28.0, within=7.0) == 6.0
