"""The gate: what passes, what is refused, and what nobody can know."""

import json

import numpy as np
import pytest

from benchmarks.policy_worlds import PlaceWorld
from components.policy.evaluation.estimators import Settings
from components.policy.evaluation.gate import Rule, judge
from components.policy.evaluation.logged import Logged, of_actions
from feature_repo.errors import SpecError

FEW = Settings(resamples=200)
SMALL = Rule(estimator="snips", least_ess=100)


def two_items(target: float, *, rows: int = 4000, propensity: float = 0.5) -> Logged:
    """Item 0 is always rewarded, item 1 never; the log shows them by turns, the target item 0 with `target`."""
    action = np.arange(rows) % 2
    chance = np.array([[target, 1 - target]])[np.zeros(rows, dtype=int)]
    return of_actions(action, 1.0 - action, np.full(rows, propensity), chance)


def test_a_better_policy_passes_and_a_worse_one_is_refused() -> None:
    better, worse = judge(two_items(0.8), SMALL, FEW), judge(two_items(0.2), SMALL, FEW)
    assert (better.word, worse.word) == ("passed", "refused")
    assert better.running == worse.running == 0.5
    assert better.estimate is not None
    assert better.estimate.value == pytest.approx(0.8)
    assert better.why.startswith("its lower bound 0.7")
    assert better.why.endswith("is above the running policy's 0.5")
    assert better.difference is not None
    assert better.difference.low > 0


def test_what_may_be_chance_is_undecided() -> None:
    found = judge(two_items(0.51, rows=400), SMALL, FEW)
    assert found.word == "undecided"
    assert "holds the running policy's 0.5" in found.why


def test_few_rows_that_count_are_too_few() -> None:
    found = judge(two_items(0.8, rows=100), Rule(estimator="snips", least_ess=1000), FEW)
    assert (found.word, found.why) == ("undecided", "effective sample size 74, fewer than 1000; log for longer")


def test_a_greedy_log_has_no_support_and_the_gate_says_so() -> None:
    log = Logged(np.array([1.0, 0.0] * 2000), np.ones(4000), np.full(4000, 0.7))
    alone = judge(log, SMALL, FEW)
    assert alone.word == "undecided"
    assert alone.estimate is None
    assert "the log is greedy: each item was certain to be shown, so it has no support" in alone.why
    assert "declare an explorer with guard rails first" in alone.why
    guarded = judge(log, Rule(estimator="snips", guard_rails="at most 5 % of a user's answers"), FEW)
    assert (guarded.word, guarded.by_guard_rails) == ("passed", True)
    assert "it enters by its guard rails (at most 5 % of a user's answers), not by its value" in guarded.why
    assert guarded.document()["value"] is None


def test_guard_rails_do_not_let_in_who_can_be_judged() -> None:
    assert judge(two_items(0.2), Rule(estimator="snips", least_ess=100, guard_rails="few"), FEW).word == "refused"


def test_what_was_never_tried_is_not_guessed() -> None:
    rng = np.random.default_rng(0)
    action = rng.integers(2, size=4000)
    log = Logged(1.0 - action, np.full(4000, 0.5), np.array([0.4, 0.4])[action])
    found = judge(log, SMALL, FEW)
    assert found.word == "undecided"
    assert found.why == "the log never tried 20.0% of what it would show, more than 1.0%; explore more first"


def test_an_interval_without_width_is_not_trusted() -> None:
    """No reward was ever seen: every estimate is 0, and so sure of it."""
    log = two_items(0.8)
    silent = Logged(np.zeros(4000), log.propensity, log.target)
    found = judge(silent, SMALL, FEW)
    assert found.word == "undecided"
    assert "no width" in found.why


def test_propensities_that_cannot_be_true_stop_it() -> None:
    log = two_items(0.8)
    found = judge(Logged(log.reward, np.full(4000, 0.25), log.target), SMALL, FEW)
    assert found.word == "undecided"
    assert found.why == "weights are 2 on average, above 1: propensities in the log are not true"


def test_the_direct_method_alone_is_never_enough() -> None:
    with pytest.raises(SpecError, match="policy gate: estimator 'dm' is not allowed; use ips, snips, dr, switch_dr"):
        Rule(estimator="dm")
    with pytest.raises(SpecError, match="policy gate: estimator 'drr' is not allowed"):
        Rule(estimator="drr")
    with pytest.raises(SpecError, match="policy gate: interval 'normal' is not allowed; use bootstrap, bernstein"):
        Rule(interval="normal")


