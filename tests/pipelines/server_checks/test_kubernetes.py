"""Doctor's lines about a cluster: each is planted in a server that refuses what Kubernetes refuses."""

import json

import pytest
import yaml

from feature_repo import checkout
from pipelines.environment_spec import Kubernetes
from pipelines.manifests import release_overlay
from pipelines.server_checks import kubernetes_api, secrets_named
from pipelines.server_checks.check import Check
from tests import kubernetes_server
from tests.bentos.router.test_upstreams import black_hole

VALUE = "c2VjcmV0LXZhbHVl"  # of every key; it must never be shown
SECRETS = {
    "mlflow-reader": ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"],
    "mlflow-server": ["MLFLOW_FLASK_SERVER_SECRET_KEY"],
    "mlflow-writer": ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_USERNAME"],
    "postgres": ["password"],
    "recommender": ["INTENTFLOW_FEAST", "INTENTFLOW_PSEUDONYM_KEY", "INTENTFLOW_SHADOW_TOKEN"],
    "redis": ["password"],
}
RIGHTS = (
    *("deployments apps list", "pods  list", "jobs batch list", "cronjobs batch list"),
    *("configmaps  get", "configmaps  list", "secrets  get", "namespaces  get", "storageclasses storage.k8s.io list"),
)


@pytest.fixture(scope="module")
def overlay():
    return release_overlay.render(checkout.ROOT / "k8s" / "overlays" / "local")


@pytest.fixture(autouse=True)
def once(overlay, monkeypatch):
    """Render the overlay once for all tests."""
    monkeypatch.setattr(release_overlay, "render", lambda folder: overlay)


@pytest.fixture
def made(cluster):
    """A cluster that is as doctor wants it."""
    labels = {kubernetes_api.ENFORCE: "restricted"}
    put(cluster.cluster, "namespaces", "v1", "Namespace", "intentflow", metadata={"labels": labels})
    for name, keys in SECRETS.items():
        put(cluster.cluster, "secrets", "v1", "Secret", name, data=dict.fromkeys(keys, VALUE))
    storage = {"provisioner": "nfs.csi.k8s.io"}
    put(cluster.cluster, "storageclasses", "storage.k8s.io/v1", "StorageClass", "shared", **storage)
    return cluster.cluster


def put(cluster, resource, version, kind, name, *, metadata=None, **body):
    cluster.put(resource, {"apiVersion": version, "kind": kind, "metadata": {"name": name} | (metadata or {})} | body)


def checked():
    found = kubernetes_api.kubernetes(Kubernetes(namespace="intentflow"))
    text = json.dumps([vars(one) for one in found])
    assert VALUE not in text
    assert "a-token" not in text
    return found


def bad():
    return [one for one in checked() if not one.fine]


def test_a_cluster_that_has_everything_is_fine(made, cluster):
    assert checked() == [
        Check("kubernetes", True, f"{cluster.url} runs v1.36.2"),
        Check("namespace", True, "intentflow exists"),
        Check("pod security", True, "intentflow enforces restricted"),
        Check("secrets", True, f"{', '.join(SECRETS)}: there, with the keys that pods need"),
        Check("storage", True, "StorageClass shared; ReadWriteMany: shared"),
        Check("metrics-server", True, "answers"),
        Check("rights: status", True, "all are there"),
        Check("rights: rollout", True, "all are there"),
    ]


def test_nothing_is_written_and_reviews_are_all_that_is_posted(made):
    made.requests.clear()
    checked()
    assert {(verb, what) for verb, what, _ in made.requests if verb not in ("get", "list")} == {
        ("create", "selfsubjectaccessreviews")
    }


def test_a_cluster_that_is_too_old_is_named(made):
    made.version = "v1.29.4"
    (line,) = bad()
    assert line.note.endswith(" runs v1.29.4; the manifests need 1.30 or newer: upgrade it")


def test_a_namespace_that_is_not_there_is_one_line_with_what_makes_it(made):
    del made.objects["namespaces", "intentflow"]
    assert bad() == [
        Check("namespace", False, "intentflow does not exist; kubectl apply -k k8s/overlays/local makes it")
    ]


def test_a_namespace_that_lets_any_pod_in_is_named(made):
    put(made, "namespaces", "v1", "Namespace", "intentflow")
    (line,) = bad()
    assert (line.name, line.note) == (
        "pod security",
        "intentflow enforces none; pods are held to it by: kubectl label --overwrite namespace intentflow "
        "pod-security.kubernetes.io/enforce=restricted",
    )


