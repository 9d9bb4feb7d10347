"""Every command of commands.py in the built image, as its manifest says, to its success.

One small cluster for all of them: training in the image leaves a release in MLflow and profiles in Redis; then the
servers, the jobs and the loop work on those. What a cluster has and this has not, docs/images.md lists.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from feature_repo import files
from pipelines.manifests.objects import title, workloads
from tests.images import commands, pods, world
from tests.images.cluster import Started
from tests.images.world import OPERATOR, World
from tests.patience import patient

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]
JOB_S = 600
# Of the overlay's objects, those that the loop asks for.
THERE = {"Deployment/recommender", "Deployment/router", "ConfigMap/recommender-materialise"}
ENV = ("--env", "/environment/environment.yaml")
USERS = 120


@pytest.fixture(scope="module")
def cluster(steps: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stores, MLflow and Evidently, before anything was trained."""
    folder = tmp_path_factory.mktemp("cluster")
    for parent in (folder, *folder.parents[:3]):  # pytest's folders are its user's alone
        parent.chmod(parent.stat().st_mode | 0o055)
    with world.made(folder, steps) as made:
        yield made


@pytest.fixture(scope="module")
def local(cluster: World) -> pods.Namespace:
    return cluster.render("local", ["jobs", "materialise", "reconciler"], spec=True)


@pytest.fixture(scope="module")
def servers(cluster: World, local: pods.Namespace) -> dict[str, Started]:
    """MLflow and Evidently, ready by the probes of their manifests."""
    return {
        "mlflow": registry(cluster, local, name="mlflow"),
        "evidently": cluster.server(local, "Deployment/evidently", "evidently", name="evidently"),
    }


def registry(cluster: World, namespace: pods.Namespace, *, name: str) -> Started:
    """Start MLflow behind its accounts, which its init container makes; return the server, ready."""
    made, space = cluster.pod(namespace, "Deployment/mlflow", "accounts", name=name)
    assert made.ended(JOB_S) == 0, made.logs()
    assert "writer made, reader made" in made.logs()
    return cluster.server(namespace, "Deployment/mlflow", "mlflow", name=name, space=space)


def account(cluster: World, role: str = "writer") -> tuple[str, str]:
    """Return an account's name and password."""
    secret = cluster.secrets[f"mlflow-{role}"]
    return secret["MLFLOW_TRACKING_USERNAME"], secret["MLFLOW_TRACKING_PASSWORD"]


def intentflow(cluster: World, namespace: pods.Namespace, *words: str, name: str) -> str:
    """Run a verb in a job's pod, with a volume of its own; return what it printed."""
    started, _ = cluster.pod(
        namespace, "CronJob/job-score", "job", name=name, args=words, claim="trained", api="jobs"
    )  # fmt: skip
    code = started.ended(JOB_S)
    assert code == 0, started.logs()
    return started.logs()


@pytest.fixture(scope="module")
def trained(cluster: World, local: pods.Namespace, servers: dict[str, Started]) -> Path:
    """The state folder after the training pipeline's run in the image."""
    intentflow(cluster, local, "run", "/spec/recommender.yaml", *ENV, name="training")
    return cluster.claim("trained") / "grocery"


def executed(home: Path) -> set[str]:
    """Return the steps that kfp ran, of the newest run's log."""
    log = max((home / "logs").glob("run-*.log"))
    return set(re.findall(r"Executing task '?([\w-]+)", re.sub(r"\x1b\[[\d;]*m", "", log.read_text())))


def test_each_step_of_training_runs_in_the_image_and_leaves_a_champion(trained: Path, cluster: World) -> None:
    assert executed(trained) == commands.STEPS["train"] - commands.HELD_BACK
    assert files.read_json(trained / "run.json")["release_version"] == "1"
    assert cluster.store.dbsize() >= USERS


