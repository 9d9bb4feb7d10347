"""A run's last page says in sentences how it ended: nothing that was not asked, and a refusal in its first line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import run_lock
from components.step import step
from feature_repo import env_names, files
from feature_repo.errors import Refused, SpecError
from monitoring.runs import failure
from monitoring.runs.outcome import outcome
from monitoring.runs.page import Links, page, plain
from monitoring.runs.run_state import RunState, run_state

DATA = {"rows": {"events": 1920, "users": 40}, "first": "2024-01-01T00:00:00+00:00", "last": "2024-04-21", "weeks": 16}
BETTER = {"metric": "NDCG@10", "value": 0.30, "baseline": "personal_frequency", "other": 0.25, "interval": [0.03, 0.07]}
UNSURE = {"metric": "MAP", "value": 0.31, "baseline": "decayed_rate", "other": 0.30, "interval": [-0.01, 0.03]}
REGISTER = {
    "data": DATA,
    "compared": {"intent": UNSURE, "ranking": BETTER},
    "passed": True,
    "gates": 2,
    "refused": [],
    "undecided": [],
    "skipped": ["intent.map: no champion to compare with"],
    "release": {"id": "c58", "version": "5", "created": True},
    "champion": "4",
}
STABLE = {"verdict": "stable", "reason": "0 of 3 columns drifted", "workspace": {"project": "p1", "run": "r1"}}
PROMOTED = {"champion": "5", "moved": True, "note": "champion 4 -> 5", "mode": "auto"}
LINKS = Links("https://mlflow.example/", "https://evidently.example")


def _page(pipeline: str = "train", *, links: Links = LINKS, **facts: Any) -> str:
    return page("shop", pipeline, RunState("ended", facts), links).markdown


def test_a_release_that_serves_is_said_with_its_data_its_gain_and_links() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and serves\n")
    assert "[version 5 of shop-release](https://mlflow.example/#/models/shop-release/versions/5)" in text
    assert "trained and judged on 1,920 events of 40 users from 2024-01-01 to 2024-04-21 (16 weeks)" in text
    assert "better by 0.0500 (95 % interval +0.0300 to +0.0700)" in text
    assert "which is better is undecided, +0.0100 (95 % interval -0.0100 to +0.0300)" in text
    assert "Every gate passed (2)." in text
    assert "- intent.map: no champion to compare with" in text
    assert "[Evidently's report](https://evidently.example/projects/p1/reports/r1)" in text
    assert "It is the champion now" in text


LEARNT = {"passed": True, "verdict": "passed", "why": "its lower bound 0.3 is above 0.2", "mode": "auto"}


def test_a_policy_that_passed_is_said_with_its_release() -> None:
    made = {"version": "6", "release": "c59"}
    text = _page("policy", learn_policy=LEARNT, register_policy=made, promote=PROMOTED | {"champion": "6"})
    assert text.startswith("# shop: policy passed, version 6 serves\n")
    assert "The policy is passed: its lower bound 0.3 is above 0.2." in text
    assert "versions/6), which is the champion." in text
    waits = _page("policy", learn_policy=LEARNT, register_policy=made, promote={"champion": "5", "note": "by hand"})
    assert waits.startswith("# shop: policy passed, version 6 waits\n")
    assert "which waits: by hand." in waits


def test_a_policy_that_did_not_pass_changes_nothing() -> None:
    text = _page("policy", learn_policy=LEARNT | {"passed": False, "verdict": "refused", "why": "it is worse"})
    assert text.startswith("# shop: policy refused\n")
    assert "What serves stays as it is." in text
    assert "a dry run" in _page("policy", learn_policy=LEARNT | {"mode": "dry_run"})


def test_a_release_whose_intent_model_was_compressed_says_which_was_taken_and_why() -> None:
    why = "The full intent model was taken (200 KiB): the compressed one (50 KiB) was refused: mAP 0.2 against 0.3"
    text = _page(register=REGISTER | {"compression": why}, promote=PROMOTED)
    assert f"\n\n{why}.\n\n" in text
    assert "intent model was taken" not in _page(register=REGISTER, promote=PROMOTED)


def test_a_refused_release_is_seen_in_the_first_line_and_names_who_serves() -> None:
    refused = REGISTER | {"passed": False, "refused": ["intent.map 0.3 is below 0.4"]}
    text = _page(register=refused, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates\n")
    assert "1 of 2 gates refused:\n\n- intent.map 0.3 is below 0.4" in text
    assert "The champion stays [version 4 of shop-release]" in text
    assert "Next: change data, models or gates" in text
    assert "It is the champion" not in text


def test_an_undecided_release_is_not_called_refused_and_the_page_says_what_would_tell() -> None:
    why = "intent.map 0.3 is not clearly at least nor below 0.3"
    open_ = REGISTER | {"passed": False, "verdict": "undecided", "undecided": [why], "champion": ""}
    text = _page(register=open_, watch=STABLE)
    assert text.startswith("# shop: version 5 undecided by its gates\n")
    assert f"1 of 2 gates could not tell:\n\n- {why}" in text
    assert "No release is the champion yet." in text
    assert "Undecided is not passed" in text
    for words in ("refused", "stays", "Every gate passed", "Next: change"):
        assert words not in text
    both = open_ | {"verdict": "refused", "refused": ["intent.ece 0.5 is above 0.02"]}
    assert _page(register=both, watch=STABLE).startswith("# shop: version 5 refused by its gates\n")
    dry = _page(register=open_ | {"release": None}, watch=STABLE)
    assert dry.startswith("# shop: dry run, gates undecided\n")


def test_where_nobody_serves_a_baseline_does_and_the_first_line_says_so() -> None:
    why = "ranking.ndcg_at_10 0.3 is below the baseline's 0.4; promotion.gates[1]"
    refused = REGISTER | {"passed": False, "refused": [why], "champion": ""}
    made = {"version": "6", "release": "c59", "baselines": {"ranking": "item_knn"}}
    served = {"champion": "6", "moved": True, "note": "champion nobody -> 6"}
    text = _page(register=refused, register_baseline=made, promote=served, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates; the baseline, version 6, serves\n")
    assert f"- {why}" in text
    assert (
        "No champion was there, so a baseline serves: [version 6 of shop-release](https://mlflow.example/#/models/"
        "shop-release/versions/6), with `item_knn` in the ranker's place and the intent model, whose own gates passed. "
        "No gate judged it. A candidate that passes its gates replaces it."
    ) in text
    assert "Next: change data, models or gates" in text
    assert "The champion stays" not in text
    waits = served | {"champion": "", "moved": False, "note": "version 6 waits as challenger"}
    text = _page(register=refused, register_baseline=made, promote=waits, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates; the baseline, version 6, waits\n")
    assert "`intentflow promote --version 6` lets it" in text
    both = made | {"baselines": {"intent": "decayed_rate", "ranking": "item_knn"}}
    text = _page(register=refused, register_baseline=both, promote=served, watch=STABLE)
    assert "with `decayed_rate` in the intent model's place and `item_knn` in the ranker's place. No gate" in text


def test_the_champion_that_a_stricter_gate_refuses_stays_and_the_page_says_so() -> None:
    refused = REGISTER | {"passed": False, "refused": ["too slow"], "champion": "5"}
    text = _page(register=refused, watch=STABLE)
    assert text.startswith("# shop: version 5 refused by its gates\n")
    assert "It is the champion all the same" in text
    assert "serves as soon as" not in text


def test_a_release_that_served_before_is_not_said_to_have_moved() -> None:
    again = PROMOTED | {"moved": False, "note": "version 5 is the champion already"}
    text = _page(register=REGISTER, promote=again, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and serves\n")
    assert "It was the champion already, and serves" in text


def test_a_release_that_waits_names_the_command_that_promotes_it() -> None:
    waits = {"champion": "4", "moved": False, "note": "version 5 waits as challenger; promote it by hand"}
    text = _page(register=REGISTER, promote=waits, watch=STABLE)
    assert text.startswith("# shop: version 5 passed and waits\n")
    assert "`intentflow promote --version 5`" in text


def test_a_refit_that_serves_is_said_with_what_was_judged() -> None:
    judged = {"id": "c58", "version": "5", "weeks": {"intent": [5, 20], "ranking": [13, 20]}}
    made = {"release": {"id": "d69", "version": "6", "created": True}, "judged": judged}
    text = _page(register=REGISTER, register_refit=made, promote=PROMOTED | {"champion": "6"}, watch=STABLE)
    assert text.startswith("# shop: version 6 passed and serves\n")
    assert "The figures and gates are of [version 5 of shop-release]" in text
    assert "refitted on all complete weeks, 5 to 20, under the same spec, code and seed" in text
    assert "refit" not in _page(register=REGISTER, register_refit={}, promote=PROMOTED, watch=STABLE)


def test_a_dry_run_registers_nothing_and_says_so() -> None:
    text = _page(register=REGISTER | {"release": None}, watch=STABLE | {"workspace": None})
    assert text.startswith("# shop: dry run, gates passed\n\nNothing was registered: a dry run. It was trained")
    assert "The page `drift_page` of `watch` shows each column." in text


def test_without_drift_nothing_is_said_of_gates_that_were_not_asked() -> None:
    text = _page("retrain", watch=STABLE, admit={"note": "weekly look"})
    assert text.startswith(
        "# shop: nothing trained\n\nNothing was trained, because no drift asks for it: 0 of 3 columns"
    )
    assert "Note of this run: weekly look" in text
    for word in ("gate", "passed", "version"):
        assert word not in text
    for nothing in ({"verdict": "undecided", "compared": 0}, {"verdict": "no_data"}):  # of today, and of 0.1
        sparse = _page("retrain", watch=STABLE | nothing | {"reason": "9 rows, 100 are needed"})
        assert "because the data cannot tell whether it drifted: 9 rows, 100 are needed." in sparse
        assert "shows each column" not in sparse
    narrow = _page("retrain", watch=STABLE | {"verdict": "undecided", "compared": 3, "reason": "2 undecided"})
    assert "Evidently's report" in narrow


def test_scoring_names_the_release_and_counts_users() -> None:
    chosen = {"which": "champion", "version": "4", "release": "c57"}
    text = _page("batch", champion=chosen, recommend={"users": 2467, "items": 24670, "k": 10})
    assert text.startswith("# shop: scored 2,467 users\n")
    assert "from [version 4 of shop-release]" in text
    assert _page("batch", champion=chosen).startswith("# shop: scored before\n")


def test_addresses_that_nobody_named_make_no_link() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, links=Links())
    assert "version 5 of shop-release" in text
    assert "The page `drift_page` of `watch` shows each column." in text
    assert "](" not in text
    assert plain(_page(register=REGISTER, promote=PROMOTED, watch=STABLE)).startswith(
        "shop: version 5 passed and serves\n"
    )


def test_the_pages_that_the_docs_show_are_written_so() -> None:
    shown = Path("docs/kubeflow-runs.md").read_text()
    refused = REGISTER | {"passed": False, "refused": ["intent.map 0.3 is below 0.4"]}
    failed = RunState("failed", {}, "validate", 3, "contract: events need at least 1,000 rows, have 7")
    for text in (_page(register=refused, watch=STABLE), page("shop", "train", failed, LINKS).markdown):
        assert f"```text\n{text}```" in shown


BEGAN, ENDED = {"step": "watch", "share": 0.0}, {"step": "watch", "share": 1.0, "seconds": 2}


def _line(name: str, **facts: Any) -> dict[str, Any]:
    return {"step": name, "share": 1.0, "seconds": 1, "facts": facts}


DRIFTED = _line("watch", verdict="drifted")


@pytest.mark.parametrize(
    ("pipeline", "lines", "whole", "state"),
    [
        ("train", [], False, "unknown"),
        ("train", [_line("register", passed=True)], False, "under way"),
        ("train", [BEGAN, ENDED], False, "ended"),
        ("train", [BEGAN], False, "stopped"),
        ("train", [BEGAN, BEGAN, ENDED], False, "ended"),  # a pod was evicted, and the step tried again
        ("train", [], True, "ended"),
        ("retrain", [_line("watch", verdict="stable")], False, "ended"),
        ("retrain", [_line("watch", verdict="drifted")], False, "under way"),
        ("retrain", [_line("watch", verdict="undecided")], False, "ended"),
        ("retrain", [_line("watch", verdict="lost")], False, "under way"),  # until `decide` fails
        ("retrain", [_line("watch", verdict="drifted"), _line("register", passed=False)], False, "ended"),
        ("retrain", [_line("watch", verdict="drifted"), _line("register", passed=True)], False, "under way"),
        ("retrain", [DRIFTED, _line("register", passed=False), _line("need_baseline", wanted=False)], False, "ended"),
        (
            "retrain",
            [DRIFTED, _line("register", passed=False), _line("need_baseline", wanted=True)],
            False,
            "under way",
        ),
        ("policy", [_line("policy_log")], False, "under way"),
        ("policy", [_line("learn_policy", passed=False, mode="auto")], False, "ended"),
        ("policy", [_line("learn_policy", passed=True, mode="auto")], False, "under way"),
        ("policy", [_line("learn_policy", passed=True, mode="dry_run")], False, "ended"),
        ("policy", [_line("learn_policy", passed=True, mode="auto"), _line("promote")], False, "ended"),
        ("batch", [_line("champion")], False, "under way"),
        ("batch", [_line("champion"), _line("recommend", users=1)], False, "ended"),
    ],
)
def test_how_far_a_run_is_follows_from_what_its_steps_said(
    pipeline: str, lines: list[dict[str, Any]], whole: bool, state: str
) -> None:
    assert run_state(pipeline, lines, {}, whole=whole).state == state


def test_a_reason_that_a_later_try_outlived_is_no_failure() -> None:
    error = {"step": "watch", "code": 1, "message": "the server was away"}
    assert run_state("train", [BEGAN], error, whole=False).state == "failed"
    assert run_state("train", [BEGAN, BEGAN, ENDED], error, whole=False).state == "ended"


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pod of run-7 on a state folder that pods share."""
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_RUN", "run-7")
    for name in ("INTENTFLOW_ERROR_FILE", "INTENTFLOW_PROGRESS_FILE", "MLFLOW_TRACKING_URI", failure.ALERT_URL):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was sent to the webhook."""
    found: list[dict[str, Any]] = []
    monkeypatch.setenv(failure.ALERT_URL, "http://127.0.0.1:9/hook")
    monkeypatch.setattr(failure, "_post", lambda url, body: found.append(body))
    return found


def _outcome(pod: Path, pipeline: str = "train") -> tuple[str, str]:
    word = outcome("shop", pipeline, page=str(pod / "page.md"), metadata={})
    return word, (pod / "page.md").read_text()


def test_the_last_step_runs_after_each_other_and_tells_of_a_failure_once(pod: Path, told: list[Any]) -> None:
    run_lock.take("shop")
    with step("admit") as progress:
        progress.tell(note="after the sale")
    assert _outcome(pod)[0] == "under way"
    assert told == []
    with pytest.raises(Refused), step("validate"):
        raise Refused("contract: events need at least 1,000 rows, have 7")
    word, text = _outcome(pod)
    assert word == "failed at validate"
    assert text.startswith("# shop: failed at validate\n")
    assert "refused the data: contract: events need at least 1,000 rows, have 7" in text
    assert "Look at the step's page" in text
    (sent,) = told
    assert (sent["step"], sent["code"], sent["run"]) == ("validate", 3, "run-7")
    assert "failed" in files.read_json(pod / "marks" / "job.train.json")
    assert not (pod / run_lock.FILE).exists()


def test_a_step_that_was_killed_is_named_though_it_said_nothing(pod: Path, told: list[Any]) -> None:
    (pod / "progress").mkdir()
    (pod / "progress" / "run-7.jsonl").write_text(json.dumps({"step": "train_intent", "share": 0.0, "note": ""}) + "\n")
    word, text = _outcome(pod)
    assert word == "stopped at train_intent"
    assert "too little memory or time" in text
    assert [one["step"] for one in told] == ["train_intent"]


def test_the_end_of_a_run_is_marked_and_nobody_is_told(pod: Path, told: list[Any]) -> None:
    with step("watch") as progress:
        progress.tell(**STABLE)
    word, _text = _outcome(pod, "retrain")
    assert (word, told) == ("nothing trained", [])
    assert "succeeded" in files.read_json(pod / "marks" / "job.retrain.json")


def test_a_dry_run_is_told_of_on_its_page_and_in_the_log_alone(
    pod: Path, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with step("admit") as progress:
        progress.tell(mode="dry_run", note="")
    with step("watch") as progress:
        progress.tell(**STABLE)
    assert _outcome(pod, "retrain")[0] == "nothing trained"
    with pytest.raises(Refused), step("validate"):
        raise Refused("contract: events need at least 1,000 rows, have 7")
    caplog.clear()
    word, text = _outcome(pod)
    assert word == "failed at validate"
    assert "contract: events need at least 1,000 rows, have 7" in text
    assert told == []
    assert not (pod / "marks").exists()
    said, line = (json.loads(message) for message in caplog.messages)
    assert said["step"] == "validate"
    assert (line["step"], line["state"], line["outcome"]) == ("outcome", "failed", "failed at validate")


def test_a_dry_run_that_its_first_step_refuses_alerts_nobody_either(pod: Path, told: list[Any]) -> None:
    from pipelines.graphs.admission import admit

    for document, mode in (({"promotion": {"mode": "dry_run"}}, ""), ({}, "dry_run")):
        with pytest.raises(SpecError):
            admit("shop", document, mode=mode, which="", k=0, note="")
        assert _outcome(pod)[0] == "failed at admit"
    assert (told, (pod / "marks").exists()) == ([], False)
    with pytest.raises(SpecError):
        admit("shop", [], mode="auto", which="", k=0, note="")
    assert _outcome(pod)[0] == "failed at admit"
    assert [one["step"] for one in told] == ["admit"]


def test_where_pods_share_no_folder_the_page_says_what_it_cannot_know(pod: Path, told: list[Any]) -> None:
    word, text = _outcome(pod)
    assert word == "steps say nothing here"
    assert "kubeflow.claim" in text
    assert told == []


def test_links_come_from_the_environment(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env_names.LINKS, json.dumps({"mlflow": "https://mlflow.example"}))
    with step("register") as progress:
        progress.tell(**REGISTER)
    with step("watch") as progress:
        progress.tell(**STABLE)
    assert "https://mlflow.example/#/models/shop-release/versions/5" in _outcome(pod)[1]


def _calls() -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
    """What the shells of pipelines that 0.1 compiled call in this image, and with which arguments."""
    from components.registry import steps as registry
    from monitoring import steps as monitoring
    from monitoring.runs import outcome as outcomes

    return [
        ("conclude", outcomes.conclude, ("name", "folders", "facts", "page")),
        ("report_failure", failure.report, ("name", "pipeline", "state", "job", "task", "message")),
        (
            "register",
            registry.register,
            ("name", "folders", "lineage", "promotion", "serving", "report", "release_version"),
        ),
        ("promote", registry.promote, ("name", "version", "mode", "why")),
        ("watch", monitoring.watch, ("name", "monitoring", "release", "rows", "verdict", "report", "log_metric")),
    ]


@pytest.mark.parametrize(("shell", "function", "arguments"), _calls())
def test_a_pipeline_that_is_on_a_server_already_finds_what_it_calls(
    shell: str, function: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    import inspect

    inspect.signature(function).bind(**dict.fromkeys(arguments))  # what came since has a default


def test_the_page_of_a_pipeline_that_0_1_compiled_is_still_written(tmp_path: Path) -> None:
    from monitoring.runs.outcome import conclude

    conclude(
        "shop", folders={"clean": "/runs/clean", "rows": None}, facts={"passed": True}, page=str(tmp_path / "page")
    )
    assert "| passed | True |\n| clean | /runs/clean |" in (tmp_path / "page").read_text()


SEARCHED = {
    "study": "shop-1",
    "mode": "propose",
    "users": 120,
    "better": True,
    "best": 4,
    "changes": {"width": [64, 128], "learning_rate": [0.002, 0.005]},
    "complete": 5,
    "pruned": 2,
    "unfit": 1,
    "why": "loss distorts probabilities",
    "gain": {"by": 0.0123, "interval": [0.004, 0.02]},
    "diff": ["--- a/shop.yaml", "+++ b/shop.yaml", "-  width: 64", "+  width: 128"],
}


def test_a_search_is_told_with_its_gain_and_its_proposal() -> None:
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": SEARCHED})
    assert "A search tried 8 settings of the intent model: 2 were cut short, 1 do not go together (loss dist" in text
    assert "Trial 4 has a validation loss lower by 0.01230 (95 % interval +0.00400 to +0.02000)" in text
    assert "on 120 users that the search alone reads" in text
    assert "The model was trained with the spec's own; to take these, apply `search/proposal.diff`" in text
    assert "    --- a/shop.yaml\n    +++ b/shop.yaml\n    -  width: 64\n    +  width: 128\n" in text
    assert "    +  width: 128" in plain(text)


def test_a_search_without_a_file_names_fields_and_one_that_chance_could_explain_says_so() -> None:
    searched = SEARCHED | {"diff": [], "gain": {"by": 0.001, "interval": [-0.001, 0.003]}, "mode": "auto", "unfit": 0}
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": searched})
    assert "    width: 128  # was 64\n    learning_rate: 0.005  # was 0.002" in text
    assert "Chance alone could do that." in text
    assert "The model was trained with these settings, and the gates judged it:" in text


def test_a_search_that_found_nothing_better_proposes_nothing() -> None:
    searched = SEARCHED | {"better": False, "changes": {}, "diff": [], "gain": None}
    text = _page(register=REGISTER, promote=PROMOTED, watch=STABLE, search_intent={"search": searched})
    assert "None of them is better than the spec's own" in text
    assert "proposal.diff" not in text


def test_a_forecast_is_said_beside_its_best_baseline_and_a_lower_loss_is_better() -> None:
    spend = {"name": "spend", "metric": "RMSE", "value": 4.0, "baseline": "gbdt", "other": 5.0}
    for interval, words in (
        ([-1.5, -0.5], "better by 1 (95 % interval -1.5 to -0.5)"),
        ([-1.5, 0.5], "which is better is undecided, -1 (95 % interval -1.5 to +0.5)"),
        ([0.5, 1.5], "worse by -1 (95 % interval +0.5 to +1.5)"),
    ):
        text = _page(register=REGISTER | {"forecasts": [spend | {"interval": interval}]})
        assert f"The forecast `spend` has RMSE 4 on the test weeks, the baseline `gbdt` 5: {words}." in text
    assert "forecast" not in _page(register=REGISTER)
