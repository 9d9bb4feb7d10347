"""What a task gets on Kubernetes: resources, retries, time, labels, its image, variables by reference, and volumes.

kfp_pipeline.py calls `settle` on every task. By itself it sets only what the local runner acts upon; while a platform
is `given`, as when IR is compiled, it sets everything a cluster needs. Secrets and config are named
by object and key: no value, address or credential enters the IR.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import env_names
from pipelines.graphs.compute import Compute
from pipelines.graphs.step_table import ADMIT, Size, Step

if TYPE_CHECKING:
    from pipelines.environment_spec import Kubeflow, Toleration

# Variables of a step by where they come from, each under its own name as key. All may be absent: a step that needs one
# says so.
CONFIG_KEYS = (
    *(env_names.CLOCK, env_names.EVIDENTLY, env_names.LINKS, env_names.MLFLOW_ARTIFACTS, env_names.OTLP),
    *(env_names.OTLP_SHARE, env_names.PROFILES_ENGINE, env_names.REQUESTS_URL, env_names.SPARK),
    env_names.VERIFY_KEYS,
    *(env_names.TRAINER, "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_TRACKING_URI"),
)
SECRET_KEYS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", env_names.ALERT_URL, env_names.EVIDENTLY_SECRET),
    *(env_names.FEAST, env_names.PSEUDONYM_KEY, env_names.PREVIOUS_PSEUDONYM_KEYS),
    env_names.DATA_KEYS,
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"),
)
SIGNS = (ADMIT, "register", "register_baseline", "register_refit")  # steps that get the key that signs releases
OF_STEPS: dict[str, tuple[str, ...]] = {  # no other's
    **dict.fromkeys(SIGNS, (env_names.SIGNING_KEY,)),
    "search_intent": (env_names.SEARCH_STORAGE,),
    "judge_words": (env_names.LLM, env_names.LLM_KEY),
}
STATE, DATA, FORGOTTEN = "/state", "/data", "/forgotten"  # where volumes are mounted
TOMBSTONES = "recommender-forgotten"  # ConfigMap with the names of tombstones; it may be absent (docs/privacy.md)
RUN_LABEL = "pipeline/runid"  # Kubeflow's own label of a run's pods
USER = 10001  # the image's
LOCAL_RETRIES = 2  # of steps that talk to servers
RETRIES = 3  # of any step on a cluster: pods are evicted, nodes go away
LONGEST_BACKOFF = "600s"


@dataclass(frozen=True)
class Platform:
    """A recommender's place on a cluster."""

    name: str
    compute: Compute
    kubeflow: "Kubeflow"


_GIVEN: ContextVar[Platform | None] = ContextVar("platform", default=None)


@contextlib.contextmanager
def given(platform: Platform) -> Iterator[None]:
    """Have pipelines that are built meanwhile get all that the platform says."""
    token = _GIVEN.set(platform)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def settle(task: Any, step: Step) -> None:
    """Let a task be cached, repeated and tried again by its step's rule; on a cluster give it all that it needs."""
    platform = _GIVEN.get()
    if step.rule != "pure":
        task.set_caching_options(False)
    if step.rule == "pure" and platform is not None:
        task.set_retry(1, backoff_duration="60s", backoff_factor=2.0, backoff_max_duration=LONGEST_BACKOFF)
    if step.rule == "effects":
        task.set_retry(
            LOCAL_RETRIES if platform is None else RETRIES,
            backoff_duration="5s" if platform is None else "15s",
            backoff_factor=2.0,
            backoff_max_duration=LONGEST_BACKOFF,
        )
    if platform is not None:
        _place(task, step.name, platform)


def _place(task: Any, step: str, platform: Platform) -> None:
    """Give a task all that it needs on the cluster."""
    size = platform.compute.size(step)
    _resources(task, size, platform)
    _pod(task, step, size, platform)
    _variables(task, step, platform)
    _volumes(task, platform)
    if step in (ADMIT, "ingest"):  # what is left out at ingest is in no table, profile or model
        _leave_out(task)


def _resources(task: Any, size: Size, platform: Platform) -> None:
    task.set_cpu_request(f"{size.cpu:g}").set_cpu_limit(f"{size.cpu_limit:g}")
    task.set_memory_request(size.memory).set_memory_limit(size.memory)
    if size.gpu:
        task.set_accelerator_type(platform.kubeflow.gpu.resource).set_accelerator_limit(size.gpu)


def _pod(task: Any, step: str, size: Size, platform: Platform) -> None:
    """Say how the pod is named, where it may run, as whom and for how long."""
    from kfp import kubernetes

    at = platform.kubeflow
    labels = {"name": "pipeline", "component": step.replace("_", "-"), "part-of": "intentflow"}
    for key, value in labels.items():
        kubernetes.add_pod_label(task, f"app.kubernetes.io/{key}", value)
    kubernetes.add_pod_label(task, "intentflow/recommender", platform.name)
    kubernetes.set_timeout(task, size.minutes * 60)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    if at.image:
        task.set_container_image(at.image)
    if at.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(at.image_pull_secrets))
    gpu = at.gpu if size.gpu else None
    for key, value in (dict(at.node_selector) | (dict(gpu.node_selector) if gpu else {})).items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in [*at.tolerations, *(gpu.tolerations if gpu else [])]:
        _tolerate(task, toleration)


def _tolerate(task: Any, toleration: "Toleration") -> None:
    from kfp import kubernetes

    kubernetes.add_toleration(task, **toleration.model_dump(exclude_defaults=True))


def _variables(task: Any, step: str, platform: Platform) -> None:
    """Name the objects and keys that variables come from; the places of volumes are values."""
    from kfp import kubernetes

    at = platform.kubeflow
    kubernetes.use_config_map_as_env(task, at.config_map, {key: key for key in CONFIG_KEYS}, optional=True)
    secrets = (*SECRET_KEYS, *OF_STEPS.get(step, ()))
    kubernetes.use_secret_as_env(task, at.secret, {key: key for key in secrets}, optional=True)
    kubernetes.use_field_path_as_env(task, env_names.RUN, f"metadata.labels['{RUN_LABEL}']")
    task.set_env_variable(env_names.HOME, f"{STATE}/{platform.name}")
    task.set_env_variable(env_names.SPEC_DIR, DATA)


def _volumes(task: Any, platform: Platform) -> None:
    """Mount the state, kept or for the pod's life, and the source's files where there are any."""
    from kfp import kubernetes

    at = platform.kubeflow
    if at.claim:
        kubernetes.mount_pvc(task, at.claim, STATE)
    else:
        kubernetes.empty_dir_mount(task, "state", STATE)
        task.set_env_variable(env_names.ALONE, "1")
    if at.data_claim:
        kubernetes.mount_pvc(task, at.data_claim, DATA)


def _leave_out(task: Any) -> None:
    """Let the steps that look at the source know who was forgotten, also where the state is a pod's own."""
    from kfp import kubernetes

    kubernetes.use_config_map_as_volume(task, TOMBSTONES, mount_path=FORGOTTEN, optional=True)
    task.set_env_variable(env_names.FORGOTTEN, FORGOTTEN)