def test_mlflow_keeps_its_data_on_its_volume_and_knows_the_name_of_its_service(trained: Path, cluster: World) -> None:
    assert (cluster.claim("mlflow") / "mlflow.db").stat().st_uid == 10001
    asked = f"http://{cluster.cluster.addresses['Deployment/mlflow']}:5000/api/2.0/mlflow/registered-models/alias"
    query = {"name": "grocery-release", "alias": "champion"}
    reads = account(cluster, "reader")
    found = requests.get(asked, params=query, headers={"Host": "mlflow:5000"}, auth=reads, timeout=30).json()
    assert found["model_version"]["version"] == "1"
    assert requests.get(asked, params=query, headers={"Host": "mlflow:5000"}, timeout=30).status_code == 401
    elsewhere = requests.get(asked, params=query, headers={"Host": "elsewhere:5000"}, auth=reads, timeout=30)
    assert elsewhere.status_code == 403


@pytest.fixture(scope="module")
def door(trained: Path, cluster: World, local: pods.Namespace) -> Started:
    """The recommender's pod: the release fetched by its init container, then the server."""
    return served(cluster, local, "recommender", name="recommender")


def served(cluster: World, namespace: pods.Namespace, workload: str, *, name: str) -> Started:
    """Start a pod that fetches its release first; return its server, ready."""
    title = f"Deployment/{workload}"
    fetch, space = cluster.pod(namespace, title, "fetch-release", name=name)
    assert fetch.ended(JOB_S) == 0, fetch.logs()
    release = cluster.cluster.folder / name / "release" / "current" / "release.json"
    assert (files.read_json(release)["name"], release.stat().st_uid) == ("grocery", 10001)
    return cluster.server(namespace, title, workload, name=name, space=space)


def test_a_door_answers_with_a_release_that_its_init_container_fetched(door: Started, cluster: World) -> None:
    address = cluster.cluster.addresses["Deployment/recommender"]
    assert requests.get(f"http://{address}:3000/livez", timeout=30).status_code == 200


@pytest.fixture(scope="module")
def router(door: Started, cluster: World, local: pods.Namespace) -> Started:
    return cluster.server(local, "Deployment/router", "router", name="router")


def recommended(cluster: World) -> dict[str, Any]:
    """Ask as a caller does: by the Service `recommender`, and again while a door that just started is late.

    The router says so by a 503 with Retry-After (docs/client.md), or answers without the door, `degraded`.
    """
    url = f"http://{cluster.cluster.hosts['recommender']}/recommend"
    deadline = time.monotonic() + patient(20)
    while True:
        reply = requests.post(url, json={"user_id": "1", "k": 4}, timeout=60)
        late = reply.status_code == 503 or (reply.status_code == 200 and reply.json()["profile"]["degraded"])
        if not late or time.monotonic() > deadline:
            break
        time.sleep(float(reply.headers.get("Retry-After", 1)))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_a_caller_s_request_goes_by_service_and_router_to_the_door(router: Started, cluster: World) -> None:
    found = recommended(cluster)
    assert len(found["items"]) == 4
    assert found["profile"]["rung"] == "fresh"


@pytest.mark.parametrize("name", commands.JOBS)
def test_a_job_does_its_work_in_a_fresh_pod(name: str, trained: Path, cluster: World, local: pods.Namespace) -> None:
    if name == "materialise":
        cluster.store.flushall()
    started, _ = cluster.pod(local, f"CronJob/job-{name}", "job", name=f"job-{name}", api="jobs")
    assert started.ended(JOB_S) == 0, started.logs()
    home = cluster.claim("intentflow-state") / "grocery"
    record = files.read_json(home / "jobs" / f"{name}.json")
    assert record["outcome"] == "done", record
    assert f"intentflow-grocery-{name}" in cluster.apis["jobs"].cluster.names("leases")
    if name == "materialise":
        assert cluster.store.dbsize() >= USERS
    if name == "monitor":
        assert record["counts"]["verdict"] in ("stable", "drifted")
    if name == "score":
        assert executed(home) == commands.STEPS["batch"]
        newest = home / "scores" / files.read_json(home / "scores" / "latest.json")["folder"]
        assert {path.name for path in newest.iterdir()} >= {"recommendations.parquet", "intents.parquet"}


