"""The one Kubernetes client, against a real socket: what it says where a cluster refuses, is away or is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components import kube_api
from components.kube_api import Conflict, NoCluster
from feature_repo.errors import ServerError, SpecError
from pipelines import namespace
from pipelines.environment_spec import Kubernetes
from tests import kubernetes_server

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}


@pytest.fixture
def cluster() -> kubernetes_server.Cluster:
    return kubernetes_server.Cluster()


@pytest.fixture
def api(cluster: kubernetes_server.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[kube_api.Api]:
    with kubernetes_server.serving(cluster) as url:
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield kube_api.connected("intentflow", forbidden="ask whoever runs the cluster")


def test_an_object_is_made_once_changed_and_gone(api: kube_api.Api) -> None:
    assert api.get("ConfigMap", "m") is None
    made = api.create("ConfigMap", MAP)
    with pytest.raises(Conflict, match="already exists"):
        api.create("ConfigMap", MAP)
    api.patch("ConfigMap", "m", {"data": {"b": "2"}})
    with pytest.raises(Conflict, match="modified"):
        api.replace("ConfigMap", made | {"data": {}})
    with pytest.raises(Conflict, match="another version"):
        api.delete_at("ConfigMap", "m", made["metadata"]["resourceVersion"])
    assert api.delete("ConfigMap", "m")
    assert not api.delete("ConfigMap", "m")


def test_everything_that_is_written_names_its_writer(api: kube_api.Api) -> None:
    made = api.create("ConfigMap", MAP)
    replaced = api.replace("ConfigMap", made | {"data": {"a": "2"}})
    patched = api.patch("ConfigMap", "m", {"data": {"b": "2"}})
    applied = api.apply(MAP | {"data": {"c": "3"}})
    for found in (made, replaced, patched, applied):
        assert {entry["manager"] for entry in found["metadata"]["managedFields"]} == {kube_api.MANAGER}


def test_a_refusal_is_the_server_s_words_and_what_to_do(api: kube_api.Api, cluster: kubernetes_server.Cluster) -> None:
    cluster.role = []
    with pytest.raises(ServerError, match=r"^GET ConfigMap/m: .*is forbidden.*; ask whoever runs the cluster$"):
        api.get("ConfigMap", "m")


def test_a_kind_that_the_cluster_lacks_is_an_error_when_an_object_is_made(api: kube_api.Api) -> None:
    elsewhere = kube_api.Api(api.client, "other", forbidden="")
    with pytest.raises(ServerError, match="could not find the requested resource"):
        elsewhere.create("TrainJob", {"kind": "TrainJob"})


def test_a_server_that_is_gone_is_one_line(
    cluster: kubernetes_server.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kubernetes_server.serving(cluster) as url:
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    api = kube_api.connected("intentflow", forbidden="")
    with pytest.raises(ServerError, match=rf"^{url}: the Kubernetes API does not answer \(.*refused.*\)$"):
        api.listed("Pod", {"a": "b"})


def test_no_kubeconfig_and_no_pod_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(NoCluster):
        kube_api.connected("intentflow", forbidden="")
    with pytest.raises(SpecError, match=r"kubernetes.namespace: 'shop' needs a cluster, .*; set KUBECONFIG, or leave"):
        namespace.connected(Kubernetes(namespace="shop"))


def test_a_pod_rolls_out_in_its_own_namespace_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "namespace").write_text("shop\n")
    monkeypatch.setattr(kube_api, "ACCOUNT", tmp_path)
    assert kube_api.own_namespace() == "shop"
    with pytest.raises(SpecError, match="'other' is not this pod's namespace 'shop'; name that"):
        namespace.connected(Kubernetes(namespace="other"))
