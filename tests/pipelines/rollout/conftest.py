"""A stand-in cluster, and places that roll out there or here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components import kube_api
from pipelines import environment
from pipelines.environment import Installation, Kubernetes
from pipelines.rollout.namespace import connected
from tests import kubernetes_server

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Reached:
    """A stand-in cluster with its address."""

    cluster: kubernetes_server.Cluster
    url: str
    api: kube_api.Api


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    """An empty namespace of a stand-in cluster, the one that this process's kubeconfig names."""
    found = kubernetes_server.Cluster()
    with kubernetes_server.serving(found) as url:
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield Reached(found, url, connected(Kubernetes(namespace="intentflow")))


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Installation]:
    """Make the place of the demo's recommender, here or in a namespace."""

    def make(*, namespace: str = "") -> Installation:
        spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
        here = environment.place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
        settings = here.environment.kubernetes.model_copy(update={"namespace": namespace})
        return replace(here, environment=here.environment.model_copy(update={"kubernetes": settings}))

    return make
