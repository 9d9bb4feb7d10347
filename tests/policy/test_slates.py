"""Whole lists: values by hand, a world in which all assumptions hold, and one in which some do not."""

import numpy as np
import pytest

from benchmarks.policy_worlds import PLACES, ListWorld, conditional
from components.policy.evaluation.estimators import Settings
from components.policy.evaluation.slates import (
    SLATE_ESTIMATORS,
    LoggedSlates,
    flat,
    general_weights,
    slate_estimates,
)
from feature_repo.errors import DataError

FEW = Settings(resamples=50)


def by_hand() -> LoggedSlates:
    """Two lists of two places; the weights of places are 2, 1/2 and 1, 3, by themselves 1/2, 1 and 3/2, 2."""
    return LoggedSlates(
        reward=np.array([[1.0, 2.0], [0.0, 1.0]]),
        logging=np.array([[0.25, 0.5], [0.5, 0.25]]),
        target=np.array([[0.5, 0.25], [0.5, 0.75]]),
        logging_marginal=np.array([[0.5, 0.5], [0.4, 0.25]]),
        target_marginal=np.array([[0.25, 0.5], [0.6, 0.5]]),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("slate_ips", (1 * 3 + 3 * 1) / 2),
        ("cascade", (2 * 1 + 1 * 2 + 1 * 0 + 3 * 1) / 2),
        ("independent", (0.5 * 1 + 1 * 2 + 1.5 * 0 + 2 * 1) / 2),
        ("pi", ((0.5 + 1 - 1) * 3 + (1.5 + 2 - 1) * 1) / 2),
    ],
)
def test_the_value_is_the_one_by_hand(name: str, value: float) -> None:
    found = slate_estimates(by_hand(), (name,), FEW)[name]
    assert found.value == pytest.approx(value, abs=1e-12)
    assert [one.name for one in SLATE_ESTIMATORS] == ["slate_ips", "cascade", "independent", "pi"]


def test_a_short_answer_is_padded_with_certainty() -> None:
    whole, short = (np.array([[0.5, 0.5], [0.5, 1.0]]), np.array([[0.25, 0.75], [0.25, 1.0]]))
    log = LoggedSlates(np.array([[1.0, 1.0], [1.0, 0.0]]), whole, short)
    assert slate_estimates(log, ("cascade",), FEW)["cascade"].value == pytest.approx((0.5 + 0.75 + 0.5) / 2)


def test_pseudo_inverse_weights_are_those_of_places_drawn_apart() -> None:
    """Three items at the first place, two others at the second, drawn apart: the general form gives the simple one."""
    one, two, better_one, better_two = ([0.5, 0.3, 0.2], [0.6, 0.4], [0.2, 0.2, 0.6], [0.1, 0.9])
    lists = np.array([[i, 3 + j] for i in range(3) for j in range(2)])
    probability = np.array([one[i] * two[j] for i in range(3) for j in range(2)])
    target = np.array([[*better_one, 0, 0], [0, 0, 0, *better_two]])
    found = general_weights(lists, probability, target, lists)
    simple = [better_one[i] / one[i] + better_two[j] / two[j] - 1 for i in range(3) for j in range(2)]
    assert found == pytest.approx(np.array(simple))


def test_pseudo_inverse_weights_give_every_additive_reward_its_mean() -> None:
    """Whatever places bring, the weighted mean under the logging policy is the mean under the target policy."""
    world, rng = ListWorld.made(), np.random.default_rng(0)
    target = world.marginals(world.target)
    weight = general_weights(world.lists, world.logging, target, world.lists)
    for _ in range(3):
        brings = rng.normal(size=(PLACES, len(world.attraction)))
        reward = brings[np.arange(PLACES), world.lists].sum(axis=1)
        assert world.logging @ (weight * reward) == pytest.approx(world.target @ reward)


def test_a_place_that_the_log_never_tried_is_named() -> None:
    lists, probability = np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5])
    target = np.array([[0.5, 0.3, 0.2], [0.5, 0.5, 0.0]])
    with pytest.raises(
        DataError, match="the target policy shows item 2 at place 1, where the logging policy never does"
    ):
        general_weights(lists, probability, target, lists)


def test_lists_drawn_in_proportion_to_odds() -> None:
    found = conditional(np.array([[0, 1], [1, 2]]), np.array([1.0, 2.0, 1.0]))
    assert found == pytest.approx(np.array([[1 / 4, 2 / 3], [2 / 4, 1 / 2]]))
    world = ListWorld.made()
    assert world.conditional(world.logging).prod(axis=1) == pytest.approx(world.logging)
    assert world.logging.sum() == pytest.approx(1.0)


def test_intervals_hold_the_truth_where_the_assumptions_do() -> None:
    world, held = ListWorld.made(), {one.name: 0 for one in SLATE_ESTIMATORS}
    widths: dict[str, list[float]] = {name: [] for name in held}
    for seed in range(100):
        log, _ = world.drawn(1500, seed)
        for name, one in slate_estimates(log, settings=Settings(resamples=400)).items():
            held[name] += one.bootstrap.low <= world.truth <= one.bootstrap.high
            widths[name].append(one.bootstrap.width)
            assert one.bernstein.low <= world.truth <= one.bernstein.high
    assert min(held.values()) >= 90, held
    assert np.median(widths["independent"]) < np.median(widths["cascade"]) < np.median(widths["slate_ips"])


def test_a_cascade_is_not_seen_by_who_takes_places_for_independent() -> None:
    """The second place is only rewarded below item 0: cascade and whole lists see it, `independent` cannot."""
    world = ListWorld.made()
    reward = np.zeros(world.lists.shape)
    reward[:, 1] = world.lists[:, 0] == 0
    truth = float(world.target @ reward.sum(axis=1))
    log, at = world.drawn(200_000, 0)
    seen = LoggedSlates(reward[at], log.logging, log.target, log.logging_marginal, log.target_marginal, log.pi_weight)
    found = slate_estimates(seen, settings=Settings(resamples=20))
    for name in ("cascade", "slate_ips", "pi"):
        assert found[name].value == pytest.approx(truth, rel=0.03), name
    assert abs(found["independent"].value - truth) > 0.1 * truth


def test_bad_lists_are_refused() -> None:
    good = by_hand()
    with pytest.raises(DataError, match="policy log: propensity 0 of row 1, 0"):
        LoggedSlates(good.reward, np.array([[0.5, 0.5], [0.0, 0.5]]), good.target)
    with pytest.raises(DataError, match=r"target has shape \(2, 1\) and reward \(2, 2\); give one a place"):
        LoggedSlates(good.reward, good.logging, good.target[:, :1])
    with pytest.raises(
        DataError, match="a reward is no finite number; leave out answers whose rewards are not known yet"
    ):
        LoggedSlates(np.array([[1.0, np.nan], [0, 0]]), good.logging, good.target)
    with pytest.raises(DataError, match="policy log: holds no list"):
        LoggedSlates(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)))
    plain = LoggedSlates(good.reward, good.logging, good.target)
    assert list(slate_estimates(plain, settings=FEW)) == ["slate_ips", "cascade"]
    with pytest.raises(
        DataError, match="holds no marginal probabilities of items at places, which `independent` and `pi`"
    ):
        slate_estimates(plain, ("pi",), FEW)
    with pytest.raises(DataError, match=r"policy estimator 'cascades': have slate_ips, .*; did you mean 'cascade'?"):
        slate_estimates(plain, ("cascades",), FEW)


def test_places_one_by_one() -> None:
    log = flat(by_hand())
    assert log.weight == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert log.groups[0].tolist() == [0, 0, 1, 1]
