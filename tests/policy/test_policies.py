"""The contract of every policy: what it says of a place's probability is how often it shows the item there."""

import dataclasses

import numpy as np
import pytest

from components.policy import draw, policies
from components.policy.choice import Ask, Bounds, Policy
from components.policy.policies import POLICIES
from feature_repo.errors import DataError
from tests.policy.laws import require_frequencies

EVERY = pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
PLAIN = Ask.of(np.array([2.0, 1.7, 1.1, 0.4, 0.3, -0.5, -2.0]), 4)
CODES = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, -1], [2, 2], [0, 2]])
RULED = dataclasses.replace(
    PLAIN,
    greedy=(0, 3, 2, 4),
    codes=CODES,
    bounds=Bounds(fixed=((1, 3),), caps=((1, (0, 1, 6)), (2, (2, 3))), quotas=((1, (4, 5)),)),
)
ASKS = pytest.mark.parametrize("ask", [dataclasses.replace(PLAIN, codes=CODES), RULED], ids=["plain", "ruled"])
TRIALS = 20_000


@EVERY
def test_it_shows_k_different_items_each_with_a_probability(policy: Policy) -> None:
    for k, have in ((3, 9), (3, 2), (3, 0), (1, 1)):
        ask = Ask.of(np.linspace(3.0, -1.0, max(k, have))[:have], k)
        choice = draw.choose(policy, ask, 17)
        assert len(choice.order) == len(choice.propensities) == len(set(choice.order.tolist())) == min(k, have)
        assert all(0 <= place < have for place in choice.order)
        for said in (choice.propensities, choice.given):
            assert ((said > 0) & (said <= 1 + 1e-12)).all()


@EVERY
@ASKS
def test_a_propensity_is_how_often_the_item_is_shown_at_its_place(policy: Policy, ask: Ask) -> None:
    said = draw.marginals(policy, ask, 3, draws=TRIALS)
    assert said.mean.sum(axis=1) == pytest.approx(np.ones(ask.k))
    require_frequencies(policy, ask, said, n=TRIALS, seed=4)
    require_frequencies(policy, ask, said.mixed(ask, 0.3), n=TRIALS, seed=5, share=0.3)


@pytest.mark.slow  # a million lists of each policy, twice: half a minute
@EVERY
@ASKS
def test_a_propensity_is_how_often_the_item_is_shown_at_its_place_in_a_million_lists(policy: Policy, ask: Ask) -> None:
    said = draw.marginals(policy, ask, 3, draws=400_000)
    require_frequencies(policy, ask, said, n=1_000_000, seed=4)
    require_frequencies(policy, ask, said.mixed(ask, 0.3), n=1_000_000, seed=5, share=0.3)


@EVERY
@ASKS
def test_the_same_seed_gets_the_same_choice_and_another_one_another(policy: Policy, ask: Ask) -> None:
    one, other = (draw.choose(policy, ask, 123456789) for _ in range(2))
    for field in dataclasses.fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name
    seen = {tuple(draw.choose(policy, ask, seed, draws=2).order) for seed in range(40)}
    certain = bool((draw.marginals(policy, ask, 0, draws=2).mean.max(axis=1) == 1).all())
    assert (len(seen) == 1) == certain


@EVERY
@ASKS
def test_next_gives_what_is_not_allowed_nothing_and_the_rest_all(policy: Policy, ask: Ask) -> None:
    rng = np.random.default_rng(0)
    allowed = rng.random((50, 7)) < 0.5
    allowed[~allowed.any(axis=1), 5] = True
    values = np.broadcast_to(policy.values(ask, rng, 50), (50, 7))
    for above in (np.empty((50, 0), np.int64), rng.integers(-1, 7, (50, 2))):
        chances = policy.next(ask, values, allowed, above)
        assert (chances[~allowed] == 0).all()
        assert chances.sum(axis=1) == pytest.approx(np.ones(50))


@EVERY
def test_a_release_names_it(policy: Policy) -> None:
    assert policies.named(policy.name) is policy
    assert policies.named(policy.name, policies.settings_of(policy)) == policy
    assert "@" in policy.name


def test_greedy_shows_the_best_with_certainty() -> None:
    ask = Ask.of(np.array([3.0, 2.0, 2.0]), 2)
    for share in (1.0, 0.0):
        choice = draw.choose(policies.named("greedy@1"), ask, 5, share=share)
        assert (choice.order.tolist(), choice.propensities.tolist()) == ([0, 1], [1.0, 1.0])
    assert policies.DEFAULT == "greedy@1"


def test_a_policy_that_is_not_here_is_refused_with_what_is() -> None:
    with pytest.raises(DataError, match="release policy 'greedy@2': no such policy here; have greedy@1"):
        policies.named("greedy@2")
    with pytest.raises(DataError, match="release policy 'epsilon@1': no setting 'sigma'; have epsilon, candidates"):
        policies.named("epsilon@1", {"sigma": 1})
