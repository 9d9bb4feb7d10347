"""Train in a TrainJob of Kubeflow Trainer: share the inputs, make the job, follow it, collect the model.

The job's pods run the step's own function by torchrun (`__main__` of intent and ranking). They see the step's inputs
through the volume at INTENTFLOW_HOME, which the runtime mounts as the steps do: it must be one that many nodes may
write (ReadWriteMany). A job is named after its run and what it is given, so a step that Kubernetes starts again finds
the job of its first attempt and goes on waiting. For that reason the step's pod does not own the job: it deletes it,
and a deadline ends a job that nobody waits for.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components import kube_api
from components.distributed import ranks, reasons
from components.distributed.settings import CHECKPOINTS, VARIABLE, Trainer
from components.image import IMAGE
from components.kube_api import Api, Conflict, NoCluster, Object
from components.step import ERROR_FILE, HOME, PROGRESS_FILE, RUN
from feature_repo import env_names, files
from feature_repo.errors import ServerError, SpecError

Report = Callable[[float, str], None]

KIND, GROUP, VERSION = "TrainJob", "trainer.kubeflow.org", "v1alpha1"
OF_JOB = "jobset.sigs.k8s.io/jobset-name"  # label of a job's pods: the JobSet has the TrainJob's name
FOLDER = "trainjobs"  # in the state folder: what step and job share while a job lives
POLL_S = 5.0
AWAY_S = 300.0  # that the Kubernetes API may be away before the step gives up
GRACE_S = 300.0  # after a job's own deadline, for the cluster to say so


@dataclass(frozen=True)
class Task:
    """What a job does: a module that takes words and folders and writes one folder."""

    module: str
    words: Mapping[str, str]  # options by name
    inputs: Mapping[str, Path]  # folders by option
    output: str  # the option that names the model folder

    def arguments(self, shared: Path) -> list[str]:
        """Return the module's command line, with the folders where the job's pods see them."""
        folders = {name: str(shared / name) for name in (*self.inputs, self.output)}
        return [word for name, value in {**self.words, **folders}.items() for word in (f"--{name}", value)]

    def name(self, settings: Trainer, run: str) -> str:
        """Name the job after the run and all that it is given."""
        content = {name: files.file_digest(folder) for name, folder in self.inputs.items()}
        about = {"words": dict(self.words), "inputs": content, "settings": settings.model_dump(), "image": IMAGE}
        return f"intentflow-{self.output}-{files.digest(about | {'run': run})}"


@dataclass
class Following:
    """A job that is being waited for."""

    api: Api
    name: str
    shared: Path
    at: Report
    answered: float = field(default_factory=time.monotonic)  # when the API last did

    def look(self) -> Object | None:
        """Return the job; raise once the API has been away for too long."""
        try:
            found = self.api.get(KIND, self.name)
        except ServerError:
            if time.monotonic() - self.answered > AWAY_S:
                raise
            return {}
        self.answered = time.monotonic()
        return found

    def waits(self) -> list[str]:
        """Say what the pods wait for, as far as the API tells."""
        try:
            return reasons.of_pods(self.api.listed("Pod", {OF_JOB: self.name}))
        except ServerError:
            return []


def connected(namespace: str) -> Api:
    """Return the API of the namespace where jobs run; '' is the pod's own."""
    try:
        return kube_api.connected(namespace, forbidden="its account needs the Role of k8s/components/trainer")
    except NoCluster as error:
        raise SpecError(
            f"kubeflow.trainer: a TrainJob needs a cluster, and neither a pod's account nor a kubeconfig is here "
            f"({error}); leave kubeflow.trainer out to train in the step's own process"
        ) from error


def asked(step: str) -> Trainer | None:
    """Return the trainer that the environment names for a step; None: it trains in its own process."""
    text = os.environ.get(VARIABLE, "")
    if not text or ranks.launched():
        return None
    settings = Trainer.model_validate_json(text)
    return settings if step in settings.steps else None


def run(task: Task, settings: Trainer, destination: Path, *, at: Report, poll_s: float = POLL_S) -> Object:
    """Have a job do the task and put the model folder where the step's is expected; return what to log of it."""
    if not (home := os.environ.get(HOME)):
        raise SpecError(f"kubeflow.trainer: {HOME} names no folder that the job's pods share; set kubeflow.claim")
    name = task.name(settings, os.environ.get(RUN, ""))
    shared = Path(home) / FOLDER / name
    found = Following(connected(settings.namespace), name, shared, at)
    try:
        if not (shared / task.output).is_dir():  # else an attempt before this one waited for it, and was evicted
            _share(task, shared)
            _start(found, body(task, settings, name=name, shared=shared), poll_s=poll_s)
            _wait(found, limit_s=settings.minutes * 60 + GRACE_S, poll_s=poll_s)
    finally:
        reasons.close(found.api, name)
    if not (shared / task.output).is_dir():
        raise ServerError(
            f"TrainJob {name} is complete, but {shared / task.output} is not there; the runtime must mount "
            "the volume of kubeflow.claim where the steps have it (k8s/components/trainer)"
        )
    with files.written_folder(destination) as folder:
        shutil.copytree(shared / task.output, folder, dirs_exist_ok=True)
    shutil.rmtree(shared, ignore_errors=True)
    return {"trainjob": name, "nodes": settings.nodes, "processes": settings.processes}


