"""What `status` says of a cluster: each row from real objects, and each difference where a test plants it."""

import copy
import json
import os

import pytest

from feature_repo import checkout
from pipelines.cluster_view import report
from pipelines.cluster_view.differences import Registered
from pipelines.environment_spec import Kubernetes
from pipelines.manifests import release_overlay
from pipelines.rollout import release_objects
from pipelines.rollout.cluster import ROUTES
from tests import kubernetes_server

ID = "0a1b2c3d4e5f"
DOOR = f"recommender-{ID}"
SEED = {"release": "seed", "url": "http://recommender-stable"}
NEW = {"release": ID, "url": f"http://{DOOR}"}
PLURAL = {"Deployment": "deployments", "ConfigMap": "configmaps", "CronJob": "cronjobs"}
AT_THREE = Registered("3", ID)
AT_ONE = Registered("1", "fedcba987654")
WAITS = {
    "phase": "Pending",
    "conditions": [
        {
            **{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
            "message": "0/1 nodes are available: Insufficient cpu",
        }
    ],
}


@pytest.fixture(scope="module")
def rendered():
    return release_overlay.render(checkout.ROOT / "k8s" / "overlays" / "local")


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """The scheduled jobs, as their option renders."""
    folder = tmp_path_factory.mktemp("jobs")  # kustomize renders no component on its own
    option = os.path.relpath(checkout.ROOT / "k8s" / "components" / "jobs", folder.resolve())
    (folder / "kustomization.yaml").write_text(json.dumps({"components": [option]}))
    return release_overlay.render(folder)


@pytest.fixture
def applied(cluster, rendered):
    """The overlay in the namespace, and beside its door another one, of version 3; routes lead to the seed."""
    for one in rendered:
        if one["kind"] in ("Deployment", "ConfigMap"):
            cluster.cluster.put(PLURAL[one["kind"]], one)
    for one in release_objects.objects(copy.deepcopy(rendered), ID):
        if one["kind"] == "Deployment":
            one["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] = ID
            one["spec"]["template"]["metadata"]["annotations"]["intentflow/release-version"] = "3"
            one["metadata"]["labels"]["app.kubernetes.io/version"] = ID
            cluster.cluster.put("deployments", one)
    route(cluster, stable=NEW, candidate=SEED, mode="canary", share=0.25)
    return cluster.cluster


def route(cluster, **routes):
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ROUTES}}
    cluster.cluster.put("configmaps", made | {"data": {"routes.json": json.dumps(routes)}})


def change(cluster, name, edit):
    found = cluster.get("deployments", name)
    edit(found)
    cluster.put("deployments", found)


def asked(registered=AT_THREE):
    return report.report(Kubernetes(namespace="intentflow"), registered)


def test_what_runs_where_is_one_line_each(applied, cluster):
    found = asked()
    assert list(report.lines(found)) == [
        f"  cluster     namespace intentflow of {cluster.url}",
        f"  routes      canary: stable release {ID} at http://{DOOR} (75% of users), candidate release seed at "
        "http://recommender-stable (25%)",
        "  door        recommender  release seed  version 1  1/1 ready  intentflow-python:0.1.0",
        f"  door        {DOOR}  release {ID}  version 3  1/1 ready  intentflow-python:0.1.0",
        "  router      router  2/2 ready  intentflow-python:0.1.0",
        *(
            f"  server      {name}  1/1 ready  {image(applied, name)}"
            for name in ("evidently", "mlflow", "postgres", "redis")
        ),
    ]
    assert found["differences"] == []
    assert report.applied(found) == f"release seed (version 1), release {ID} (version 3)"
    json.dumps(found)


def image(cluster, name):
    return cluster.get("deployments", name)["spec"]["template"]["spec"]["containers"][0]["image"].rpartition("/")[2]


def test_nothing_is_written(applied):
    applied.requests.clear()
    asked()
    assert {verb for verb, _, _ in applied.requests} <= {"get", "list"}


