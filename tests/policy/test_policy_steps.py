"""From a state folder's logs to a verdict: the steps of the pipeline `policy` on a log as a door writes it."""

import datetime as dt
import json
import re
from pathlib import Path

import numpy as np
import pytest

from components.policy import reward_table, steps
from components.policy.choice import Ask, Bounds
from components.policy.learning import log_lines
from components.policy.learning.answers import Answers
from components.policy.learning.learned import LearnedHead
from components.policy.policies.learned import Learned
from components.policy.rewards import Rewarded
from components.policy.spec import PolicySlice
from feature_repo import columns, env_names
from feature_repo.errors import DataError, SpecError
from pipelines.graphs import policy_log
from tests.pipelines.key_changes import NEW, OLD, new, old
from tests.policy.explored import ITEMS, KPI, SCORES, SPEC, START, kept, learnt, lines, rewarded, shipped, slice_of


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(env_names.HOME, str(tmp_path))
    return tmp_path


def test_a_log_gives_a_policy_that_shows_what_users_like(home: Path) -> None:
    kept(home, lines(1500))
    passed, candidate, verdict = learnt(home, slice_of())
    assert passed
    assert candidate["name"] == "learned@1"
    assert verdict["verdict"] == "passed"
    assert verdict["value"] > verdict["running"]
    policy = Learned(**{k: tuple(v) if isinstance(v, list) else v for k, v in candidate["slice"]["settings"].items()})
    worth = policy.values(Ask.of(SCORES, 2), np.random.default_rng(0), 1)[0]
    assert worth.argmax() == len(ITEMS) - 1, "users like what the ranker puts last"
    assert candidate["slice"]["name"] == "learned@1"
    assert candidate["slice"]["guard"] == {}
    assert set(verdict["estimates"]) == {"ips", "snips", "dm", "dr", "switch_dr", "shrunk_dr"}
    page = (home / "page.md").read_text()
    assert page.startswith("# Policy: passed\n\nIts lower bound ")
    assert "| dm (never enough alone) |" in page
    assert re.search(r"\| switch_dr \(tau (\d+|inf)\) \|", page)
    assert "parameter" in verdict["estimates"]["shrunk_dr"]
    assert "parameter" not in verdict["estimates"]["dr"]
    head = LearnedHead.read(home / "learned")
    assert head.policy(candidates=len(ITEMS)) == policy


def test_a_store_that_doors_ship_to_is_read_in_place_of_the_state_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster no pod has a rewards table: the same rewards are made of what was shipped."""
    logged = lines(200)
    bought = {f"r{row}" for row in range(0, 200, 3)}
    shipped(home / "store", logged, bought=bought)
    monkeypatch.setenv(env_names.REQUESTS_URL, str(home / "store"))
    steps.gather(slice_of(), "a", folder=str(home / "rows"))
    found = log_lines.read(home / "rows")
    assert found is not None
    assert found.reward.shape == (200, 2)
    assert found.reward[:, 0].tolist() == [float(row % 3 == 0) for row in range(200)]
    assert not found.reward[:, 1].any()

    kept(home, logged, table=False)
    made = [Rewarded(line, {"purchase": [float(line[columns.REQUEST_ID] in bought), 0.0]}) for line in logged]
    reward_table.write(home, made, [KPI])
    monkeypatch.delenv(env_names.REQUESTS_URL)
    steps.gather(slice_of(), "a", folder=str(home / "here"))
    here = log_lines.read(home / "here")
    assert here is not None
    for name in ("reward", "user"):
        assert np.array_equal(getattr(found, name), getattr(here, name))


def test_a_purchase_after_a_change_of_the_key_rewards_an_answer_before_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pods' logs know a person by two names until the change is complete; the source tells which these are."""
    users = [f"u{row}" for row in range(97)]
    logged = [line | {columns.USER_ID: old(line[columns.USER_ID])} for line in lines(200)]
    back = {old(user): new(user) for user in users}
    later = logged[150:]
    for line in later:
        line[columns.USER_ID] = back[line[columns.USER_ID]]
    bought = {f"r{row}" for row in range(0, 200, 3)}
    shipped(home / "store", logged, bought=bought, name=lambda user: back.get(user, user))
    monkeypatch.setenv(env_names.REQUESTS_URL, str(home / "store"))
    monkeypatch.setenv(env_names.PSEUDONYM_KEY, NEW)
    monkeypatch.setattr("components.data.new_names.everyone", lambda data, base: users)
    data = json.dumps({"source": {"type": "synthetic"}, "timezone": "UTC", "horizon": 2})

    def gathered(folder: str) -> Answers:
        policy_log.gather(slice_of(), "a", data=data, folder=str(home / folder))
        found = log_lines.read(home / folder)
        assert found is not None
        return found

    blind = gathered("blind")
    assert blind.reward.sum() == len([row for row in range(150, 200) if row % 3 == 0]), "two names are two people"
    monkeypatch.setenv(env_names.PREVIOUS_PSEUDONYM_KEYS, OLD)
    found = gathered("rows")
    assert found.reward[:, 0].tolist() == [float(row % 3 == 0) for row in range(200)]
    assert not found.reward[:, 1].any()
    assert (len({*blind.user}), len({*found.user})) == (97 + 50, 97)


