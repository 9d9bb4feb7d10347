"""The step's half of a TrainJob, against a real socket that speaks the Kubernetes API.

The stand-in keeps objects and refuses what their schemas refuse. What the operator and the nodes would do is done
here: the job's own command is run by a real torchrun, or the job fails in a way that a cluster's does.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.distributed import reasons, trainjob
from components.distributed.settings import VARIABLE, Trainer
from components.intent import steps as intent_steps
from components.intent.score import IntentScorer
from feature_repo import files
from feature_repo.errors import DataError, ServerError, SpecError
from tests.distributed.worlds import INTENTS_JSON, MODEL, ROOT, started
from tests.intent.conftest import checkerboard, write_rows
from tests.k8s import schemas
from tests.kubernetes_server import Cluster, kubeconfig, serving
from tests.patience import patient

Object = dict[str, Any]
SETTINGS = Trainer(nodes=1, processes=2, namespace="intentflow", minutes=5)
ROLE = ROOT / "k8s" / "components" / "trainer" / "role.yaml"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    """Give a cluster that lets the step do what its Role says."""
    role = next(o for o in yaml.safe_load_all(ROLE.read_text()) if o["kind"] == "Role")
    found = Cluster(role=role["rules"])
    with serving(found) as url:
        (tmp_path / "kubeconfig").write_text(kubeconfig(url))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path / "state"))
        monkeypatch.setenv("INTENTFLOW_RUN", "run-1")
        monkeypatch.setattr(trainjob, "GRACE_S", -180.0)  # two minutes in all: a test that waits for nothing fails
        monkeypatch.setattr(trainjob.run, "__kwdefaults__", {"poll_s": 0.1})
        yield found


@pytest.fixture
def task(tmp_path: Path) -> trainjob.Task:
    """Give a task over a small folder."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "rows.txt").write_text("rows")
    return trainjob.Task("components.intent", {"model": '{"a": "$(HOME)"}'}, {"rows": tmp_path / "rows"}, "intent")


