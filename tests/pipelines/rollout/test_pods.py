"""What pods say: which release they run, and why they are not ready, in one line."""

from typing import Any

import pytest

from pipelines.rollout import pods


def pod(release: str = "aaaa", *, ready: bool = True, of: str = "grocery", leaving: bool = False, **status: Any) -> Any:
    labels = {pods.VERSION: release, pods.INSTANCE: of}
    conditions = [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": "p", "labels": labels} | ({"deletionTimestamp": "2026-11-01T00:00:00Z"} if leaving else {})
    return {"metadata": metadata, "status": {"conditions": conditions, **status}}


@pytest.mark.parametrize(
    ("there", "release"),
    [
        ([], ""),
        ([pod(), pod()], "aaaa"),
        ([pod(), pod("seed", ready=False)], "aaaa"),  # of a new template, not yet ready
        ([pod(), pod("seed")], ""),  # a Service leads to both
        ([pod(), pod("seed", leaving=True)], "aaaa"),
        ([pod(ready=False)], ""),
        ([pod(of="toys")], ""),
        ([pod(of=pods.SEED)], "aaaa"),
    ],
)
def test_a_door_runs_the_one_release_that_all_ready_pods_run(there: list[Any], release: str) -> None:
    assert pods.runs(there, "grocery") == release


def deployment(wanted: int, **status: int) -> Any:
    status = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2} | status
    return {"metadata": {"generation": 2}, "spec": {"replicas": wanted}, "status": status}


@pytest.mark.parametrize(
    ("found", "done"),
    [
        (deployment(2), True),
        (deployment(3), False),
        (deployment(2, observedGeneration=1), False),
        (deployment(2, replicas=3), False),  # one of the template before still answers
        (deployment(2, updatedReplicas=1), False),
        (deployment(2, availableReplicas=1), False),
        (deployment(0, replicas=0, updatedReplicas=0, availableReplicas=0), False),
    ],
)
def test_a_door_is_rolled_out_when_only_pods_of_its_newest_template_answer(found: Any, done: bool) -> None:
    assert pods.rolled_out(found) is done


def waiting(reason: str, message: str = "", *, restarts: int = 0, ended: Any = None) -> Any:
    container = {"name": "fetch-release", "restartCount": restarts}
    container |= {"state": {"waiting": {"reason": reason, "message": message}}}
    return pod(ready=False, initContainerStatuses=[container | ({"lastState": {"terminated": ended}} if ended else {})])


FULL = "Traceback (most recent call last):\n  ...\nOSError: [Errno 28] No space left on device\n"
NEWER = "starting\nrelease.json: format 9 is newer than this image understands (3); run it in its own image"


@pytest.mark.parametrize(
    ("found", "said", "limit_s"),
    [
        (
            waiting("CreateContainerConfigError", "couldn't find key A in Secret intentflow/recommender"),
            "fetch-release: CreateContainerConfigError, couldn't find key A in Secret intentflow/recommender", 10.0,
        ),
        (
            waiting("CrashLoopBackOff", "back-off 10s", restarts=3, ended={"exitCode": 1, "message": FULL}),
            "fetch-release: CrashLoopBackOff, back-off 10s, OSError: [Errno 28] No space left on device, exit code 1",
            0.0,
        ),
        (
            waiting("CrashLoopBackOff", restarts=2, ended={"exitCode": 2, "message": NEWER}),
            "fetch-release: CrashLoopBackOff, release.json: format 9 is newer than this image understands (3); "
            "run it in its own image, exit code 2",
            None,
        ),
        (
            waiting("CrashLoopBackOff", restarts=5, ended={"exitCode": 137, "reason": "OOMKilled"}),
            "fetch-release: CrashLoopBackOff, OOMKilled, exit code 137", 0.0,
        ),
        (waiting("ImagePullBackOff", "not found"), "fetch-release: ImagePullBackOff, not found", 90.0),
        (pod(ready=False, phase="Failed", reason="Evicted", message='volume "release" is full'),
         'Evicted, volume "release" is full', None),
        (
            pod(ready=False, initContainerStatuses=[], conditions=[
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
            ]),
            "Unschedulable, 0/1 nodes: cpu", None,
        ),
        (waiting("PodInitializing"), "", None),
    ],
)  # fmt: skip
def test_why_a_pod_is_not_ready_is_told_in_its_own_last_words(found: Any, said: str, limit_s: float | None) -> None:
    told = pods.reason(found)
    assert told.partition("Pod/p")[2].lstrip(": ").strip() == said
    assert pods.hopeless_s(found) == limit_s


def entry(manager: str, second: int, **fields: Any) -> Any:
    return {"manager": manager, "time": f"2026-11-01T00:00:{second:02d}Z", "fieldsV1": {"f:spec": fields}}


def test_who_wrote_a_field_last_is_told_and_never_the_loop_itself() -> None:
    entries = [
        entry("kubectl-client-side-apply", 1, **{"f:template": {}}),
        entry("kubectl-rollout", 2, **{"f:template": {}}),
        entry("kubectl", 3, **{"f:replicas": {}}),
        entry("intentflow", 4, **{"f:replicas": {}}),
    ]
    found = {"metadata": {"managedFields": entries}}
    assert pods.writer(found, "spec", "template") == "kubectl-rollout"
    assert pods.writer(found, "spec", "replicas") == "kubectl"
    assert pods.writer(found, "data") == ""
    assert pods.writer({"metadata": {}}, "spec") == ""


def test_a_condition_that_holds_is_told_with_its_message_if_it_has_one() -> None:
    held = [
        {"type": "Complete", "status": "True"},
        {"type": "Failed", "status": "True", "message": "no pods"},
        {"type": "Suspended", "status": "False", "message": "not now"},
    ]
    assert pods.conditions({"status": {"conditions": held}}) == {"Complete": "", "Failed": "no pods"}
    assert pods.conditions(None) == {}


def test_a_deployment_is_of_the_release_that_its_new_pods_will_run() -> None:
    template = {"metadata": {"labels": {pods.VERSION: "aaaa"}}}
    labels = {"labels": {pods.VERSION: "other"}}
    assert pods.release_of({"metadata": labels, "spec": {"template": template}}) == "aaaa"
    assert pods.release_of({"metadata": labels, "spec": {"template": {"metadata": {}}}}) == pods.SEED