def test_an_empty_store_and_a_kpi_that_nothing_shipped_carries_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(env_names.REQUESTS_URL, str(home / "store"))
    with pytest.raises(DataError, match=r"policy log: .*store holds no answer; .*or have doors ship it"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))
    shipped(home / "store", lines(20), bought={"r1"})
    other = [{"name": "like", "event": ["like"], "within": "1h"}]
    with pytest.raises(DataError, match="like"):
        steps.gather(slice_of(rewards=other), "a", folder=str(home / "rows"))


def test_a_dry_run_judges_and_registers_nothing(home: Path) -> None:
    kept(home, lines(1500))
    passed, _, verdict = learnt(home, slice_of(), mode="dry_run")
    assert (passed, verdict["verdict"]) == (False, "passed")


def test_an_artifact_names_nobody_and_reads_back(home: Path) -> None:
    bounds = Bounds(caps=((1, (0, 1, 2)),))
    kept(home, lines(60, bounds=bounds))
    steps.gather(slice_of(), "a", folder=str(home / "rows"))
    files = {path.name: path.read_bytes() for path in (home / "rows").iterdir()}
    assert set(files) == {"answers.npz", "asks.json", "counts.json", "running.json"}
    found = log_lines.read(home / "rows")
    assert found is not None
    assert found.user.dtype.kind == "i"
    assert found.asks is not None
    assert found.asks[0].bounds == bounds
    assert b"u17" not in b"".join(files.values())
    assert b"i3" not in files["asks.json"]


def test_rules_bound_what_a_candidate_is_judged_to_show(home: Path) -> None:
    """At most one of the last three: however much it likes them, two of them are never together."""
    from components.policy.learning.judged import chances

    kept(home, lines(60, bounds=Bounds(caps=((1, (3, 4, 5)),))))
    steps.gather(slice_of(), "a", folder=str(home / "rows"))
    answers = log_lines.read(home / "rows")
    assert answers is not None
    head = LearnedHead("x", (0.0, 0.0), (1.0, 1.0), (-1.0, 0.0), temperature=0.05)
    found = chances(answers.take(np.arange(2)), head)
    assert found[0, :, 3:].sum() == pytest.approx(1.0, abs=1e-3)
    assert found.sum(axis=2) == pytest.approx(np.ones((2, 2)))


def test_a_greedy_log_lets_the_first_explorer_in_by_its_guard_rails_alone(home: Path) -> None:
    kept(home, lines(50, greedy=True), table=False)
    without, candidate, verdict = learnt(home, slice_of())
    assert (without, verdict["verdict"]) == (False, "undecided")
    assert "the log is greedy" in verdict["why"]
    assert (verdict["value"], verdict["running"]) == (None, None)
    railed, candidate, verdict = learnt(home, slice_of(guard={"share": 0.1}))
    assert (railed, verdict["by_guard_rails"]) == (True, True)
    assert "it enters by its guard rails (10 % of answers at most)" in verdict["why"]
    assert candidate["name"] == "softmax@1"
    assert candidate["slice"]["guard"]["share"] == 0.1