def body(task: Task, settings: Trainer, *, name: str, shared: Path) -> Object:
    """Return the TrainJob."""
    # Kubernetes replaces $(NAME) in arguments; doubled, the dollar stays one.
    arguments = [word.replace("$(", "$$(") for word in task.arguments(shared)]
    # Outside of what is deleted when a job fails, so that the next attempt's job finds it.
    kept = shared.parents[1] / CHECKPOINTS
    variables = {
        env_names.CHECKPOINTS: kept,
        PROGRESS_FILE: shared / "progress.jsonl",
        ERROR_FILE: shared / "error.json",
        VARIABLE: "",
    }
    return document(
        settings,
        command=["torchrun"],
        arguments=["-m", task.module, *arguments],
        environment={key: str(value) for key, value in variables.items()},
        name=name,
    )


def document(
    settings: Trainer, *, command: list[str], arguments: list[str], environment: Mapping[str, str], name: str = ""
) -> Object:
    """Return a TrainJob that runs a command; without a name where whoever makes it names it, as Katib does."""
    trainer: Object = {
        "numNodes": settings.nodes,
        "numProcPerNode": settings.gpus or settings.processes,
        "command": command,
        "args": arguments,
        "env": [{"name": key, "value": value} for key, value in environment.items()],
    }
    if settings.gpus:
        trainer["resourcesPerNode"] = {"limits": {settings.gpu_resource: settings.gpus}}
    labels = {"name": "trainer", "component": "training", "part-of": "intentflow"}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": ({"name": name} if name else {})
        | {"labels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()}},
        "spec": {
            "runtimeRef": {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": settings.runtime},
            "trainer": trainer,
            "activeDeadlineSeconds": settings.minutes * 60,
        },
    }


def _share(task: Task, shared: Path) -> None:
    """Copy the inputs to where the job's pods see them; what an attempt before this one copied is kept."""
    for name, folder in task.inputs.items():
        if not (shared / name).is_dir():
            with files.written_folder(shared / name) as aside:
                shutil.copytree(folder, aside, dirs_exist_ok=True)


def _start(found: Following, wanted: Object, *, poll_s: float) -> None:
    """Make the job, unless it is there; one that failed is made anew."""
    there = found.api.get(KIND, found.name)
    if there is not None and (reasons.condition(there, "Failed") or there["metadata"].get("deletionTimestamp")):
        found.api.delete(KIND, found.name, propagation="Foreground")
        gone_by = time.monotonic() + AWAY_S
        while (there := found.api.get(KIND, found.name)) is not None:
            if time.monotonic() > gone_by:
                raise ServerError(f"TrainJob {found.name}: the failed one before is still being deleted; try again")
            time.sleep(poll_s)
    if there is None:
        for left in found.shared.glob("error*.json"):
            left.unlink()
        try:
            found.api.create(KIND, wanted)
        except Conflict:
            return  # another attempt of this step made it meanwhile


def _wait(found: Following, *, limit_s: float, poll_s: float) -> None:
    """Return when the job is complete; raise its reason when it failed, is gone or takes too long."""
    end = time.monotonic() + limit_s
    while True:
        job = found.look()
        if job is None:
            raise ServerError(f"TrainJob {found.name} was deleted while the step waited for it; run the step again")
        if reasons.condition(job, "Complete"):
            return
        if failed := reasons.condition(job, "Failed"):
            error = reasons.failure(found.waits(), found.name, failed, shared=found.shared)
            shutil.rmtree(found.shared, ignore_errors=True)
            raise error
        if time.monotonic() > end:
            waits = "; ".join(found.waits()) or "its pods say nothing"
            raise ServerError(f"TrainJob {found.name} has taken longer than {limit_s / 60:.0f} minutes: {waits}")
        _tell(found)
        time.sleep(poll_s)


def _tell(found: Following) -> None:
    """Pass on how far the job is, or what it waits for."""
    try:
        *_, line = (found.shared / "progress.jsonl").read_text(encoding="utf-8").splitlines()
        said = json.loads(line)
    except (OSError, ValueError):  # not there yet, or half a line of it
        waits = found.waits()
        found.at(0.0, f"{found.name}: {waits[0]}" if waits else f"{found.name} starts")
        return
    found.at(min(float(said["share"]), 0.99), str(said.get("note") or found.name))
