"""What needs a person, sorted from what `intentflow status` says; links by the environment's addresses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.console.ports.watch import Process, Standing
from bentos.console.words import home as words_of_home
from feature_repo.checkout import ROOT
from pipelines.console import links, standing
from pipelines.environment import Installation, place
from pipelines.releases import processes

SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
QUIET = {
    "aliases": {"champion": "2"},
    "versions": {"2": {"id": "1f0c", "gates": "passed"}},
    "history": [
        {
            "alias": "champion",
            "origin": "",
            "to": "1",
            "who": "ana",
            "when": "2026-11-28T00:00:00+00:00",
            "why": "first",
        },
        {
            "alias": "champion",
            "origin": "1",
            "to": "2",
            "who": "bo",
            "when": "2026-11-29T00:00:00+00:00",
            "why": "better",
        },
    ],
    "rollout": {},
    "last_run": None,
    "spec": "abc",
    "applied": "abc",
    "registry_problem": "",
    "dangling": {},
    "drift": None,
    "retraining": {},
    "retraining_due": "",
    "forgotten": {},
    "cluster": None,
}


def here(folder: Path, **settings: Any) -> Installation:
    """Return an installation in an environment like the local one."""
    document = yaml.safe_load((ROOT / "pipelines" / "environments" / "local.yaml").read_text()) | settings
    (folder / "env.yaml").write_text(yaml.safe_dump(document))
    return place(SPEC, str(folder / "env.yaml"), variables={"INTENTFLOW_STATE": str(folder / "state")})


def of(folder: Path, *started: Process, quality: Any = None, **changed: Any) -> Standing:
    return standing.of(QUIET | changed, here(folder), started, quality=quality or {})


def test_where_all_is_well_nobody_is_needed(tmp_path: Path) -> None:
    found = of(tmp_path, Process("router", "running", "http://127.0.0.1:3000"))
    assert found.needs == ()
    assert (found.version, found.release, found.judged) == ("2", "1f0c", "gates passed")
    assert (found.since, found.why) == ("2026-11-29T00:00:00+00:00", "bo: better")


DRIFT = {"class": "none", "alarms": [], "lost": [], "untold": "", "verdict": "stable"}


@pytest.mark.parametrize(
    ("changed", "need"),
    [
        ({"aliases": {}}, ("nothing_serves", "", "releases")),
        ({"registry_problem": "mlflow: no answer"}, ("registry", "mlflow: no answer", "")),
        ({"dangling": {"previous": "1"}}, ("dangling", "previous: 1", "releases")),
        ({"drift": DRIFT | {"class": "data_fault", "alarms": ["a", "b"]}}, ("drift_data_fault", "a, b", "drift")),
        ({"drift": DRIFT | {"class": "world", "lost": ["c"]}}, ("drift_world", "c", "drift")),
        ({"drift": DRIFT | {"class": "performance"}}, ("drift_performance", "", "drift")),
        ({"drift": DRIFT | {"untold": "no such host"}}, ("untold", "no such host", "drift")),
        ({"retraining": {"stopped": True, "why": "2 without gain"}}, ("retraining_stopped", "2 without gain", "drift")),
        ({"retraining_due": "version 2 forgot"}, ("retraining_due", "version 2 forgot", "releases")),
        ({"rollout": {"problem": "no cluster"}}, ("rollout_unknown", "no cluster", "releases")),
        ({"rollout": {"notice": "no door"}}, ("rollout_notice", "no door", "releases")),
        ({"rollout": {"held": 2, "why": "slow"}}, ("rollout_held", "slow", "releases")),
        (
            {"rollout": {"last": {"version": "3", "result": "rolled_back", "why": "errors"}}},
            ("rollout_ended", "version 3: errors", "releases"),
        ),
        (
            {"rollout": {"tried": {"name": "try", "result": "broken", "why": "mismatch"}}},
            ("experiment", "try: mismatch", "experiments"),
        ),
        (
            {"aliases": {"champion": "2", "challenger": "3"}, "versions": {"2": {}, "3": {}}},
            ("challenger", "3", "releases"),
        ),
        ({"forgotten": {"forgotten": 3, "begun": 2}}, ("forgetting", "2", "")),
        ({"cluster": {"differences": ["routes lead elsewhere"]}}, ("cluster", "routes lead elsewhere", "")),
        ({"applied": "old"}, ("unapplied", "old → abc", "")),
        ({"quality": {"reason": "performance", "why": "ctr fell"}}, ("quality", "ctr fell", "drift")),
    ],
)
def test_each_thing_that_waits_is_named(tmp_path: Path, changed: dict[str, Any], need: tuple[str, str, str]) -> None:
    (found,) = of(tmp_path, **changed).needs
    assert (found.what, found.said, found.page) == need
    assert f"need_{found.what}" in words_of_home.EN


@pytest.mark.parametrize(
    "changed",
    [
        {"drift": DRIFT},
        {"drift": DRIFT | {"class": "undecided"}},
        {"rollout": {"last": {"version": "2", "result": "promoted", "why": ""}}},
        {"rollout": {"last": {"version": "2", "result": "abandoned", "why": "version 3 is the champion"}}},
        {"rollout": {"tried": {"name": "try", "result": "better", "why": ""}}},
        {"applied": None},
        {"forgotten": {"forgotten": 3}},
        {"quality": {"reason": "none", "why": ""}},
        {
            "aliases": {"champion": "2", "challenger": "3"},
            "rollout": {"candidate": {"version": "3"}, "rollout": "r1", "phase": "canary"},
        },
    ],
)
def test_what_is_as_it_should_be_waits_for_nobody(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert of(tmp_path, **changed).needs == ()


def test_a_process_that_is_gone_or_did_not_start_is_named_with_why(tmp_path: Path) -> None:
    found = of(tmp_path, Process("feast", "failed", "", "ended with code 1"), Process("mlflow", "gone", ""))
    assert [one.said for one in found.needs] == ["feast: ended with code 1", "mlflow"]
    assert all(one.command.startswith("intentflow up ") for one in found.needs)


def test_what_did_not_start_stands_among_what_runs(tmp_path: Path) -> None:
    where = here(tmp_path)
    (where.home / "up" / "failures").mkdir(parents=True)
    (where.home / "up" / "failures" / "feast.json").write_text('{"name": "feast", "url": "u", "reason": "no module"}')
    assert [(one.name, one.state, one.reason) for one in standing.processes_of(where)] == [
        ("feast", "failed", "no module")
    ]


def test_links_are_built_of_the_environments_addresses(tmp_path: Path) -> None:
    where = here(
        tmp_path,
        links={"mlflow": "https://mlflow.example/", "evidently": "https://evidently.example"},
        kubeflow={"host": "http://ml-pipeline:8888", "ui": "https://kubeflow.example/pipeline/"},
    )
    port = links.port(lambda: where)
    assert [(one.where, one.url) for one in port.servers()] == [
        ("mlflow", "https://mlflow.example/#/models"),
        ("kubeflow", "https://kubeflow.example/pipeline/#/runs"),
        ("evidently", "https://evidently.example"),
    ]
    assert port.versions()[0].url == "https://mlflow.example/#/models/grocery-release"
    assert [one.url for one in port.drift()] == ["https://evidently.example"]  # no report yet
    verdict = where.home / "monitoring" / "verdict"
    verdict.mkdir(parents=True)
    (verdict / "drift.json").write_text('{"workspace": {"project": "p1", "run": "r1"}}')
    assert [one.url for one in port.drift()] == ["https://evidently.example/projects/p1/reports/r1"]


def test_without_addresses_there_are_no_links_and_a_ui_that_runs_here_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = here(tmp_path)
    port = links.port(lambda: where)
    assert (port.servers(), port.versions(), port.version("1"), port.drift()) == ((), (), (), ())
    running = processes.State("mlflow", "running", "http://127.0.0.1:5001/#/models", tmp_path)
    gone = processes.State("evidently", "gone", "http://127.0.0.1:8000", tmp_path)
    monkeypatch.setattr(processes, "status", lambda home: [running, gone])
    assert links.roots(where) == {"mlflow": "http://127.0.0.1:5001"}
