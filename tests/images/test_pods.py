"""What the kubelet makes of a pod, by value; and that no manifest names a command that is not run in the image."""

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo import checkout
from pipelines import spec
from pipelines.graphs import index
from tests.images import commands, pods, renders
from tests.k8s.test_overlays import OPTIONS

CONFIG = {"kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"HOST": "redis", "spec.yaml": "name: shop"}}
SECRETS = {"login": {"password": "s3cret", "user": "feast"}}
LIMITS = {"limits": {"cpu": "1500m", "memory": "1Gi"}}


def namespace(container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> pods.Namespace:
    """A Deployment of one container."""
    closed = {"securityContext": {"readOnlyRootFilesystem": True}, "resources": LIMITS}
    one = {"name": "one", "image": "intentflow-python:0.1.0"} | closed | container
    pod = {
        "serviceAccountName": "door",
        "securityContext": {"runAsUser": 10001, "runAsGroup": 10002, "fsGroup": 10003},
        "containers": [one],
        "volumes": volumes or [],
    }
    labels = {"app": "door", "pipeline/runid": "r7"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    made = {"kind": "Deployment", "metadata": {"name": "door"}, "spec": {"template": template}}
    return pods.Namespace([made, CONFIG], SECRETS, more={"kube-root-ca.crt": {"ca.crt": "PEM"}})


def made(container: dict[str, Any], volumes: list[dict[str, Any]] | None = None) -> pods.Container:
    found = namespace(container, volumes)
    return found.container(found.workload("Deployment/door"), "one", pod="door-1")


def key(kind: str, name: str, key: str, **more: bool) -> dict[str, Any]:
    return {"valueFrom": {kind: {"name": name, "key": key} | more}}


def test_variables_are_those_that_the_kubelet_would_set() -> None:
    env = [
        {"name": "HOST", "value": "mlflow"},  # env wins over envFrom
        {"name": "URL", "value": "http://$(HOST):$(PORT)/$$(HOST)"},  # PORT comes later: it stays as it is written
        {"name": "PORT", "value": "5000"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['pipeline/runid']"}}},
        {"name": "PASSWORD"} | key("secretKeyRef", "login", "password"),
        {"name": "ABSENT_KEY"} | key("secretKeyRef", "login", "token", optional=True),
        {"name": "ABSENT_SECRET"} | key("secretKeyRef", "none", "token", optional=True),
    ]
    from_ = [{"configMapRef": {"name": "settings"}}, {"prefix": "DB_", "secretRef": {"name": "login"}}]
    found = made({"env": env, "envFrom": [*from_, {"secretRef": {"name": "none", "optional": True}}]})
    assert found.variables == {
        "HOST": "mlflow",
        "spec.yaml": "name: shop",
        "DB_password": "s3cret",
        "DB_user": "feast",
        "URL": "http://mlflow:$(PORT)/$(HOST)",
        "PORT": "5000",
        "POD": "door-1",
        "RUN": "r7",
        "PASSWORD": "s3cret",
    }


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"envFrom": [{"secretRef": {"name": "none"}}]}, "secret none is absent"),
        ({"env": [{"name": "A"} | key("configMapKeyRef", "settings", "PORT")]}, "settings has no key PORT"),
        ({"securityContext": {}}, "readOnlyRootFilesystem"),
    ],
)
def test_a_pod_that_the_kubelet_would_not_start_is_refused(container: dict[str, Any], said: str) -> None:
    with pytest.raises((AssertionError, KeyError), match=said):
        made(container)


