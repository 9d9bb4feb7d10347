"""The spec's `policy` slice: what it refuses, and the policy that it means."""

from typing import Any

import pytest
from pydantic import ValidationError

from components.policy import policies
from components.policy.guard import Rails
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.greedy import Greedy
from components.policy.policies.slate import Slate
from components.policy.policies.softmax import Softmax
from components.policy.policies.thompson import Thompson
from components.policy.reward_spec import TAKEN, RewardKpi, seconds
from components.policy.reward_table import REWARD, SCHEMA
from components.policy.rewards import Kpi
from components.policy.spec import SETTINGS, PolicySlice


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ({}, Greedy()),
        ({"name": "epsilon"}, Epsilon(0.1, 50)),
        ({"name": "epsilon", "epsilon": 0.2, "candidates": 20}, Epsilon(0.2, 20)),
        ({"name": "softmax", "temperature": 0.5}, Softmax(0.5, 50)),
        ({"name": "slate", "diversity": 2.0}, Slate(0.3, 2.0, 50)),
        ({"name": "thompson", "mean": [0.5, 0.1], "spread": 0.2}, Thompson(mean=(0.5, 0.1), spread=0.2)),
    ],
)
def test_it_means_a_policy_with_its_settings(said: dict[str, Any], policy: object) -> None:
    slice_ = PolicySlice.model_validate(said)
    assert slice_.chosen() == policy
    assert slice_.explores == (policy != Greedy())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"name": "softmax", "epsilon": 0.2}, "epsilon: is no setting of softmax; it takes temperature, candidates"),
        ({"temperature": 0.5}, "temperature: is no setting of greedy; it takes none"),
        ({"guard": {"floor": 0.9}}, "guard: greedy explores nothing"),
        ({"name": "thompson", "covariance": [[1, 2], [2, 1]]}, "covariance: is none"),
        ({"name": "thompson", "covariance": [[1], [2, 1]]}, "covariance: is not 2 by 2"),
        ({"rewards": [{"name": "buy"}, {"name": "buy"}]}, "rewards: 'buy' is declared twice"),
        ({"rewards": [{"name": "share"}]}, "name: 'share' is a column of the rewards table"),
        ({"rewards": [{"name": "buy", "within": "2 weeks"}]}, "'2 weeks' is no duration"),
        ({"rewards": [{"name": "buy", "within": "91d"}]}, "91d is more than 90 days"),
        ({"rewards": [{"name": "buy", "within": "1h", "after": "60m"}]}, "within: 1h is not longer than after, 60m"),
        (
            {"rewards": [{"name": "back", "kind": "return", "within": "24h"}]},
            "within: 24h is not longer than after, 1d",
        ),
        ({"rewards": [{"name": "back", "kind": "return", "within": "7d", "positions": 1}]}, "positions: is of items"),
        ({"rewards": [{"name": "buy", "weight": 0}]}, "weight: 0 counts nothing"),
        ({"name": "epsilon", "epsilon": 0}, "greater than 0"),
        ({"name": "softmax", "guard": {"share": 0}}, "greater than 0"),
        ({"name": "bandit"}, "'greedy', 'epsilon', 'softmax', 'thompson' or 'slate'"),
    ],
)
def test_what_would_do_nothing_or_something_else_is_refused(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PolicySlice.model_validate(said)
    assert why in str(refused.value)


def test_a_kpi_is_what_the_joiner_takes() -> None:
    said = RewardKpi(name="back", kind="return", within="28d", weight=2.0)
    assert said.kpi() == Kpi("back", within_s=28 * 86_400, after_s=86_400, returns=True, weight=2.0)
    said = RewardKpi(name="money", event=("purchase",), amount="value", within="7d", after="5m", positions=3)
    assert said.kpi() == Kpi(
        "money", within_s=604_800, after_s=300, events=frozenset({"purchase"}), amount="value", positions=3
    )
    assert seconds("90d") == 7_776_000


def test_no_kpi_may_be_called_like_a_column() -> None:
    assert {*TAKEN} == {*SCHEMA.names, REWARD}


def test_settings_are_those_of_the_policies() -> None:
    own = {one.name.partition("@")[0]: tuple(policies.settings_of(one)) for one in policies.POLICIES}
    own.pop("learned")  # no spec has its weights
    assert dict(SETTINGS) == own


def test_a_release_holds_what_the_door_reads() -> None:
    guard = {"share": 0.5, "per_user_day": 0.2, "floor": 0.9, "placements": ["checkout"], "cohorts": ["new"]}
    held = PolicySlice.model_validate({"name": "softmax", "temperature": 0.5, "guard": guard}).slice()
    assert held == {"name": "softmax@1", "settings": {"temperature": 0.5, "candidates": 50}, "guard": guard}
    assert policies.named(held["name"], held["settings"]) == Softmax(0.5)
    assert Rails.of(held["guard"]) == Rails(0.5, 0.2, 0.9, frozenset({"checkout"}), frozenset({"new"}))
    assert Rails.of(PolicySlice(name="softmax").slice()["guard"]) == Rails()
