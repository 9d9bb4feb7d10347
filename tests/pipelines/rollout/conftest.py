"""A stand-in cluster, and places that roll out there or here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipelines import environment
from pipelines.environment import Installation, Kubernetes
from pipelines.rollout import kubernetes_api
from tests import kubernetes_server

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Reached:
    """A stand-in cluster with its address."""

    cluster: kubernetes_server.Cluster
    url: str
    api: kubernetes_api.Api


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    """An empty namespace of a stand-in cluster, the one that this process's kubeconfig names."""
    found = kubernetes_server.Cluster()
    with kubernetes_server.serving(found) as url:
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
        # The client reads KUBECONFIG as it is imported, so that a variable set later is not seen.
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        yield Reached(found, url, kubernetes_api.connected(Kubernetes(namespace="intentflow")))


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Installation]:
    """Make the place of the demo's recommender, here or in a namespace."""

    def make(*, namespace: str = "") -> Installation:
        spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
        here = environment.place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
        settings = here.environment.kubernetes.model_copy(update={"namespace": namespace})
        return replace(here, environment=here.environment.model_copy(update={"kubernetes": settings}))

    return make