def test_a_secret_and_a_key_that_are_missing_are_named_with_who_needs_them(made):
    del made.objects["secrets", "redis"]
    put(
        made,
        "secrets",
        "v1",
        "Secret",
        "recommender",
        data={"INTENTFLOW_FEAST": VALUE, "INTENTFLOW_SHADOW_TOKEN": VALUE},
    )
    assert bad() == [
        Check(
            "secret recommender",
            False,
            "lacks the key INTENTFLOW_PSEUDONYM_KEY, which Deployment/recommender needs; "
            "add it: kubectl edit or make the Secret anew",
        ),
        Check(
            "secret redis",
            False,
            "not there, Deployment/redis needs it (password); k8s/overlays/local/secrets.sh shows how it is made",
        ),
    ]


def test_what_runs_names_secrets_too(made):
    for one in yaml.safe_load_all((checkout.ROOT / "k8s/components/reconciler/reconciler.yaml").read_text()):
        if one["kind"] == "Deployment":
            made.put("deployments", one)
    environment = (checkout.ROOT / "k8s/components/reconciler/environment.yaml").read_text()
    labels = {"labels": {"app.kubernetes.io/part-of": "intentflow"}}
    data = {"environment.yaml": environment}
    put(made, "configmaps", "v1", "ConfigMap", "reconciler-spec", metadata=labels, data=data)
    (line,) = bad()
    assert line.name == "secret reconciler"
    assert line.note.startswith(
        "not there, Deployment/reconciler needs it "
        "(INTENTFLOW_FEAST_REGISTRY, INTENTFLOW_PSEUDONYM_KEY, INTENTFLOW_REDIS); "
    )


def test_the_job_of_a_configmap_names_its_secret(overlay):
    folder = checkout.ROOT / "k8s" / "components" / "materialise"
    texts = {"recommender-materialise": "job.json", "materialise-environment": "environment.yaml"}
    maps = [
        {"kind": "ConfigMap", "metadata": {"name": name}, "data": {file: (folder / file).read_text()}}
        for name, file in texts.items()
    ]
    assert set(secrets_named.needed([*overlay, *maps])["materialise"]) == {
        *("", "INTENTFLOW_FEAST_REGISTRY", "INTENTFLOW_PSEUDONYM_KEY", "INTENTFLOW_REDIS"),
    }


def test_an_autoscaler_without_metrics_is_named(made):
    made.groups = ()
    (line,) = bad()
    assert (line.name, line.fine) == ("metrics-server", False)
    assert "the autoscaler sees no load" in line.note


def test_a_cluster_without_shared_storage_says_so_and_is_bad_where_a_claim_asks_for_it(made, overlay, monkeypatch):
    put(made, "storageclasses", "storage.k8s.io/v1", "StorageClass", "shared", provisioner="rancher.io/local-path")
    line = next(one for one in checked() if one.name == "storage")
    assert line.fine
    assert "ReadWriteMany: none that is known for it" in line.note
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "logs"}, "spec": {"accessModes": ["ReadWriteMany"]}}
    monkeypatch.setattr(release_overlay, "render", lambda folder: [*overlay, claim])
    (line,) = bad()
    assert line.note.endswith(", and logs ask for it")
    del made.objects["storageclasses", "shared"]
    (line,) = bad()
    assert (line.name, line.fine) == ("storage", None)


def test_rights_that_are_missing_are_named_by_what_they_are_for(made):
    made.role = [
        {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for resource, group, verb in (right.split(" ") for right in RIGHTS)
        if resource != "cronjobs"
    ]
    lines = {one.name: one.note for one in bad()}
    assert set(lines) == {"rights: status", "rights: rollout"}
    assert lines["rights: status"].startswith("may not list cronjobs; bind this account to a Role such as that of k8s/")
    assert "patch deployments" in lines["rights: rollout"]


def test_what_may_not_be_read_is_said_to_be_unchecked(made):
    made.role = []
    found = {one.name: (one.fine, one.note) for one in checked()}
    assert found["namespace"] == (None, "intentflow: not checked: this account may not get namespaces")
    assert found["secrets"] == (None, "not checked: this account may not get secrets")
    assert found["storage"] == (None, "not checked: this account may not list storageclasses")


def test_a_cluster_that_does_not_answer_is_one_line(cluster, tmp_path, monkeypatch):
    def asked(url):
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
        (line,) = checked()
        return line.note

    assert asked("http://127.0.0.1:9").startswith("http://127.0.0.1:9: the Kubernetes API does not answer (")
    monkeypatch.setattr(kubernetes_api, "TIMEOUT_S", 1)
    with black_hole() as port:
        assert asked(f"http://127.0.0.1:{port}").endswith("mend the kubeconfig (kubernetes.context) or the way to it")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (line,) = checked()
    assert "set KUBECONFIG" in line.note
