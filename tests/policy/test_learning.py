"""Learning from a log: what it finds is what users like, judged on users that it did not see; bad logs are refused."""

import dataclasses
import json
import math
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from components.policy.evaluation.estimators import Settings
from components.policy.evaluation.gate import Rule
from components.policy.learning import reinforce, reward_model
from components.policy.learning.answers import ABSENT, Answers, LoggedAnswer, halves, joined
from components.policy.learning.judged import LEARNERS, learnt, logged
from components.policy.learning.learned import LearnedHead, conditionals, marginals
from feature_repo.errors import DataError, SpecError
from tests.policy.learning_world import LIKED, PLACES, LearningWorld

EVERY = pytest.mark.parametrize("learner", list(LEARNERS))
FEW = Settings(resamples=200)


@pytest.fixture(scope="module")
def world() -> LearningWorld:
    return LearningWorld.drawn(4000)


@EVERY
def test_what_is_learnt_is_what_users_like(learner: str, world: LearningWorld) -> None:
    head = LEARNERS[learner](world.answers, temperature=0.1, share=1.0)
    direction = np.array(head.weights) / np.linalg.norm(head.weights)
    assert direction @ (LIKED / np.linalg.norm(LIKED)) > 0.97
    running = float(world.answers.reward.mean())
    assert world.value(head) > running + 0.6 * (world.best - running)


@EVERY
def test_the_same_log_and_seed_give_the_same_head(learner: str, world: LearningWorld) -> None:
    some = world.answers.take(np.arange(400))
    one, other = (LEARNERS[learner](some, temperature=0.3, share=1.0, seed=3) for _ in range(2))
    assert one == other


@EVERY
def test_a_head_serves_as_it_was_learnt(learner: str, world: LearningWorld, tmp_path: Path) -> None:
    some = world.answers.take(np.arange(200))
    head = LEARNERS[learner](some, temperature=0.3, share=1.0)
    head.save(tmp_path)
    read = LearnedHead.read(tmp_path)
    assert read == head
    whole = read.values(some.features)
    single = np.stack([head.values(one) for one in some.features])
    assert np.abs(whole - single).max() < 1e-5
    apart = whole - whole.mean(axis=1, keepdims=True)
    assert np.sqrt((apart**2).mean()) == pytest.approx(1.0)


def test_a_better_head_passes_on_users_that_it_did_not_see(world: LearningWorld) -> None:
    found = learnt(world.answers, temperature=0.3, rule=Rule(least_ess=200), settings=FEW)
    assert found.verdict.word == "passed"
    assert found.verdict.estimate is not None
    assert found.verdict.estimate.name == "dr"
    rest = LearningWorld.drawn(4000, seed=9)
    ends = found.verdict.estimate.bootstrap
    assert ends.low <= rest.value(found.head) <= ends.high
    assert set(found.estimates) == {"ips", "snips", "dm", "dr", "switch_dr", "shrunk_dr"}


def test_a_head_that_shows_what_nobody_likes_is_refused(world: LearningWorld) -> None:
    from components.policy.evaluation import gate

    good = reward_model.learn(world.answers, temperature=0.3, share=1.0)
    worst = dataclasses.replace(good, weights=tuple(-weight for weight in good.weights))
    log = logged(world.answers, worst, reward_model.fit(world.answers))
    assert gate.judge(log, Rule(least_ess=200), FEW).word == "refused"


