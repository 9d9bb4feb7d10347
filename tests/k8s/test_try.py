"""What `k8s/try` concludes from what customers were told; the trials themselves need a cluster (tests/cluster)."""

import subprocess
from pathlib import Path

import pytest
import yaml

from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from tests.cluster import run
from tests.cluster.__main__ import chosen, parser
from tests.cluster.field import Field
from tests.cluster.kube import Kube, Seen, documented, pod
from tests.cluster.trials import TRIALS, Trial
from tests.k8s import pod_security

SPEC = ROOT / "tests" / "cluster" / "recommender.yaml"
TRIAL = Trial("a door dies", "kill", lambda field: "", spared_s=1.0)


def told(at: float, status: int = 200, path: str = "/recommend", **more: object) -> dict[str, object]:
    return {"at": at, "path": path, "status": status, **more}


def judged(*lines: dict[str, object], done: bool = True, trial: Trial = TRIAL) -> run.Row:
    return run.judged(trial, Seen(lines), 100.0, seconds=3, done=done, note="ready")


def test_reads_that_were_answered_meet_the_bar() -> None:
    row = judged(told(101), told(102, degraded=True), told(103, 503, "/events"), told(104, 200, "/events"))
    assert (row.fine, row.reads, row.failed, row.degraded, row.events) == (True, 2, 0, 1, {"503": 1, "200": 1})


def test_one_read_that_failed_misses_it() -> None:
    row = judged(told(101), told(102, 504, why="late"))
    assert not row.fine
    assert "failed by status 504: 1" in row.note
    assert row.examples[0]["why"] == "late"


def test_a_failure_of_the_first_second_is_spared_and_shown() -> None:
    row = judged(told(100.5, 504), told(102))
    assert (row.fine, row.failed, row.spared) == (True, 0, 1)
    assert "0 (+1)" in row.cells()


def test_no_customers_prove_nothing() -> None:
    row = judged(told(101, 200, "/events"))
    assert not row.fine
    assert "no customer asked" in row.note


def test_an_act_that_did_not_end_well_is_missed_though_nobody_noticed() -> None:
    assert not judged(told(101), done=False).fine


def test_a_table_without_rows_is_no_success(tmp_path: Path) -> None:
    assert run.Table(tmp_path, about="nothing").finished() == 1


def test_the_table_is_written_after_each_row(tmp_path: Path) -> None:
    table = run.Table(tmp_path, about="a cluster")
    table.add(judged(told(101)))
    assert "| a door dies | `kill` | 3 | 1 | 0 | 0 | 0 |  | ok: ready |" in (tmp_path / "table.md").read_text()
    table.add(judged(told(101, 500)))
    assert table.finished() == 1


def test_the_ten_commands_are_those_of_the_page() -> None:
    found = documented()
    assert sorted(found) == list(range(1, 11))
    assert found[5] == "kubectl apply -k k8s/overlays/local"
    assert "secrets.sh" in found[6]
    assert "intentflow run pipelines/specs/grocery.yaml" in found[8]


def test_some_trials_are_chosen_by_name_and_none_is_refused() -> None:
    assert [trial.name for trial in chosen("restarted", None)][-1] == "MLflow restarted"
    assert chosen(None, "restored") == [TRIALS[-1]]
    with pytest.raises(SpecError, match="no such trial"):
        chosen("nothing of the kind", None)


def test_names_of_trials_are_their_own() -> None:
    assert len({trial.name for trial in TRIALS}) == len(TRIALS)


def test_the_customers_pod_is_admitted_by_the_restricted_profile() -> None:
    assert list(pod_security.problems(pod(10, 5, ["a"])["spec"])) == []


def test_an_unknown_context_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--context nowhere: .*kubectl config get-contexts"):
        Kube("nowhere", SPEC, tmp_path)


@pytest.mark.process
def test_the_script_says_what_it_needs() -> None:
    done = subprocess.run([str(ROOT / "k8s" / "try")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--context" in done.stderr


def test_the_workflow_runs_the_script_as_it_is() -> None:
    document = yaml.safe_load((ROOT / ".github" / "workflows" / "cluster.yaml").read_text())
    steps = [step.get("run", "") for step in document["jobs"]["try"]["steps"]]
    (command,) = [step for step in steps if "k8s/try" in step]
    asked = parser().parse_args(command.split()[1:])
    assert (asked.images, asked.spec.is_file()) == ("kind", True)


def test_the_loop_s_overlay_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.manifests import release_overlay

    kube = Kube.__new__(Kube)
    kube.spec, kube.work = SPEC, tmp_path
    rendered = release_overlay.render(Field(kube).overlay())
    names = {f"{o['kind']}/{o['metadata']['name']}" for o in rendered}
    assert {"Deployment/reconciler", "ConfigMap/recommender-materialise"} <= names
    (spec,) = [o for o in rendered if o["metadata"]["name"].startswith("reconciler-spec")]
    assert "synthetic" in spec["data"]["recommender.yaml"]
