"""The contract of every policy: what it says of a place's probability is how often it shows the item there."""

import numpy as np
import pytest

from components.policy import policies
from components.policy.choice import Policy, draws
from components.policy.policies import POLICIES
from feature_repo.errors import DataError

EVERY = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
TRIALS = 4000


def scores(policy: Policy, k: int) -> np.ndarray:
    """Return falling scores of as many items as the policy looks at."""
    return np.linspace(3.0, -1.0, policy.considered(k))


@EVERY
def test_it_shows_k_different_items_each_with_a_probability(policy: Policy) -> None:
    for k, have in ((3, 9), (3, 2), (3, 0), (1, 1)):
        given = scores(policy, max(k, have))[:have]
        choice = policy.choose(given, k, draws("a request"))
        assert len(choice.order) == len(choice.propensities) == len(set(choice.order.tolist())) == min(k, have)
        assert all(0 <= place < have for place in choice.order)
        assert ((choice.propensities > 0) & (choice.propensities <= 1)).all()


@EVERY
def test_a_propensity_is_how_often_the_item_is_shown_at_its_place(policy: Policy) -> None:
    given = scores(policy, 4)
    shown, said = np.zeros((len(given), 4)), np.full((len(given), 4), np.nan)
    for trial in range(TRIALS):
        choice = policy.choose(given, 4, draws(str(trial)))
        shown[choice.order, np.arange(4)] += 1
        said[choice.order, np.arange(4)] = choice.propensities
    often = shown / TRIALS
    assert np.abs(often - np.nan_to_num(said)).max() < 4 * 0.5 / np.sqrt(TRIALS)  # four standard errors


@EVERY
def test_the_same_request_gets_the_same_choice(policy: Policy) -> None:
    one, other = (policy.choose(scores(policy, 5), 5, draws("a request")) for _ in range(2))
    assert one.order.tolist() == other.order.tolist()
    assert one.propensities.tolist() == other.propensities.tolist()


@EVERY
def test_a_release_names_it(policy: Policy) -> None:
    assert policies.named(policy.name) is policy
    assert "@" in policy.name


def test_greedy_shows_the_best_with_certainty() -> None:
    choice = policies.named("greedy@1").choose(np.array([3.0, 2.0, 2.0]), 2, draws(""))
    assert (choice.order.tolist(), choice.propensities.tolist()) == ([0, 1], [1.0, 1.0])
    assert policies.DEFAULT == "greedy@1"


def test_a_policy_that_is_not_here_is_refused_with_what_is() -> None:
    with pytest.raises(DataError, match="release policy 'greedy@2': no such policy here; have greedy@1"):
        policies.named("greedy@2")