def test_a_container_is_podman_s_with_everything_taken_away() -> None:
    found = made(
        {
            "command": ["python", "-m", "$(HOST)"],
            "args": ["--port", "$(PORT)"],
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "volumeMounts": [
                {"name": "scratch", "mountPath": "/tmp"},
                {"name": "state", "mountPath": "/state", "subPathExpr": "$(HOST)"},
                {"name": "spec", "mountPath": "/spec"},
                {"name": "memory", "mountPath": "/dev/shm"},
                {"name": "data", "mountPath": "/data", "readOnly": True},
            ],
        },
        [
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "state", "persistentVolumeClaim": {"claimName": "shared"}},
            {"name": "spec", "configMap": {"name": "settings", "items": [{"key": "spec.yaml", "path": "shop.yaml"}]}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "shared"}},
        ],
    )
    folders = {name: f"/host/{name}" for name in ("door-1/scratch", "door-1/spec", "claims/shared")}
    assert found.words(folders) == [
        *("--user", "10001:10002", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"),
        *("--security-opt", "no-new-privileges", "--memory", "1073741824", "--cpus", "1.500", "--group-add", "10003"),
        *("--env", "HOST=redis", "--env", "spec.yaml=name: shop"),
        *("--volume", "/host/door-1/scratch:/tmp:rw", "--volume", "/host/claims/shared/redis:/state:rw"),
        *("--volume", "/host/door-1/spec:/spec:ro", "--tmpfs", "/dev/shm:rw,mode=1777,size=67108864"),
        *("--volume", "/host/claims/shared:/data:ro", "--entrypoint", "python", "intentflow-python:0.1.0"),
        *("-m", "redis", "--port", "$(PORT)"),
    ]
    sources = {mount.target: mount.source for mount in found.mounts}
    assert sources["/spec"].files == {"shop.yaml": "name: shop"}
    assert sources["/tmp"].limit == 1 << 20


def test_an_account_s_files_are_its_token_the_authority_and_the_namespace() -> None:
    (source,) = (m.source for m in made(
        {"volumeMounts": [{"name": "account", "mountPath": "/account"}]},
        [{"name": "account", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]}}],
    ).mounts)  # fmt: skip
    assert source.files == {"token": "token-of-door", "ca.crt": "PEM", "namespace": "intentflow"}


def test_an_optional_config_map_that_is_absent_is_an_empty_read_only_folder() -> None:
    volume = {"name": "forgotten", "configMap": {"name": "none", "optional": True}}
    (mount,) = made({"volumeMounts": [{"name": "forgotten", "mountPath": "/forgotten"}]}, [volume]).mounts
    assert (mount.source.files, mount.read_only) == ({}, True)


def test_a_volume_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(AssertionError, match="hostPath is not known"):
        made({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, [{"name": "v", "hostPath": {"path": "/"}}])


def test_a_service_leads_to_the_ports_of_a_workload() -> None:
    container = {"ports": [{"name": "http", "containerPort": 3000}], "readinessProbe": {"httpGet": {}}}
    service = {"kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": {"app": "door"}}}
    service["spec"]["ports"] = [{"port": 80, "targetPort": "http"}]  # type: ignore[index]
    objects = [*namespace(container).objects, service]
    assert pods.services(objects) == [pods.Service("shop", "Deployment/door", {80: 3000}, headless=False)]
    container["readinessProbe"]["httpGet"] = {"path": "/readyz", "port": "http"}  # type: ignore[call-overload]
    assert pods.probe(container, "readinessProbe") == (3000, "/readyz")


def named() -> set[pods.Command]:
    """Return every command of every render."""
    plain: list[tuple[str, list[str]]] = [(overlay, []) for overlay in renders.OVERLAYS]
    found: set[pods.Command] = set()
    for overlay, options in [*plain, *OPTIONS, *renders.OTHERS]:
        with tempfile.TemporaryDirectory() as folder:
            found |= set(pods.commands(renders.render(Path(folder), overlay, options)))
    return found


def test_every_command_of_a_manifest_is_run_in_the_image_or_said_not_to_be() -> None:
    found = named()
    assert found - commands.RUN - commands.LEFT.keys() == set(), "name it in commands.py and run it in test_commands.py"
    assert (commands.RUN | commands.LEFT.keys()) - found == set(), "no manifest names it any more"


@pytest.mark.parametrize("pipeline", index.PIPELINES)
def test_every_step_of_a_pipeline_is_run_in_the_image(pipeline: str) -> None:
    text = (checkout.ROOT / "tests" / "golden" / "pipelines" / f"{pipeline}.yaml").read_text(encoding="utf-8")
    executors = next(yaml.load_all(text, Loader=yaml.CSafeLoader))["deploymentSpec"]["executors"]
    assert {name.removeprefix("exec-") for name in executors} == commands.STEPS[pipeline]


def test_the_steps_image_holds_all_that_code_reads_of_the_checkout() -> None:
    """Code names files from checkout.ROOT, which is /app there: packages, the lock, and k8s/."""
    text = (checkout.K8S / "Containerfile").read_text(encoding="utf-8")
    stage = text[text.index("FROM packages AS steps") :]
    copied = re.findall(r"^COPY (\S+) (\S+)$", stage, re.MULTILINE)
    packages = {"feature_repo", "components", "monitoring", "bentos", "pipelines"}
    assert copied == [(name, name) for name, _ in copied]
    assert {name for name, _ in copied} == packages | {checkout.LOCK.name, checkout.K8S.name}


def test_the_shop_that_the_images_are_tried_with_is_named_as_the_seed_release() -> None:
    assert spec.load(renders.SPEC).name == "grocery"