def test_doubly_robust_targets_are_right_with_a_model_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that expects nothing of anything: the propensities alone give each candidate its mean reward."""
    world = LearningWorld.drawn(6000, seed=4)
    nothing = reward_model.RewardModel(np.zeros(3), np.ones(3), np.zeros(3), np.zeros(PLACES), (0.0, 1.0))
    monkeypatch.setattr(reward_model, "fit", lambda answers: nothing)
    found = reward_model.targets(world.answers, most_weight=math.inf)
    truth = world.chance * np.mean([1.0, 0.7, 0.5])
    assert found.mean() == pytest.approx(truth.mean(), rel=0.05)
    likely = world.chance > np.quantile(world.chance, 0.8)
    assert found[likely].mean() == pytest.approx(truth[likely].mean(), rel=0.1)


def test_targets_of_a_user_come_from_a_model_that_did_not_see_him(world: LearningWorld) -> None:
    some = world.answers.take(np.arange(200))
    mine = some.user == some.user[0]
    loud = dataclasses.replace(some, reward=np.where(mine[:, None], 50.0, some.reward))
    before, after = reward_model.targets(some), reward_model.targets(loud)
    unshown = np.ones(some.there.shape, dtype=bool)
    np.put_along_axis(unshown, some.shown, False, axis=1)
    # Corrections are the user's own; what the model expects of the rest is not, but for the bounds of rewards.
    assert np.allclose(before[mine][unshown[mine]], after[mine][unshown[mine]])


def test_the_gradient_is_that_of_the_weighted_reward() -> None:
    some = LearningWorld.drawn(50, seed=2).answers
    weights, baseline = np.array([0.2, -0.1, 0.3]), 0.1

    def worth(at: np.ndarray) -> float:
        logits = some.features @ at
        chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        shown = np.take_along_axis(chance, some.shown, axis=1)
        return float((shown / some.propensity * (some.reward - baseline)).mean())

    steps = np.eye(3) * 1e-6
    expected = [(worth(weights + step) - worth(weights - step)) / 2e-6 for step in steps]
    found = reinforce.gradient(some, some.features, weights, baseline=baseline, correct=False)
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_correction_is_k_times_what_others_leave() -> None:
    """Two candidates of even odds at one of two places: 2 (1 - 1/2) = 1, nothing changes; a sure one counts for 0."""
    one = Answers(
        *(np.array([value]) for value in ("r", "u")),
        features=np.array([[[1.0], [0.0]]]),
        there=np.ones((1, 2), dtype=bool),
        greedy=np.array([[0, 1]]),
        shown=np.array([[0, 1]]),
        propensity=np.array([[0.5, 0.5]]),
        reward=np.array([[1.0, 0.0]]),
    )
    even = np.zeros(1)
    plain, corrected = (reinforce.gradient(one, one.features, even, correct=correct) for correct in (False, True))
    assert corrected == pytest.approx(plain)
    assert plain == pytest.approx([0.5 * 1.0 * 0.5])  # mean over two places of ratio 1, reward, 1 - 1/2
    sure = np.array([30.0])
    assert np.abs(reinforce.gradient(one, one.features, sure)).max() < 1e-9


def test_marginal_probabilities_are_those_of_all_lists() -> None:
    logits = np.log(np.array([[4.0, 2.0, 1.0, 1.0]]))
    exact = np.zeros((3, 4))
    for order in permutations(range(4), 3):
        chance = float(conditionals(logits, np.array([order])).prod())
        for place, item in enumerate(order):
            exact[place, item] += chance
    found = marginals(logits, 3, greedy=np.array([[0, 1, 2]]), draws=20_000)[0]
    assert found[0] == pytest.approx(exact[0])
    assert np.abs(found - exact).max() < 0.01
    assert found.sum(axis=1) == pytest.approx([1, 1, 1])
    mixed = marginals(logits, 3, greedy=np.array([[0, 1, 2]]), share=0.25, draws=20_000)[0]
    assert mixed[0] == pytest.approx(0.25 * exact[0] + 0.75 * np.array([1, 0, 0, 0]))


def test_places_that_a_short_answer_lacks_count_for_nothing() -> None:
    answers = [
        LoggedAnswer("a", "u", 10.0, np.array([[1.0], [2.0]]), (1, 0), (1, 0), (0.5, 0.5)),
        LoggedAnswer("b", "v", 11.0, np.array([[3.0]]), (0,), (0,), (1.0,)),
    ]
    rewards = [
        {"request_id": "a", "position": 1, "reward": 1.0},
        {"request_id": "a", "position": 2, "reward": 0.0},
        {"request_id": "b", "position": 1, "reward": 0.5},
    ]
    found = joined(answers, rewards, now=100.0)
    assert found.shown.tolist() == [[1, 0], [0, ABSENT]]
    assert found.propensity.tolist() == [[0.5, 0.5], [1.0, 1.0]]
    assert found.reward.tolist() == [[1.0, 0.0], [0.5, 0.0]]
    assert found.there.tolist() == [[True, True], [True, False]]
    assert found.filled.tolist() == [[True, True], [True, False]]
    head = LearnedHead("x", (0.0,), (1.0,), (1.0,))
    log = logged(found, head, reward_model.fit(found))
    assert len(log.reward) == 3
    assert log.target.tolist()[2] == 1.0


ANSWER = LoggedAnswer("a", "u", 10.0, np.array([[1.0], [2.0]]), (1,), (1,), (0.5,))
REWARD = {"request_id": "a", "position": 1, "reward": 1.0}


@pytest.mark.parametrize(
    ("answers", "rewards", "said"),
    [
        ([], [REWARD], "policy log: holds no answer of a policy that explores; declare `policy`, serve, and learn"),
        ([ANSWER, ANSWER], [REWARD], "policy log: answer a is logged 2 times"),
        ([ANSWER], [], "none of 1 answers has its rewards yet; wait for the KPI's window to close"),
        ([ANSWER], [REWARD | {"reward": None}], "none of 1 answers has its rewards yet"),
        ([ANSWER], [REWARD, REWARD], "policy rewards: place 1 of answer a is rewarded twice; join the logs once"),
        ([ANSWER], [REWARD | {"at": 101.0}], "policy rewards: place 1 of answer a is of the future .now 100."),
        ([ANSWER], [REWARD | {"at": 9.0}], "policy rewards: place 1 of answer a came before the answer was shown"),
        ([dataclasses.replace(ANSWER, at=200.0)], [REWARD], "policy rewards: place 1 of answer a is of the future"),
        ([ANSWER], [REWARD | {"reward": math.nan}], "place 1 of answer a has reward nan; give a number"),
        ([dataclasses.replace(ANSWER, propensity=(0.0,))], [REWARD], "policy log: propensity 0 of row 0, 0"),
        ([dataclasses.replace(ANSWER, shown=(2,))], [REWARD], "answer a shows what is none of its candidates"),
        ([dataclasses.replace(ANSWER, shown=(-1,))], [REWARD], "answer a shows what is none of its candidates"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(answers: list[LoggedAnswer], rewards: list[dict], said: str) -> None:
    with pytest.raises(DataError, match=said):
        joined(answers, rewards, now=100.0)


def test_one_user_alone_cannot_be_split() -> None:
    with pytest.raises(DataError, match="holds 1 user; at least 2 are needed, to learn from one and judge by another"):
        halves(np.array(["u", "u"]), share=0.6)
    learns, judges = halves(np.array(["a", "b", "a", "c", "b"]), share=0.6)
    assert sorted([*learns, *judges]) == [0, 1, 2, 3, 4]
    users = np.array(["a", "b", "a", "c", "b"])
    assert not set(users[learns]) & set(users[judges])


def test_a_learner_that_is_not_here_is_refused(world: LearningWorld) -> None:
    with pytest.raises(SpecError, match="policy learner 'reenforce': have reward_model, reinforce; did you mean"):
        learnt(world.answers, "reenforce")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [1.0, 2.0]}, "2 weights for 3 features"),
        ({"scale": [1.0, 0.0, 1.0]}, "a scale of 0"),
        ({"weights": [1.0, math.nan, 1.0]}, "not finite"),
        ({"temperature": 0.0}, "temperature 0.0 must be above 0"),
        ({"share": 1.5}, "share 1.5 0 to 1"),
        ({"format": 2}, "is no policy of format 1; learn the policy again"),
        ({"more": 1}, "is no policy of format 1"),
    ],
)
def test_a_damaged_policy_is_refused(change: dict, said: str, tmp_path: Path) -> None:
    LearnedHead("x", (0.0,) * 3, (1.0,) * 3, (1.0,) * 3).save(tmp_path)
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=said):
        LearnedHead.read(tmp_path)
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        LearnedHead.read(tmp_path)


def test_features_that_a_head_does_not_read_are_refused() -> None:
    head = LearnedHead("x", (0.0,), (1.0,), (1.0,))
    with pytest.raises(DataError, match="reads 1 features, and candidates have 2"):
        head.values(np.zeros((4, 2)))


def test_what_is_left_keeps_its_odds_however_far_below_the_first_it_is() -> None:
    """Odds of exp(-900) are 0 as numbers: at the second place they were, and nothing was said to be shown there."""
    logits = np.array([[900.0, 1.0, 0.0, -np.inf]])
    found = marginals(logits, 2, greedy=np.array([[0, 1]]))
    assert found[0, 0].tolist() == [1, 0, 0, 0]
    assert found[0, 1].tolist() == pytest.approx([0, np.e / (1 + np.e), 1 / (1 + np.e), 0])