def test_a_champion_that_the_routes_do_not_lead_to_is_named(applied):
    (line,) = asked(Registered("4", "444444444444"))["differences"]
    assert line.startswith(
        f"champion is version 4 (release 444444444444), the routes lead to release {ID} (version 3); "
    )


def test_a_rollout_under_way_is_no_difference(applied, cluster):
    route(cluster, stable=NEW, mode="stable")
    assert asked(Registered("1", "fedcba987654", candidate="1", kept={"seed"}))["differences"] == []


def test_the_seed_is_the_version_that_its_template_names(applied, cluster):
    route(cluster, stable=SEED, candidate=NEW, mode="shadow")
    assert asked(AT_ONE)["differences"] == []


def test_pods_that_run_another_release_than_the_routes_say_are_named(applied, cluster):
    route(cluster, stable=NEW | {"release": "111111111111"}, candidate=SEED, mode="canary", share=0.25)
    lines = asked(Registered("2", "111111111111"))["differences"]
    assert lines == [
        f"the routes say stable is release 111111111111, Deployment/{DOOR} runs {ID}; "
        "apply the release that is meant, or route to what runs"
    ]


def test_a_routed_door_without_a_ready_pod_is_named_with_the_reason(applied, cluster):
    applied.pod_status = lambda pod: WAITS if pod["metadata"]["name"].startswith(DOOR) else kubernetes_server.READY
    change(applied, DOOR, lambda d: d["spec"].update({"minReadySeconds": 1}))
    found = asked()
    reason = f"Pod/{DOOR}-pod-0: Unschedulable, 0/1 nodes are available: Insufficient cpu"
    assert found["differences"] == [f"stable is routed to Deployment/{DOOR}, which has no ready pod of 1: {reason}"]
    assert f"  door        {DOOR}  release {ID}  version 3  0/1 ready  intentflow-python:0.1.0  {reason}" in list(
        report.lines(found)
    )


def test_a_route_to_a_door_that_is_not_there_is_named(applied, cluster):
    route(cluster, stable=NEW | {"url": "http://recommender-gone"}, candidate=SEED, mode="canary", share=0.25)
    lines = asked()["differences"]
    assert "stable is routed to http://recommender-gone: no Deployment of that name; route to a door that runs" in lines


def test_labels_that_an_undo_left_behind_are_named(applied):
    change(applied, "recommender", lambda d: d["metadata"]["labels"].update({"app.kubernetes.io/version": ID}))
    (line,) = asked()["differences"]
    assert line.startswith(f"Deployment/recommender is labelled release {ID}, its pods' template says seed (as after ")


def test_a_door_that_no_route_names_is_named_unless_it_stands_by_for_a_rollback(applied, cluster):
    route(cluster, stable=NEW, mode="stable")
    (line,) = asked()["differences"]
    assert line.startswith("Deployment/recommender (release seed) runs, and no route names it; ")
    assert asked(Registered("3", ID, kept={"seed"}))["differences"] == []
    change(applied, "recommender", lambda d: d["spec"].update({"replicas": 0}))
    assert asked()["differences"] == []


def test_routes_that_cannot_be_read_are_named(applied, cluster):
    route(cluster, mode="canary")
    found = asked()
    assert any(line.startswith(f"  DIFFERS     ConfigMap/{ROUTES}: routes.json: ") for line in report.lines(found))
    assert "  not checked whether registry, routes and pods agree" in list(report.lines(found))


def test_before_the_first_routes_the_champion_is_compared_with_the_door(applied):
    del applied.objects["configmaps", ROUTES]
    found = asked()
    assert found["routes"] is None
    assert "  routes      none yet: routers lead to recommender-stable" in list(report.lines(found))
    assert found["differences"][0].startswith(
        f"champion is version 3 (release {ID}), Deployment/recommender runs seed (version 1); "
    )


def job(name, status, owner=""):
    owners = [{"apiVersion": "batch/v1", "kind": "CronJob", "name": owner, "uid": "u"}] if owner else []
    metadata = {"name": name, "labels": {"app.kubernetes.io/part-of": "intentflow"}, "ownerReferences": owners}
    metadata["creationTimestamp"] = status.get("startTime", "2026-11-01T00:00:00Z")
    return {"metadata": metadata, "spec": {}, "status": status}


