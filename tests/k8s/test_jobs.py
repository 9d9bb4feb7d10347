"""Scheduled work on a cluster: pods that a cluster takes, and the right to a Lease and nothing else."""

import json
import os
from pathlib import Path

import pytest
import yaml

from feature_repo.privacy.tombstones import ELSEWHERE
from pipelines import environment, spec
from pipelines.jobs.run import DOES
from pipelines.manifests import release_overlay
from tests.k8s import admission, pod_security

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "k8s" / "components"
NAMES = ("jobs", "materialise")


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """The small cluster's overlay with both components added."""
    folder = tmp_path_factory.mktemp("overlay")

    def relative(path):
        return os.path.relpath(path, folder.resolve())

    document = {"namespace": "intentflow", "resources": [relative(ROOT / "k8s/overlays/local")]}
    document |= {"components": [relative(COMPONENTS / name) for name in NAMES]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return release_overlay.render(folder)


def crons(objects):
    return {found["metadata"]["name"]: found["spec"] for found in objects if found["kind"] == "CronJob"}


def test_a_cluster_would_take_them(objects):
    assert admission.check(objects) == []


def test_every_job_has_its_schedule_and_its_bounds(objects):
    found = crons(objects)
    assert set(found) == {f"job-{name}" for name in DOES}
    for name, cron in found.items():
        assert (cron["concurrencyPolicy"], cron["timeZone"]) == ("Forbid", "Etc/UTC")
        assert cron["startingDeadlineSeconds"] > 0
        assert cron["successfulJobsHistoryLimit"] + cron["failedJobsHistoryLimit"] == 6
        job = cron["jobTemplate"]["spec"]
        assert (job["backoffLimit"], job["ttlSecondsAfterFinished"]) == (2, 604800)
        assert job["activeDeadlineSeconds"] >= 3600
        (container,) = job["template"]["spec"]["containers"]
        assert container["args"][1] == name.removeprefix("job-")
        assert container["image"].endswith(":0.1.0")
        assert list(pod_security.problems(job["template"]["spec"])) == []
    assert len({cron["schedule"] for cron in found.values()}) == len(DOES)
    suspended = {name for name, cron in found.items() if cron["suspend"]}
    assert suspended == {f"job-{name}" for name in ("quality", "compact", "audiences", "digests")}


def test_jobs_may_touch_leases_only(objects):
    (role,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Role", "jobs")]
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}
    ]


@pytest.mark.parametrize("name", NAMES)
def test_spec_and_environment_load_with_what_the_pod_has(name):
    given = {"INTENTFLOW_FEAST_REGISTRY": "postgresql://p", "INTENTFLOW_REDIS": "redis:6379"}
    given |= {"INTENTFLOW_PSEUDONYM_KEY": "a" * 64, "INTENTFLOW_REQUESTS_URL": "", "INTENTFLOW_STATE": "/state"}
    folder = COMPONENTS / name
    found = environment.place(folder / "recommender.yaml", str(folder / "environment.yaml"), variables=given)
    assert found.environment.kubeflow is None
    assert found.environment.kubernetes.namespace == ("intentflow" if name == "jobs" else "")
    assert spec.load(folder / "recommender.yaml").name == "grocery"
    assert (folder / "recommender.yaml").read_text() == (ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()


def told_of_the_forgotten(pod, variables):
    """Look at a pod: does it have the names of tombstones where its variable says, read-only?"""
    (container,) = pod["containers"]
    (volume,) = [v for v in pod["volumes"] if v.get("configMap", {}).get("name") == "recommender-forgotten"]
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == volume["name"]]
    inside = [m["mountPath"] for m in container["volumeMounts"] if mount["mountPath"].startswith(f"{m['mountPath']}/")]
    # Inside a volume the runtime would make the folders above as root's, and the job could not write there.
    return volume["configMap"]["optional"] and mount["readOnly"] and variables[ELSEWHERE] == mount["mountPath"], inside


def test_every_pod_that_writes_profiles_knows_who_was_forgotten(objects):
    maps = {o["metadata"]["name"]: o["data"] for o in objects if o["kind"] == "ConfigMap"}
    (variables,) = [data for name, data in maps.items() if ELSEWHERE in data]
    for cron in crons(objects).values():
        pod = cron["jobTemplate"]["spec"]["template"]["spec"]
        assert told_of_the_forgotten(pod, variables) == (True, [])
    pod = json.loads(maps["recommender-materialise"]["job.json"])["spec"]["template"]["spec"]
    own = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
    assert told_of_the_forgotten(pod, own) == (True, [])


def test_the_loop_finds_its_job_under_the_name_that_it_asks_for(objects):
    from pipelines.rollout.cluster import TEMPLATE

    (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("ConfigMap", TEMPLATE)]
    pod = json.loads(found["data"]["job.json"])["spec"]["template"]["spec"]
    assert list(pod_security.problems(pod)) == []
    maps = {o["metadata"]["name"] for o in objects if o["kind"] == "ConfigMap"}
    needed = [v["configMap"] for v in pod["volumes"] if "configMap" in v]
    assert {one["name"] for one in needed if not one.get("optional")} <= maps
    assert pod["serviceAccountName"] in {o["metadata"]["name"] for o in objects if o["kind"] == "ServiceAccount"}
