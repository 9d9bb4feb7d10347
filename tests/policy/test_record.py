"""What the log holds of a choice: enough to compute any policy's probability of the list again."""

import json

import numpy as np
import pytest
from pydantic_core import to_json

from components.policy import draw, policies, record
from components.policy.choice import Ask, Bounds
from components.policy.guard import Railed
from components.policy.policies import POLICIES
from components.policy.policies.epsilon import Epsilon
from components.policy.policies.softmax import Softmax
from feature_repo.errors import DataError

ITEMS = [f"item-{n}" for n in range(9)]
ASK = Ask(
    record.rounded(np.linspace(2.0, -1.0, 9) ** 3 / 7),
    (0, 4, 2, 5),
    np.arange(18).reshape(9, 2) % 5,
    Bounds(fixed=((1, 4),), caps=((2, (0, 1, 2)),), quotas=((1, (7, 8, 4)),)),
)


def line(policy: object, *, seed: int = 77, share: float = 0.8, ask: Ask = ASK) -> dict:
    """Return a line as a reader gets it: written as JSON, read again."""
    choice = draw.choose(policy, ask, seed, share=share)  # type: ignore[arg-type]
    told = record.record(policy, Railed(ask, share), choice, seed=seed, items=ITEMS)  # type: ignore[arg-type]
    shown = zip(choice.order.tolist(), choice.propensities.tolist(), strict=True)
    items = [{"item_id": ITEMS[c], "position": n, "propensity": p} for n, (c, p) in enumerate(shown, 1)]
    written = {"request_id": "r1", "policy": policy.name, "asked": {"k": 4, "choice": told}, "items": items}  # type: ignore[attr-defined]
    return json.loads(json.dumps(json.loads(to_json(written))))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
@pytest.mark.parametrize("seed", [1, 2**64 - 1])
def test_the_logged_policys_probabilities_come_out_as_they_were(policy, seed: int) -> None:
    logged = line(policy, seed=seed)
    found = record.probability(logged)
    if policy.name == "greedy@1":
        assert found.propensities.tolist() == [1, 1, 1, 1]
        return
    assert found.given.tolist() == logged["asked"]["choice"]["given"]
    assert found.errors.tolist() == logged["asked"]["choice"]["errors"]
    assert found.propensities.tolist() == [item["propensity"] for item in logged["items"]]
    record.require_true(logged)


def test_any_other_policys_probabilities_come_out_as_if_it_had_been_asked() -> None:
    logged = line(Epsilon(0.5))
    order = np.array([ITEMS.index(item["item_id"]) for item in logged["items"]])
    other = Softmax(temperature=0.9)
    found = record.probability(logged, other)
    assert found.given.tolist() == draw.given(other, ASK, order, 1).tolist()
    assert found.list_probability == pytest.approx(np.prod(draw.given(other, ASK, order, 1)))
    mixed = record.probability(logged, other, share=0.5)
    assert mixed.list_probability == pytest.approx(np.prod(draw.given(other, ASK, order, 1, share=0.5)))
    shown = record.probability(logged, policies.named("greedy@1"))
    assert shown.given.tolist() == [float(c == g) for c, g in zip(order, ASK.greedy, strict=True)]


def test_a_greedy_line_is_certain_and_holds_no_candidates_for_others() -> None:
    plain = {"request_id": "r", "policy": "greedy@1", "asked": {"k": 1}, "items": [{"item_id": "a", "propensity": 1.0}]}
    assert record.probability(plain).given.tolist() == [1.0]
    assert record.probability(plain, policies.named("greedy@1")).given.tolist() == [1.0]
    with pytest.raises(DataError, match="request r: its line holds no candidates, since it was answered by greedy@1"):
        record.probability(plain, Softmax())


def test_a_protected_list_is_certain_under_its_own_policy() -> None:
    logged = line(Softmax(), share=0.0)
    assert record.probability(logged).propensities.tolist() == [1, 1, 1, 1]
    assert 0 < record.probability(logged, Softmax()).list_probability < 1


def test_a_line_that_was_changed_is_refused() -> None:
    for change in ({"scores": [0.0] * 9}, {"greedy": [0, 1, 2, 3]}, {"caps": []}):
        logged = line(Softmax())
        logged["asked"]["choice"] |= change
        with pytest.raises(DataError, match=r"request r1: digest .* is not that of its candidates"):
            record.probability(logged)
    logged = line(Softmax())
    logged["items"][0]["item_id"] = "another"
    with pytest.raises(DataError, match="request r1: shows 'another', which is none of its candidates"):
        record.probability(logged)


@pytest.mark.parametrize("said", [0.0, -0.1, 1.1, float("nan"), float("inf"), None])
def test_a_propensity_that_is_none_is_refused(said: float | None) -> None:
    logged = line(Softmax())
    logged["items"][2]["propensity"] = said
    with pytest.raises(
        DataError, match=f"request r1: propensity {said} of item .* at place 3 is none of something that"
    ):
        record.require_true(logged)
    logged = line(Softmax())
    logged["asked"]["choice"]["given"][1] = 0.0
    with pytest.raises(DataError, match=r"given 0.0 is no probability"):
        record.require_true(logged)


def test_scores_are_asked_as_they_are_logged() -> None:
    given = np.array([1 / 3, 1e-9 / 7, -123456.789])
    assert record.rounded(given).tolist() == [0.3333333, 1.428571e-10, -123456.8]
    assert record.rounded(record.rounded(given)).tolist() == record.rounded(given).tolist()


def test_what_is_empty_is_left_out_of_the_line() -> None:
    told = line(Softmax(), ask=Ask.of(ASK.scores, 3))["asked"]["choice"]
    assert {"codes", "fixed", "caps", "quotas"}.isdisjoint(told)
    assert len(json.dumps(told)) < 1000
