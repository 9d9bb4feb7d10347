"""The overlays and their options: each holds what it promises, and each option fits on top of one."""

import os
import re
from pathlib import Path

import pytest
import yaml

from feature_repo import checkout
from pipelines import environment, spec
from pipelines.manifests import objects as manifest_objects
from pipelines.manifests import release_overlay
from pipelines.rollout import release_objects
from tests.k8s import admission

K8S = checkout.ROOT / "k8s"
OPTIONS = [
    # the overlay, and what is put on it
    ("local", ["gateway"]),
    ("local", ["keda"]),
    ("local", ["pair"]),
    ("local", ["pair", "spread"]),
    ("local", ["in-flight"]),
    ("local", ["otel"]),
    ("local", ["external-secrets"]),
    ("local", ["priority", "spread"]),
    ("local", ["split", "priority", "spread"]),
    ("gpu", ["in-flight", "spread"]),
    ("production", ["gateway", "in-flight", "otel", "event-volume"]),
    ("production", ["monitoring"]),
    ("production", ["split"]),
    ("production", ["console"]),
]


def render(folder, overlay, options):
    """Render an overlay with options on top."""
    home = folder.resolve()
    document = {
        "namespace": "intentflow",
        "resources": [os.path.relpath(K8S / "overlays" / overlay, home)],
        "components": [os.path.relpath(K8S / "components" / option, home) for option in options],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return release_overlay.render(folder)


@pytest.fixture(scope="module")
def production():
    return {manifest_objects.title(o): o for o in release_overlay.render(K8S / "overlays" / "production")}


@pytest.fixture(scope="module")
def gpu():
    return {manifest_objects.title(o): o for o in release_overlay.render(K8S / "overlays" / "gpu")}


def pod(objects, name):
    return objects[f"Deployment/{name}"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("overlay", "options"), OPTIONS, ids=lambda value: value if isinstance(value, str) else "+".join(value)
)
def test_an_option_fits_on_an_overlay(tmp_path, overlay, options):
    assert admission.check(render(tmp_path, overlay, options)) == []


def test_an_option_is_never_left_untried():
    tried = {option for _, options in OPTIONS for option in options}
    within = {"release", "redis", "postgres", "mlflow", "mlflow-managed", "evidently", "router", "reconciler", "gpu"}
    others = {"jobs", "materialise", "spark", "trainer", "words"}  # tried by tests of their own
    assert {path.parent.name for path in (K8S / "components").glob("*/kustomization.yaml")} <= tried | within | others


def test_only_the_intent_model_asks_for_a_gpu_and_runs_the_cuda_image(gpu):
    asking = {
        made.name
        for made in manifest_objects.workloads(list(gpu.values()))
        for _, container in manifest_objects.containers(made.pod)
        if "nvidia.com/gpu" in container["resources"]["limits"]
    }
    assert asking == {"Deployment/intent"}
    (server,) = pod(gpu, "intent")["containers"]
    assert server["image"] == "intentflow-python-cuda:0.1.0"
    assert server["resources"]["requests"]["nvidia.com/gpu"] == server["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod(gpu, "intent")["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod(gpu, "intent")["tolerations"][0]["key"] == "nvidia.com/gpu"


@pytest.mark.parametrize("overlay", ["local", "gpu", "production"])
def test_a_release_on_an_overlay_is_taken_too(tmp_path, overlay):
    release = {"id": "0a1b2c3d4e5f", "name": "shop", "intent": {"version": 7}, "ranking": {"version": 12}}
    release_overlay.write(release, tmp_path, version=3, overlay=overlay)
    assert admission.check(release_overlay.render(tmp_path)) == []


def test_a_release_leaves_the_cuda_image_alone(tmp_path):
    release = {"id": "0a1b2c3d4e5f", "name": "shop", "intent": {"version": 7}, "ranking": {"version": 12}}
    release_overlay.write(release, tmp_path, version=3, overlay="gpu", image="registry.example/intentflow-python:0.2.0")
    objects = {manifest_objects.title(o): o for o in release_overlay.render(tmp_path)}
    assert pod(objects, "intent")["containers"][0]["image"] == "intentflow-python-cuda:0.1.0"
    assert pod(objects, "recommender")["containers"][0]["image"] == "registry.example/intentflow-python:0.2.0"


def test_production_keeps_three_doors_and_three_routers_apart(production):
    assert production["HorizontalPodAutoscaler/recommender"]["spec"]["minReplicas"] == 3
    assert production["Deployment/router"]["spec"]["replicas"] == 3
    for name in ("recommender", "router"):
        keys = {one["topologyKey"] for one in pod(production, name)["topologySpreadConstraints"]}
        assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        assert pod(production, name)["priorityClassName"] == "intentflow-serving"
        assert f"PodDisruptionBudget/{name}" in production


@pytest.mark.parametrize(("options", "fewest"), [([], 1), (["pair"], 2)])
def test_doors_are_evicted_one_at_a_time_and_a_drain_never_waits_for_ever(tmp_path, options, fewest):
    objects = {manifest_objects.title(o): o for o in render(tmp_path, "local", options)}
    scaler = objects["HorizontalPodAutoscaler/recommender"]["spec"]
    assert (scaler["minReplicas"], scaler["minReplicas"] <= scaler["maxReplicas"]) == (fewest, True)
    budget = objects["PodDisruptionBudget/recommender"]["spec"]
    assert (budget["maxUnavailable"], "minAvailable" in budget) == (1, False)
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_loop_s_doors_are_a_pair_too(tmp_path):
    made = {o["kind"]: o for o in release_objects.objects(render(tmp_path, "local", ["pair"]), "0a1b2c3d4e5f")}
    assert made["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 2
    affinity = made["Deployment"]["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    (wish,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = wish["podAffinityTerm"]["labelSelector"]["matchLabels"]
    assert labels == {"app.kubernetes.io/name": "recommender-0a1b2c3d4e5f"}


MEASURED_MIB = {"recommender": 601, "router": 37, "mlflow": 378, "evidently": 255, "redis": 79}  # on one node, serving


def test_the_small_overlay_s_sizes_fit_what_its_servers_take_and_a_node_of_two_cores():
    objects = {manifest_objects.title(o): o for o in release_overlay.render(K8S / "overlays" / "local")}
    for name, took in MEASURED_MIB.items():
        (server,) = pod(objects, name)["containers"]
        requests, limits = (mib(server["resources"][kind]["memory"]) for kind in ("requests", "limits"))
        assert took <= requests <= 3 * took, name
        assert limits >= 2 * took, name
    for made in manifest_objects.workloads(list(objects.values())):
        for _, container in manifest_objects.containers(made.pod):  # what loads takes no more than half of the node
            assert cores(container["resources"]["limits"]["cpu"]) <= 1, made.name


def mib(text):
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def cores(text):
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def test_production_runs_no_store_and_keeps_no_data_but_reports(production):
    assert not {"Deployment/redis", "Deployment/postgres"} & production.keys()
    assert [title for title in production if title.startswith("PersistentVolumeClaim/")] == [
        "PersistentVolumeClaim/evidently"
    ]


def test_every_secret_that_production_names_is_filled_from_outside(production):
    named = set()
    for made in manifest_objects.workloads(list(production.values())):
        for _, container in manifest_objects.containers(made.pod):
            named |= {source["secretRef"]["name"] for source in container.get("envFrom", []) if "secretRef" in source}
            entries = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in container.get("env", [])]
            named |= {entry["name"] for entry in entries if entry}
    accounts = {"mlflow-writer", "mlflow-reader", "mlflow-server"}
    assert named == {"recommender", "reconciler", "mlflow", "evidently"} | accounts
    filled = {o["spec"]["target"]["name"] for o in production.values() if o["kind"] == "ExternalSecret"}
    assert named <= filled


def test_production_s_loop_rolls_releases_out_on_production(production, tmp_path):
    (config,) = [o for title, o in production.items() if title.startswith("ConfigMap/reconciler-spec-")]
    (loop,) = pod(production, "reconciler")["containers"]
    assert loop["args"][-2:] == ["--env", "/spec/environment.yaml"]
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    variables = {"INTENTFLOW_REDIS": "r", "INTENTFLOW_FEAST_REGISTRY": "f", "INTENTFLOW_PSEUDONYM_KEY": "ab" * 32}
    found = environment.place(tmp_path / "recommender.yaml", str(tmp_path / "environment.yaml"), variables=variables)
    assert (found.environment.kubernetes.overlay, found.environment.kubernetes.namespace) == (
        "production",
        "intentflow",
    )
    assert spec.load(tmp_path / "recommender.yaml").name == "grocery"


@pytest.mark.parametrize("overlay", ["local", "gpu", "production"])
def test_every_namespace_is_restricted(overlay):
    for found in release_overlay.render(K8S / "overlays" / overlay):
        if found["kind"] == "Namespace":
            assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_pod_s_logs_go_to_a_folder_of_its_own_on_the_shared_volume(tmp_path):
    objects = {manifest_objects.title(o): o for o in render(tmp_path, "production", ["event-volume"])}
    assert objects["PersistentVolumeClaim/recommender-state"]["spec"]["accessModes"] == ["ReadWriteMany"]
    (server,) = pod(objects, "recommender")["containers"]
    mounted = {mount["mountPath"]: mount.get("subPathExpr") or mount.get("subPath") for mount in server["volumeMounts"]}
    assert [mounted[path] for path in ("/state", "/doors", "/log")] == ["doors/$(POD_NAME)", "doors", "log"]
    (volume,) = [v for v in pod(objects, "recommender")["volumes"] if v["name"] == "state"]
    assert volume == {"name": "state", "persistentVolumeClaim": {"claimName": "recommender-state"}}


def test_the_small_cluster_s_doors_share_a_claim_of_its_one_node():
    objects = {manifest_objects.title(o): o for o in release_overlay.render(K8S / "overlays" / "local")}
    claim = objects["PersistentVolumeClaim/recommender-state"]["spec"]
    assert (claim["accessModes"], claim["resources"]["requests"]["storage"]) == (["ReadWriteOnce"], "5Gi")
    assert _doors_variables(objects)["INTENTFLOW_REQUESTS_URL"] == "/log"
    assert int(_doors_variables(objects)["INTENTFLOW_LOGS_KEEP_BYTES"]) < 5 * 2**30
    assert _doors_variables(objects)["INTENTFLOW_DOORS"] == "/doors"


def test_production_s_logs_go_to_its_bucket(production):
    assert _doors_variables(production)["INTENTFLOW_REQUESTS_URL"].startswith("s3://")


def _doors_variables(objects):
    """Return what the ConfigMaps of the door's container say."""
    (server,) = pod(objects, "recommender")["containers"]
    names = [source["configMapRef"]["name"] for source in server["envFrom"] if "configMapRef" in source]
    return {key: value for name in names for key, value in objects[f"ConfigMap/{name}"]["data"].items()}


def test_callers_reach_every_endpoint_of_the_door_by_the_gateway_and_no_other(tmp_path):
    from bentos.endpoints.operations import OPERATIONS

    (route,) = [o for o in render(tmp_path, "local", ["gateway"]) if o["kind"] == "HTTPRoute"]
    paths = {match["path"]["value"] for rule in route["spec"]["rules"] for match in rule["matches"]}
    assert paths == {one.path for one in OPERATIONS if one.endpoint.kind != "admin"}, "nor what changes items"


def test_the_collector_s_configuration_is_whole():
    text = yaml.safe_load((K8S / "components" / "otel" / "collector.yaml").read_text())
    traces = text["service"]["pipelines"]["traces"]
    for part in ("receivers", "processors", "exporters"):
        assert set(traces[part]) <= text[part].keys()
    assert set(text["service"]["extensions"]) <= text["extensions"].keys()


def test_the_readme_s_ten_commands_are_ten():
    text = (K8S / "README.md").read_text()
    section = text[text.index("## From nothing to recommendations") : text.index("## A new version")]
    assert [int(number) for number in re.findall(r"^(\d+)\. ", section, re.MULTILINE)] == list(range(1, 11))
    assert {Path(line).name for line in re.findall(r"kubectl apply -k ([\w/]+)", section)} >= {"local"}
    # What runs inside a pod calls out as its policy lets it: a router calls doors, and no Service that leads to itself.
    inside = [line for line in section.splitlines() if " exec deploy/router " in line]
    assert inside
    assert {host for line in inside for host in re.findall(r"https?://([^:/]+)", line)} == {"127.0.0.1"}
