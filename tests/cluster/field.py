"""The cluster that trials act on, and the releases that were made for it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from feature_repo.checkout import K8S
from feature_repo.errors import ServerError
from tests.cluster.kube import NAMESPACE, Kube

MLFLOW = "http://127.0.0.1:5000/api/2.0/mlflow"
LOOP = ("reconciler", "materialise")


@dataclass
class Field:
    """The cluster, and the releases that were made for it, oldest first."""

    kube: Kube
    made: list[dict[str, Any]] = field(default_factory=list)

    def train(self, k: int) -> dict[str, Any]:
        """Run the pipeline on a spec that differs in `k` alone, so that only what hangs on it is made again."""
        document = yaml.safe_load(self.kube.spec.read_text(encoding="utf-8"))
        document["serving"] = document.get("serving", {}) | {"k": k}
        spec = self.kube.work / "recommender.yaml"
        spec.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return self.kube.intentflow("run", spec=spec)

    def release(self, which: str = "champion") -> dict[str, Any]:
        """Fetch a release and write its manifests, once."""
        found = self.kube.intentflow(f"release --version {which}", spec=self.kube.work / "recommender.yaml")
        if found["id"] not in [one["id"] for one in self.made]:
            self.made.append(found)
        return found

    def other(self) -> dict[str, Any]:
        """Return a release that does not serve now, so that a move of the alias is one."""
        routed = self.kube.routes()["stable"]["release"]
        return next(made for made in reversed(self.made) if made["id"] != routed)

    def door(self) -> str:
        """Name the Deployment behind the routes."""
        host = self.kube.routes()["stable"]["url"].partition("://")[2].partition(":")[0].partition("/")[0]
        return "recommender" if host.startswith("recommender-stable") else host

    def serves(self, release: str, *, seconds: float = 600) -> float:
        """Wait until the routes say a release and every pod of its door runs it."""
        kube = self.kube

        def arrived() -> bool:
            routes = kube.routes()
            deployment = kube.get(f"deployment {self.door()}")
            ready = deployment.get("status", {}).get("readyReplicas", 0) >= 1
            return bool(routes["stable"]["release"] == release and routes["mode"] == "stable" and ready)

        return kube.wait(f"the routes lead to release {release}", arrived, seconds=seconds)

    @property
    def name(self) -> str:
        """Name the registered model of releases."""
        return f"{yaml.safe_load(self.kube.spec.read_text(encoding='utf-8'))['name']}-release"

    def mlflow(self, method: str, path: str, **more: Any) -> requests.Response:
        """Ask MLflow through its port-forward, which ends with each pod and comes again."""
        with requests.Session() as session:
            session.trust_env = False
            given = [self.kube.variables.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD")]
            session.auth = (given[0], given[1])  # as the sixth command printed them
            session.mount("http://", HTTPAdapter(max_retries=Retry(8, backoff_factor=0.5, allowed_methods=None)))
            return session.request(method, f"{MLFLOW}/registered-models/{path}", timeout=20, **more)

    def champion(self) -> str:
        """Return the version that holds the alias, '' without one, as MLflow says."""
        reply = self.mlflow("GET", "alias", params={"name": self.name, "alias": "champion"})
        if reply.status_code not in (200, 400, 404):
            raise ServerError(f"MLflow: {reply.status_code} {reply.text[:200]}")
        return str(reply.json()["model_version"]["version"]) if reply.ok else ""

    def move(self, version: str) -> None:
        """Move the champion's alias, as MLflow's page does."""
        body = {"name": self.name, "alias": "champion", "version": version}
        self.mlflow("POST", "alias", json=body).raise_for_status()

    def overlay(self) -> Path:
        """Write the overlay of docs/rollout-cluster.md: `local`, the loop, and the spec that it follows."""
        folder = self.kube.work / "overlay"
        settings = folder / "settings"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "recommender.yaml").write_text(self.kube.spec.read_text(encoding="utf-8"), encoding="utf-8")
        generators = [
            {"name": "reconciler-spec", "behavior": "merge", "files": ["recommender.yaml"]}
            | {"options": {"immutable": True}},
            {"name": "materialise-spec", "behavior": "merge", "files": ["recommender.yaml"]},
        ]
        _kustomization(settings, kind="Component", configMapGenerator=generators)
        path = os.path.relpath(K8S, folder.resolve())
        components = [f"{path}/components/{name}" for name in LOOP]
        _kustomization(
            folder, kind="Kustomization", namespace=NAMESPACE,
            resources=[f"{path}/overlays/local"], components=[*components, "settings"],
        )  # fmt: skip
        return folder


def _kustomization(folder: Path, *, kind: str, **fields: Any) -> None:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    document = {"apiVersion": f"kustomize.config.k8s.io/{version}", "kind": kind, **fields}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