def condition(cluster: Cluster, name: str, kind: str, message: str = "") -> None:
    """Be the operator that says how a job ended."""
    ended = {"type": kind, "status": "True", "reason": "JobsFailed" if kind == "Failed" else "JobsCompleted"}
    conditions = [ended | {"message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    with cluster.lock:  # the operator writes to `status`, a resource of its own
        cluster.objects["trainjobs", name]["status"] = {"conditions": conditions}


def once(cluster: Cluster, act: Callable[[Object], None]) -> threading.Thread:
    """Act on the first job, once the step has asked for it, from a thread of its own."""

    def watch() -> None:
        for _ in range(600):
            asked = any(resource == "trainjobs" for _, resource, _ in cluster.requests)
            if asked and (names := cluster.names("trainjobs")):
                act(cluster.get("trainjobs", names[0]))
                return
            threading.Event().wait(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def finish(cluster: Cluster, text: str = "model") -> Callable[[Object], None]:
    """Return what a node does that trains well: a model folder, then a job that is complete."""

    def act(job: Object) -> None:
        arguments = job["spec"]["trainer"]["args"]
        folder = Path(arguments[arguments.index("--intent") + 1])
        with files.written_folder(folder) as aside:  # whole or not there, as the command itself writes it
            (aside / "weights").write_text(text)
        condition(cluster, job["metadata"]["name"], "Complete")

    return act


@pytest.mark.slow  # two processes that import torch
def test_the_step_trains_in_a_job_and_the_model_comes_back(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: the step, the job's own command by torchrun on two processes, the step's output."""
    rows = write_rows(tmp_path / "made", checkerboard())
    jobs: list[Object] = []

    def node(job: Object) -> None:
        jobs.append(job)
        trainer = job["spec"]["trainer"]
        assert trainer["command"] == ["torchrun"]
        variables = {entry["name"]: entry["value"] for entry in trainer["env"]}
        process = started(trainer["args"][1:], processes=trainer["numProcPerNode"], environment=variables)
        _, said = process.communicate(timeout=patient(120))
        condition(cluster, job["metadata"]["name"], "Failed" if process.returncode else "Complete", said[-500:])

    monkeypatch.setenv(VARIABLE, SETTINGS.model_dump_json())
    thread = once(cluster, node)
    output = tmp_path / "output" / "intent"
    intent_steps.run_train_intent(
        INTENTS_JSON, MODEL.model_dump_json(), ranking_weeks=4, rows=str(rows), intent=str(output)
    )
    thread.join()
    assert len(IntentScorer.load(output).names) == 7
    assert len(jobs) == 1
    assert cluster.names("trainjobs") == [], "the step deletes its job"
    assert list((tmp_path / "state" / "trainjobs").iterdir()) == [], "and what it shared with it"


def test_the_job_is_one_that_the_published_models_and_schemas_take(task: trainjob.Task, tmp_path: Path) -> None:
    from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob

    settings = SETTINGS.model_copy(update={"nodes": 2, "gpus": 4})
    body = trainjob.body(task, settings, name="intentflow-intent-1", shared=tmp_path)
    assert list(schemas.problems(body)) == []
    job = TrainerV1alpha1TrainJob.from_dict(body)
    assert job is not None
    assert job.spec.runtime_ref.kind == "TrainingRuntime"
    assert (job.spec.trainer.num_nodes, job.spec.trainer.num_proc_per_node) == (2, 4)
    assert body["spec"]["trainer"]["resourcesPerNode"] == {"limits": {"nvidia.com/gpu": 4}}
    assert '{"a": "$$(HOME)"}' in body["spec"]["trainer"]["args"], "Kubernetes would put a variable there"


def test_a_step_that_starts_again_finds_its_job(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    name = task.name(SETTINGS, "run-1")
    shared = tmp_path / "state" / trainjob.FOLDER / name
    body = trainjob.body(task, SETTINGS, name=name, shared=shared)
    cluster.put("trainjobs", body)  # the attempt before made it, and was evicted
    shared.mkdir(parents=True)
    thread = once(cluster, finish(cluster))
    trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)
    thread.join()
    assert (tmp_path / "out" / "weights").read_text() == "model"
    assert ("create", "trainjobs", "") not in cluster.requests


def test_another_run_or_another_input_is_another_job(task: trainjob.Task) -> None:
    names = {task.name(SETTINGS, "run-1"), task.name(SETTINGS, "run-2")}
    (task.inputs["rows"] / "rows.txt").write_text("other rows")
    names |= {task.name(SETTINGS, "run-1")}
    assert len(names) == 3
    assert all(len(name) < 50 for name in names), "a pod's name has room for the node's"


def test_a_job_that_failed_before_is_made_anew(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    name = task.name(SETTINGS, "run-1")
    cluster.put("trainjobs", trainjob.body(task, SETTINGS, name=name, shared=tmp_path))
    condition(cluster, name, "Failed")
    old = cluster.get("trainjobs", name)["metadata"]["uid"]

    def act(_: Object) -> None:
        while not (jobs := cluster.names("trainjobs")) or cluster.get("trainjobs", jobs[0])["metadata"]["uid"] == old:
            threading.Event().wait(0.02)
        finish(cluster)(cluster.get("trainjobs", jobs[0]))

    thread = once(cluster, act)
    trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)
    thread.join()
    assert (tmp_path / "out" / "weights").exists()


def pod(name: str, job: str, state: Object) -> Object:
    """Return a pod of a job whose container is in a state."""
    status = {"name": "node", "state": state, "ready": False, "restartCount": 0, "image": "i", "imageID": ""}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {trainjob.OF_JOB: job}},
        "spec": {"containers": [{"name": "node", "image": "intentflow-python:0.1.0"}]},
        "status": {"containerStatuses": [status]},
    }


def test_a_pod_that_was_killed_is_the_reason(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    def act(job: Object) -> None:
        name, shared = job["metadata"]["name"], Path(job["spec"]["trainer"]["env"][1]["value"]).parent
        said = {"code": 1, "message": "rank 0 of 2: another rank of the job ended early; nothing was written"}
        (shared / "error.json").write_text(json.dumps(said))
        killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        cluster.put("pods", pod(f"{name}-node-0-1-x", name, killed))
        condition(cluster, name, "Failed", "jobset failed")

    once(cluster, act)
    with pytest.raises(ServerError, match=r"failed: intentflow-intent-\w+-node-0-1-x: OOMKilled \(exit code 137\)"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)
    assert not (tmp_path / "out").exists()
    assert cluster.names("trainjobs") == []


def test_a_rank_s_own_reason_is_the_step_s(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    def act(job: Object) -> None:
        shared = Path(job["spec"]["trainer"]["env"][1]["value"]).parent
        (shared / "error.1.json").write_text(json.dumps({"code": 2, "message": "rows: no user in the test weeks"}))
        condition(cluster, job["metadata"]["name"], "Failed")

    once(cluster, act)
    with pytest.raises(DataError, match="rows: no user in the test weeks"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)


def test_what_a_job_waits_for_and_how_far_it_is_are_passed_on(
    cluster: Cluster, task: trainjob.Task, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []

    def seen(text: str) -> None:
        for _ in range(200):
            if any(text in note for _, note in told):
                return
            threading.Event().wait(0.05)

    def act(job: Object) -> None:
        name, shared = job["metadata"]["name"], Path(job["spec"]["trainer"]["env"][1]["value"]).parent
        waiting = pod("p", name, {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
        cluster.put("pods", waiting)
        seen("ImagePullBackOff: no such image")
        (shared / "progress.jsonl").write_text('{"step": "train_intent", "share": 0.5, "note": "epoch 2 of 4"}\n')
        seen("epoch 2 of 4")
        finish(cluster)(job)

    thread = once(cluster, act)
    trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: told.append((share, note)))
    thread.join()
    assert any("p: ImagePullBackOff: no such image" in note for _, note in told)
    assert (0.5, "epoch 2 of 4") in told


def test_a_job_that_nobody_starts_ends_at_the_deadline_with_what_it_waits_for(
    cluster: Cluster, task: trainjob.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainjob, "GRACE_S", -299.0)
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    once(cluster, lambda job: [cluster.put("pods", pod("p", job["metadata"]["name"], waiting))])
    with pytest.raises(ServerError, match="taken longer than 0 minutes: p: ErrImagePull: no such image"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)


def test_a_volume_that_the_job_does_not_share_is_named(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    once(cluster, lambda job: condition(cluster, job["metadata"]["name"], "Complete"))
    with pytest.raises(ServerError, match=r"is complete, but .* is not there; the runtime must mount the volume"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)


def test_an_account_without_the_role_is_told_which(cluster: Cluster, task: trainjob.Task, tmp_path: Path) -> None:
    cluster.role = []
    with pytest.raises(ServerError, match="needs the Role of k8s/components/trainer"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)


def test_without_a_cluster_the_variable_is_a_mistake_of_the_environment(
    task: trainjob.Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    with pytest.raises(SpecError, match="neither a pod's account nor a kubeconfig is here"):
        trainjob.run(task, SETTINGS, tmp_path / "out", at=lambda share, note: None)


def test_a_laptop_a_rank_and_a_step_that_is_not_named_train_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert trainjob.asked("train_intent") is None
    monkeypatch.setenv(VARIABLE, SETTINGS.model_copy(update={"steps": ["train_ranking"]}).model_dump_json())
    assert trainjob.asked("train_intent") is None
    assert trainjob.asked("train_ranking") is not None
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "0"}.items():
        monkeypatch.setitem(os.environ, name, value)
    assert trainjob.asked("train_ranking") is None


def test_a_pod_without_a_node_says_why() -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    pods = [{"metadata": {"name": "p"}, "status": {"conditions": [scheduled]}}]
    assert reasons.of_pods(pods) == ["p: Unschedulable: no GPU"]