def test_answers_that_rails_kept_greedy_are_not_learnt_from(home: Path) -> None:
    logged = lines(40)
    kept_greedy = [line | {columns.REQUEST_ID: f"g{n}"} for n, line in enumerate(lines(10, share=0.0))]
    kept(home, logged + kept_greedy)
    steps.gather(slice_of(), "a", folder=str(home / "rows"))
    found = log_lines.read(home / "rows")
    assert found is not None
    assert len(found.reward) == 40
    assert json.loads((home / "rows" / "counts.json").read_text()) == {"explored": 40, "railed": 10}


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("", "policy: is absent, so that nothing is explored and nothing can be learnt; declare one"),
        (PolicySlice(name="greedy").model_dump_json(), "policy.name: 'greedy' explores nothing that could be learnt"),
        (PolicySlice(name="softmax").model_dump_json(), "policy.rewards: is empty, so that no answer has a reward"),
    ],
)
def test_a_policy_that_leaves_nothing_to_learn_from_is_refused(policy: str, said: str, home: Path) -> None:
    with pytest.raises(SpecError, match=said):
        steps.gather(policy, "a", folder=str(home / "rows"))
    assert not (home / "rows").exists()


def test_a_policy_without_a_log_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match="requests holds no answer; a policy is learnt from what was shown: serve first"
    ):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))
    kept(home, lines(5), table=False)
    with pytest.raises(DataError, match=r"rewards.parquet: no such file; make it with `intentflow rewards SPEC`"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))
    monkeypatch.delenv(env_names.HOME)
    with pytest.raises(DataError, match="names no state folder; learn where the logs lie"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))
    assert not (home / "rows").exists()


def test_a_propensity_of_nothing_is_refused_by_name(home: Path) -> None:
    logged = lines(5)
    kept(home, logged)
    logged[3]["items"][1]["propensity"] = 0.0
    (home / columns.REQUESTS_FOLDER / "2026-11-01.00001.jsonl").write_text(
        "".join(json.dumps(x) + "\n" for x in logged)
    )
    with pytest.raises(DataError, match=r"request r3: propensity 0.0 of item 'i\d' at place 2"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))


def test_answers_of_the_future_are_refused(home: Path) -> None:
    logged = lines(5)
    logged[2]["logged_at"] = "2999-01-01T00:00:00+00:00"
    kept(home, logged)
    with pytest.raises(DataError, match="policy rewards: place 1 of answer r2 is of the future"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))


def test_rewards_that_are_not_known_yet_are_waited_for(home: Path) -> None:
    logged = lines(5)
    kept(home, logged, table=False)
    reward_table.write(home, [Rewarded(line, {"purchase": [None, 0.0]}) for line in logged], [KPI])
    with pytest.raises(DataError, match="none of 5 answers has its rewards yet; wait for the KPI's window to close"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))


def test_no_spec_names_a_policy_whose_weights_it_lacks() -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError):
        PolicySlice.model_validate(SPEC | {"name": "learned"})


LATER = START + dt.timedelta(days=9)
LAST_FIRST = Learned(weights=(-1.0, 0.0), temperature=0.4, candidates=len(ITEMS))  # shows what users like


def test_what_is_learnt_is_compared_with_the_policy_that_serves_and_with_no_other_one_of_the_log(home: Path) -> None:
    """What serves shows the last items already; the mean of the log with the explorer before it is far lower."""
    old, now = lines(1500), lines(900, policy=LAST_FIRST, release="b", begins=LATER)
    kept(home, old + now)
    rows, folder = home / "rows", home / "learned"
    steps.gather(slice_of(), "b", folder=str(rows))
    assert json.loads((rows / "counts.json").read_text()) == {"explored": 900, "other": 1500}
    assert json.loads((rows / "running.json").read_text())["policy"] == "learned@1"
    passed = steps.learn(slice_of(), log=str(rows), mode="auto", folder=str(folder), report=str(home / "page.md"))
    _, verdict = steps.read_candidate(folder)
    rng = np.random.default_rng(0)
    every = [rewarded(line, rng, likes_last=True).rewards["purchase"] for line in old + now]
    assert verdict["running"] == pytest.approx(np.mean(every[1500:]), abs=0.03)
    assert verdict["running"] > np.mean(every) + 0.05
    assert (passed, verdict["verdict"]) == (False, "undecided"), verdict["why"]