def test_a_model_that_promises_much_without_weight_behind_it_stays_out() -> None:
    """The target shows what the log almost never did: dr is then the model's word, and the sample size says so."""
    rows = 4000
    log = Logged(
        np.zeros(rows),
        np.full(rows, 0.5),
        np.where(np.arange(rows) < 4, 0.5, 0.0),
        np.zeros(rows),
        np.ones(rows),
    )
    found = judge(log, Rule(least_ess=100, most_unsupported=1.0), FEW)
    assert found.word == "undecided"
    assert found.why == "effective sample size 4, fewer than 100; log for longer"


def test_another_policys_log_can_serve_both() -> None:
    """The log is of both items alike; the running policy shows item 0 with 0.9, so 0.8 is worse."""
    log = two_items(0.8)
    action = np.arange(4000) % 2
    running = np.array([0.9, 0.1])[action]
    found = judge(log, SMALL, FEW, running=running)
    assert found.running == pytest.approx(0.9)
    assert found.word == "refused"


def test_a_verdict_is_a_document() -> None:
    for found in (judge(two_items(0.8), SMALL, FEW), judge(Logged(*np.ones((2, 9)), np.full(9, 0.5)), SMALL, FEW)):
        document = json.loads(json.dumps(found.document(), allow_nan=False))
        assert document["verdict"] == found.word
        assert document["ess"] == pytest.approx(found.overlap.ess)


def test_a_policy_that_is_as_good_seldom_passes_and_a_better_one_does() -> None:
    """At 95 % a policy of the same value may pass in 2.5 of 100 draws; in 60 more than 5 would be a fault."""
    world = PlaceWorld.made()
    worst = np.zeros(world.reward.shape)
    np.put_along_axis(worst, np.argsort(world.reward, axis=1)[:, :3], 1 / 3, axis=1)
    worse = 0.9 * worst + 0.1 * world.logging
    low, high = (float((policy * world.reward).sum(axis=1).mean()) for policy in (worse, world.target))
    share = (world.running - low) / (high - low)
    passed = {}
    for name, policy in (
        ("better", world.target),
        ("same", share * world.target + (1 - share) * worse),
        ("worse", worse),
    ):
        candidate = PlaceWorld(world.reward, world.logging, policy)
        draws = [candidate.drawn(4000, seed) for seed in range(60)]
        words = [judge(one.log(one.model()), Rule(least_ess=100), FEW).word for one in draws]
        passed[name] = words.count("passed")
    assert passed["same"] <= 5
    assert passed["worse"] == 0
    assert passed["better"] >= 45


def test_a_log_that_says_too_little_of_the_running_policy_compares_nothing_with_it() -> None:
    """The log hardly shows item 1, which is all that the running policy shows: its weighted mean would be 0."""
    action = (np.arange(4000) % 1000 == 0).astype(int)
    chance = np.array([[1.0, 0.0]])[np.zeros(4000, dtype=int)]
    log = of_actions(action, np.full(4000, 0.5) * (1 - action), np.array([0.999, 0.001])[action], chance)
    found = judge(log, SMALL, FEW, running=(action == 1).astype(float))
    assert found.word == "undecided"
    assert "says too little of the running policy's own choices: effective sample size 4, mean weight 1;" in found.why


def test_few_users_are_too_few_however_many_rows() -> None:
    log = two_items(0.8)
    few = Logged(log.reward, log.propensity, log.target, user=np.arange(4000) % 29)
    assert judge(few, SMALL, FEW).why == "29 users, fewer than 30; log for longer, whatever the rows"
    enough = Logged(log.reward, log.propensity, log.target, user=np.arange(4000) % 31)
    assert judge(enough, SMALL, FEW).word == "passed"


def test_a_verdict_says_what_it_rests_on() -> None:
    said = judge(two_items(0.8), SMALL, FEW).document()
    assert set(said) == {
        "verdict", "why", "by_guard_rails", "running", "estimator", "value", "bootstrap", "bernstein", "difference",
        "ess", "rows", "users", "mean_weight", "largest_weight", "unsupported",
    }  # fmt: skip
    assert (said["rows"], said["users"], said["unsupported"], said["largest_weight"]) == (4000, 4000, 0.0, 1.6)
    few = two_items(0.8)
    just = Logged(few.reward, few.propensity, few.target, user=np.arange(4000) % 30)
    assert judge(just, SMALL, FEW).word == "passed"