def condition(kind, **words):
    return {"conditions": [{"type": kind, "status": "True", **words}]}


def test_jobs_are_told_with_their_last_result_and_why_they_failed(applied, scheduled):
    for one in scheduled:
        if one["kind"] == "CronJob":
            applied.put("cronjobs", one)
    failed = {
        "reason": "PodFailurePolicy",
        "message": "Container job failed with exit code 2",
        "lastTransitionTime": "T3",
    }
    made = [
        job("job-monitor-1", {"startTime": "2026-11-02T05:30:00Z"} | condition("Failed", **failed), "job-monitor"),
        job("job-monitor-0", {"startTime": "2026-11-01T05:30:00Z"} | condition("Complete"), "job-monitor"),
        job("job-score-1", {"startTime": "2026-11-02T04:00:00Z", "active": 1, "ready": 0}, "job-score"),
        job(f"materialise-{ID}", {"startTime": "T", "completionTime": "T2"} | condition("Complete")),
    ]
    for one in made:
        applied.objects["jobs", one["metadata"]["name"]] = one
    ended = {"terminated": {"exitCode": 2, "message": "data.source: no such file"}}
    for name, owner, status in (
        ("job-monitor-1-x", "job-monitor-1", {"containerStatuses": [{"name": "job", "state": ended}]}),
        ("job-score-1-x", "job-score-1", WAITS),
    ):
        metadata = {"name": name, "labels": {"batch.kubernetes.io/job-name": owner}}
        applied.objects["pods", name] = {"metadata": metadata, "status": status}
    assert [line for line in report.lines(asked()) if line.startswith(("  cronjob", "  job"))] == [
        "  cronjob     job-audiences  '0 5 * * *' (suspended)  never ran",
        "  cronjob     job-compact  '30 2 * * *' (suspended)  never ran",
        "  cronjob     job-digests  '0 6 * * *' (suspended)  never ran",
        "  cronjob     job-materialise  '0 3 * * *'  never ran",
        "  cronjob     job-monitor  '30 5 * * *'  failed T3: PodFailurePolicy: Container job failed with exit code 2; "
        "Pod/job-monitor-1-x job: data.source: no such file, exit code 2",
        "  cronjob     job-quality  '0 7 * * *' (suspended)  never ran",
        "  cronjob     job-score  '0 4 * * *'  waiting 2026-11-02T04:00:00Z: Pod/job-score-1-x: Unschedulable, 0/1 "
        "nodes are available: Insufficient cpu",
        f"  job         materialise-{ID}  done T2",
    ]


def test_rights_that_are_missing_are_named_and_the_rest_is_shown(applied):
    applied.role = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]
    found = asked()
    assert [one["name"] for one in found["workloads"]][:2] == ["recommender", DOOR]
    assert found["differences"] == []
    assert (
        "  not seen    this account may not list pods, list jobs, list cronjobs in intentflow; "
        "ask for a Role that allows it" in list(report.lines(found))
    )
    applied.role = []
    found = asked()
    assert found["differences"] is None
    assert "  not checked whether registry, routes and pods agree" in list(report.lines(found))


def test_an_empty_namespace_says_what_to_apply(cluster):
    assert "  nothing of IntentFlow is applied there: `kubectl apply -k` an overlay of k8s/overlays" in list(
        report.lines(asked())
    )


def test_a_cluster_that_does_not_answer_is_one_line(cluster, tmp_path, monkeypatch):
    (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig("http://127.0.0.1:9"))
    (line,) = report.lines(asked())
    assert line.startswith("  cluster     unknown: http://127.0.0.1:9: the Kubernetes API does not answer (")
    assert line.endswith("mend the kubeconfig (kubernetes.context, KUBECONFIG) or the way to it, then ask again")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (line,) = report.lines(asked())
    assert "set KUBECONFIG" in line