def test_an_explorer_that_does_not_serve_is_no_measure_of_what_is_better(home: Path) -> None:
    """Users like what greedy shows: what beats an explorer of random lists is worse than what serves all the same."""
    kept(home, lines(1500) + lines(20, greedy=True, release="b", begins=LATER), likes_last=False)
    rows, folder = home / "rows", home / "learned"
    found = {}
    for release in ("a", "b"):
        steps.gather(slice_of(), release, folder=str(rows))
        policy = slice_of(learn={"least_ess": 50, "temperature": 0.8})
        steps.learn(policy, log=str(rows), mode="auto", folder=str(folder), report=str(home / "page.md"))
        found[release] = steps.read_candidate(folder)[1]
    assert found["a"]["verdict"] == "passed", "better than lists at random"
    assert found["a"]["running"] < 0.5 < found["b"]["running"]
    assert found["b"]["verdict"] != "passed", "what serves is better"
    assert found["b"]["running"] == pytest.approx((0.7 + 0.58) / 2, abs=0.15), "weighted from the explorer's answers"


def test_a_release_that_answered_nothing_is_no_measure(home: Path) -> None:
    nobody = lines(1, release="c")[0] | {"items": [], "asked": {}}  # a session of nobody: its line says of no choice
    kept(home, [*lines(40), nobody], table=False)
    reward_table.write(home, [rewarded(line, np.random.default_rng(0), likes_last=True) for line in lines(40)], [KPI])
    with pytest.raises(DataError, match="release c, which serves, has logged no answer among 41"):
        steps.gather(slice_of(), "c", folder=str(home / "rows"))
    with pytest.raises(DataError, match=r"none of 40 answers that explored is of softmax@1, .* policy.candidates: 9;"):
        steps.gather(slice_of(candidates=9), "a", folder=str(home / "rows"))
    assert not (home / "rows").exists()


def test_a_request_id_that_is_used_again_is_one_answer_as_in_the_table(home: Path) -> None:
    logged = lines(40)
    kept(home, [*logged, logged[3] | {"logged_at": LATER.isoformat()}, logged[4] | {"mirrored": True}], table=False)
    rng = np.random.default_rng(0)
    reward_table.write(home, [rewarded(line, rng, likes_last=True) for line in logged], [KPI])
    steps.gather(slice_of(), "a", folder=str(home / "rows"))
    assert json.loads((home / "rows" / "counts.json").read_text()) == {"explored": 40}


def test_rewards_of_other_kpis_than_the_specs_are_refused(home: Path) -> None:
    kept(home, lines(40))
    changed = {**SPEC["rewards"][0], "weight": 2.0}
    with pytest.raises(DataError, match=r"rewards.parquet: was made by other KPIs than policy.rewards declares"):
        steps.gather(slice_of(rewards=[changed]), "a", folder=str(home / "rows"))


def test_a_few_users_are_too_few_whatever_they_do(home: Path) -> None:
    kept(home, lines(1500, users=9))
    _, _, verdict = learnt(home, slice_of())
    assert (verdict["verdict"], verdict["users"]) == ("undecided", 4)
    assert verdict["why"].startswith("4 users, fewer than 30")


def test_rails_that_spare_some_let_no_explorer_in_among_the_others(home: Path) -> None:
    kept(home, lines(50, greedy=True), table=False)
    for guard in ({"placements": ["checkout"]}, {"cohorts": ["new"]}, {"per_user_day": 1.0}):
        assert learnt(home, slice_of(guard=guard))[2]["verdict"] == "undecided"
    assert learnt(home, slice_of(guard={"floor": 0.9, "placements": ["checkout"]}))[2]["verdict"] == "passed"


def test_lines_of_an_explorer_that_say_of_no_choice_are_refused(home: Path) -> None:
    kept(home, [line | {"asked": {}} for line in lines(3)], table=False)
    with pytest.raises(DataError, match="release a shows by softmax@1, and none of its 3 answers says how it chose"):
        steps.gather(slice_of(), "a", folder=str(home / "rows"))