def test_a_training_job_s_node_trains_on_two_processes(trained: Path, cluster: World) -> None:
    run = files.read_json(trained / "run.json")
    rows = Path(run["folders"]["rows"]).relative_to("/state")
    asked = run["parameters"]
    words = ["-m", "components.intent", "--intents", asked["intents"], "--model", asked["intent_model"]]
    words += ["--ranking-weeks", str(asked["ranking_weeks"]), "--rows", f"/state/{rows}", "--intent", "/state/by-job"]
    started, _ = cluster.pod(
        cluster.render("local", ["trainer", "spark"]), "TrainingRuntime/intentflow-torch", "node",
        name="trainer", args=words, claim="trained", variables=OPERATOR,
    )  # fmt: skip
    assert started.ended(JOB_S) == 0, started.logs()
    assert (cluster.claim("trained") / "by-job" / "weights.safetensors").is_file()


def test_the_loop_brings_the_champion_to_serve_by_objects_and_a_job_that_work(
    router: Started, cluster: World, local: pods.Namespace
) -> None:
    """It applies a door, makes the Job of its profiles, and routes; the Job that it made is run as it stands."""
    api = cluster.apis["reconciler"].cluster
    addresses = cluster.cluster.addresses
    api.pod_status = lambda pod: {
        "phase": "Running",
        "podIP": addresses["Deployment/router"],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    for found in local.objects:
        if title(found) in THERE:
            api.put(f"{found['kind'].lower()}s", found)
    started, _ = cluster.pod(local, "Deployment/reconciler", "reconciler", name="reconciler", api="reconciler")
    job = waited(lambda: next(iter(api.names("jobs")), ""), started)
    made = api.get("jobs", job)
    cluster.store.flushall()
    (workload,) = workloads([made])
    own = pods.Namespace([*local.objects, made], local.secrets, more=local.more)
    work, _ = cluster.pod(own, workload.name, "materialise", name="materialise")
    assert work.ended(JOB_S) == 0, work.logs()
    assert cluster.store.dbsize() >= USERS
    with api.lock:
        api.objects["jobs", job] = made | {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}

    def serving() -> bool:
        if "recommender-routes" not in api.names("configmaps"):
            return False
        routes = json.loads(api.get("configmaps", "recommender-routes")["data"]["routes.json"])
        return bool(routes["stable"]["release"] != "seed" and routes["mode"] == "stable")

    waited(serving, started)
    routes = json.loads(api.get("configmaps", "recommender-routes")["data"]["routes.json"])
    assert routes["stable"]["url"].removeprefix("http://") in api.names("deployments")
    assert started.stop() == 0, started.logs()


def waited(asked: Callable[[], Any], started: Started) -> Any:
    """Return the first answer that says yes."""
    deadline = time.monotonic() + JOB_S
    while time.monotonic() < deadline:
        if found := asked():
            return found
        time.sleep(0.5)
    pytest.fail(f"nothing came of it in {JOB_S} s\n{started.logs()}")


def test_models_apart_answer_the_door_that_asks_them(trained: Path, router: Started, cluster: World) -> None:
    split = cluster.render("local", ["split"])
    for name in ("intent", "ranking"):
        served(cluster, split, name, name=name)
    served(cluster, split, "recommender", name="split")
    assert recommended(cluster)["items"]


def test_retraining_decides_and_trains_in_the_image(trained: Path, cluster: World, local: pods.Namespace) -> None:
    words = ("run", "/spec/recommender.yaml", *ENV, "--pipeline", "retrain")
    intentflow(cluster, local, *words, name="retraining")
    assert {"decide"} <= executed(trained) <= commands.STEPS["retrain"]


def test_a_managed_mlflow_keeps_its_registry_in_postgresql(cluster: World) -> None:
    found = cluster.render("production", [])
    secrets = {**cluster.secrets}
    password = secrets["postgres"]["password"]
    secrets["mlflow"] = {"MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg://feast:{password}@postgres:5432/mlflow"}
    own = pods.Namespace(found.objects, secrets, more=found.more)
    registry(cluster, own, name="managed")
    url = f"http://{cluster.cluster.addresses['Deployment/mlflow']}:5000/api/2.0/mlflow"
    more = {"headers": {"Host": "mlflow:5000"}, "auth": account(cluster), "timeout": 30}
    made = requests.post(f"{url}/experiments/create", json={"name": "kept"}, **more)
    assert made.status_code == 200, made.text
    kept = requests.get(f"{url}/experiments/get-by-name", params={"experiment_name": "kept"}, **more)
    assert kept.json()["experiment"]["artifact_location"].startswith("mlflow-artifacts:/")
