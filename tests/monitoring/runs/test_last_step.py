"""The last step of a run: how far it came, whom it tells, and what old pipelines find of it."""

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
from monitoring.runs.run_state import run_state
from tests.monitoring.runs.test_outcome import BEGAN, ENDED, REGISTER, STABLE


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
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was sent to the webhook."""
    found: list[dict[str, Any]] = []
    monkeypatch.setenv(failure.ALERT_URL, "http://127.0.0.1:9/hook")
    monkeypatch.setattr(failure, "_post", lambda url, body: found.append(body))
    return found


def _outcome(home: Path, pipeline: str = "train") -> tuple[str, str]:
    word = outcome("shop", pipeline, page=str(home / "page.md"), metadata={})
    return word, (home / "page.md").read_text()


def test_the_last_step_runs_after_each_other_and_tells_of_a_failure_once(home: Path, told: list[Any]) -> None:
    run_lock.take("shop")
    with step("admit") as progress:
        progress.tell(note="after the sale")
    assert _outcome(home)[0] == "under way"
    assert told == []
    with pytest.raises(Refused), step("validate"):
        raise Refused("contract: events need at least 1,000 rows, have 7")
    word, text = _outcome(home)
    assert word == "failed at validate"
    assert text.startswith("# shop: failed at validate\n")
    assert "refused the data: contract: events need at least 1,000 rows, have 7" in text
    assert "Look at the step's page" in text
    (sent,) = told
    assert (sent["step"], sent["code"], sent["run"]) == ("validate", 3, "run-7")
    assert "failed" in files.read_json(home / "marks" / "job.train.json")
    assert not (home / run_lock.FILE).exists()


def test_a_step_that_was_killed_is_named_though_it_said_nothing(home: Path, told: list[Any]) -> None:
    (home / "progress").mkdir()
    (home / "progress" / "run-7.jsonl").write_text(
        json.dumps({"step": "train_intent", "share": 0.0, "note": ""}) + "\n"
    )
    word, text = _outcome(home)
    assert word == "stopped at train_intent"
    assert "too little memory or time" in text
    assert [one["step"] for one in told] == ["train_intent"]


def test_the_end_of_a_run_is_marked_and_nobody_is_told(home: Path, told: list[Any]) -> None:
    with step("watch") as progress:
        progress.tell(**STABLE)
    word, _text = _outcome(home, "retrain")
    assert (word, told) == ("nothing trained", [])
    assert "succeeded" in files.read_json(home / "marks" / "job.retrain.json")


def test_a_dry_run_is_told_of_on_its_page_and_in_the_log_alone(
    home: Path, told: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with step("admit") as progress:
        progress.tell(mode="dry_run", note="")
    with step("watch") as progress:
        progress.tell(**STABLE)
    assert _outcome(home, "retrain")[0] == "nothing trained"
    with pytest.raises(Refused), step("validate"):
        raise Refused("contract: events need at least 1,000 rows, have 7")
    caplog.clear()
    word, text = _outcome(home)
    assert word == "failed at validate"
    assert "contract: events need at least 1,000 rows, have 7" in text
    assert told == []
    assert not (home / "marks").exists()
    said, line = (json.loads(message) for message in caplog.messages)
    assert said["step"] == "validate"
    assert (line["step"], line["state"], line["outcome"]) == ("outcome", "failed", "failed at validate")


def test_a_dry_run_that_its_first_step_refuses_alerts_nobody_either(home: Path, told: list[Any]) -> None:
    from pipelines.graphs.admission import admit

    for document, mode in (({"promotion": {"mode": "dry_run"}}, ""), ({}, "dry_run")):
        with pytest.raises(SpecError):
            admit("shop", document, mode=mode, which="", k=0, note="")
        assert _outcome(home)[0] == "failed at admit"
    assert (told, (home / "marks").exists()) == ([], False)
    with pytest.raises(SpecError):
        admit("shop", [], mode="auto", which="", k=0, note="")
    assert _outcome(home)[0] == "failed at admit"
    assert [one["step"] for one in told] == ["admit"]


def test_where_pods_share_no_folder_the_page_says_what_it_cannot_know(home: Path, told: list[Any]) -> None:
    word, text = _outcome(home)
    assert word == "steps say nothing here"
    assert "kubeflow.claim" in text
    assert told == []


def test_links_come_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env_names.LINKS, json.dumps({"mlflow": "https://mlflow.example"}))
    with step("register") as progress:
        progress.tell(**REGISTER)
    with step("watch") as progress:
        progress.tell(**STABLE)
    assert "https://mlflow.example/#/models/shop-release/versions/5" in _outcome(home)[1]


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
