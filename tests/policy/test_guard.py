"""Guard rails: what they let be explored, by hand and over many lists."""

import dataclasses

import numpy as np
import pytest

from components.policy import draw, guard
from components.policy.choice import Ask, Bounds
from components.policy.guard import DayBudget, Rails, Request, railed
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.softmax import Softmax

ASK = Ask.of(np.linspace(2.0, -2.0, 12), 4)
WILD = Softmax(temperature=5.0)


@pytest.mark.parametrize(
    ("why", "rails", "about"),
    [
        ("rung", Rails(), Request(modelled=False)),
        ("placement", Rails(placements=frozenset({"checkout"})), Request(placement="checkout")),
        ("cohort", Rails(cohorts=frozenset({"new"})), Request(cohort="new")),
        ("budget", Rails(per_user_day=0.1), Request(left=0)),
    ],
)
def test_a_protected_list_is_greedy_and_says_why(why: str, rails: Rails, about: Request) -> None:
    found = railed(WILD, ASK, rails, about, 1)
    assert (found.share, found.why) == (0.0, why)
    choice = draw.choose(WILD, found.ask, 1, share=found.share)
    assert choice.order.tolist() == [0, 1, 2, 3]
    assert choice.propensities.tolist() == [1, 1, 1, 1]


def test_other_placements_and_cohorts_are_explored() -> None:
    rails = Rails(share=0.7, placements=frozenset({"checkout"}), cohorts=frozenset({"new"}))
    assert railed(WILD, ASK, rails, Request(placement="home", cohort="old"), 1).share == 0.7
    assert railed(WILD, ASK, rails, Request(), 1).share == 0.7


def test_nothing_is_explored_where_there_is_nothing_else_to_show() -> None:
    alone = Ask.of(np.array([2.0, 1.0]), 4)
    assert railed(WILD, alone, Rails(), Request(), 1).why == "candidates"
    tight = dataclasses.replace(ASK, bounds=Bounds(caps=((1, tuple(range(10))),)))
    assert railed(WILD, tight, Rails(), Request(), 1).why == "candidates"


def test_the_floor_holds_in_the_mean_and_lowers_the_share_no_further() -> None:
    free = guard.value(ASK, draw.marginals(WILD, ASK, 1, draws=4000))
    assert 0.5 < free < 0.95
    found = railed(WILD, ASK, Rails(floor=0.95), Request(), 1, draws=4000)
    assert found.why == "floor"
    assert found.chances is not None, "computed once: the answer draws by them"
    mixed = draw.marginals(WILD, ASK, 1, draws=4000).mixed(ASK, found.share)
    assert guard.value(ASK, mixed) == pytest.approx(0.95)
    lists = draw.simulated(WILD, ASK, np.random.default_rng(0), 20_000, share=found.share)
    gain, place = 1 / np.log2(np.arange(12) + 2.0), 1 / np.log2(np.arange(4) + 2.0)
    assert (gain[lists] @ place).mean() / (gain[:4] @ place) == pytest.approx(0.95, abs=0.004)
    loose = railed(WILD, ASK, Rails(floor=0.3), Request(), 1)
    assert (loose.share, loose.why) == (1.0, None)
    assert loose.chances is not None
    assert railed(Softmax(0.01), ASK, Rails(floor=0.99), Request(), 1).share == 1.0  # all but greedy already


def test_a_user_sees_no_more_of_what_greedy_does_not_show_than_the_days_share() -> None:
    budget, outside, places = DayBudget(0.2), 0, 0
    for seed in range(60):
        left = budget.left("ana", "2026-11-30", 4)
        found = railed(WILD, ASK, Rails(per_user_day=0.2), Request(left=left), seed)
        choice = draw.choose(WILD, found.ask, seed, share=found.share, draws=4)
        budget.saw("ana", choice.order, ASK.greedy)
        outside += len(set(choice.order.tolist()) - {0, 1, 2, 3})
        places += 4
        assert outside <= 0.2 * places + 1e-9
    assert outside >= 0.8 * 0.2 * places  # and what may be explored is
    assert budget.left("ana", "2026-12-01", 10) == 2  # a new day
    assert budget.left("bo", "2026-12-01", 4) == 0  # a fifth of four places is none yet


def test_the_days_share_is_in_the_propensities() -> None:
    found = railed(Epsilon(0.9), ASK, Rails(per_user_day=0.3), Request(left=1), 1)
    assert found.ask.bounds.caps == ((1, tuple(range(4, 12))),)
    lists = draw.simulated(Epsilon(0.9), found.ask, np.random.default_rng(3), 2000)
    assert (np.isin(lists, range(4, 12)).sum(axis=1) <= 1).all()
    said = draw.marginals(Epsilon(0.9), found.ask, 1, draws=2000)
    assert said.mean[0, 0] == pytest.approx(0.1)
    assert said.mean[3, 3] > 0.8  # by then the day's share is mostly used


def test_the_longest_silent_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_USERS", 2)
    budget = DayBudget(0.5)
    for user in ("ana", "bo", "ana", "cy"):
        budget.left(user, "day", 4)
        budget.saw(user, [0, 1, 2, 9], (0, 1, 2, 3))
    assert budget.left("ana", "day", 4) == 4  # 12 places, half, less two
    assert budget.left("bo", "day", 4) == 2  # let go
