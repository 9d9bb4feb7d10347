"""Who has which account of MLflow in the manifests: doors read, the loop and the jobs write, nobody else has one."""

import json
import shutil
from typing import Any

import pytest

from feature_repo.checkout import ROOT
from pipelines.manifests import release_overlay

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="renders manifests with kubectl")
ACCOUNTS = {"mlflow-reader", "mlflow-writer"}


def held(pod: dict[str, Any]) -> dict[str, set[str]]:
    """Return by container the accounts that it is given."""
    found = {}
    for container in [*pod.get("initContainers", ()), *pod["containers"]]:
        whole = {source["secretRef"]["name"] for source in container.get("envFrom", ()) if "secretRef" in source}
        keys = [entry.get("valueFrom", {}).get("secretKeyRef", {}) for entry in container.get("env", ())]
        found[container["name"]] = (whole | {key.get("name", "") for key in keys}) & ACCOUNTS
    return found


@pytest.fixture(scope="module")
def pods() -> dict[str, dict[str, set[str]]]:
    rendered = release_overlay.render(ROOT / "k8s" / "overlays" / "production")
    return {
        one["metadata"]["name"]: held(one["spec"]["template"]["spec"])
        for one in rendered
        if one["kind"] == "Deployment"
    }


def test_doors_read_while_they_fetch_a_release_and_the_loop_writes(pods: dict[str, dict[str, set[str]]]) -> None:
    assert pods["recommender"] == {"fetch-release": {"mlflow-reader"}, "recommender": set()}
    assert pods["reconciler"] == {"reconciler": {"mlflow-writer"}}
    assert pods["router"] == {"router": set()}
    assert pods["evidently"] == {"evidently": set()}
    assert pods["mlflow"] == {"accounts": ACCOUNTS, "mlflow": {"mlflow-writer"}}  # the server: the name alone


def test_the_server_gets_no_password_of_an_account() -> None:
    rendered = release_overlay.render(ROOT / "k8s" / "overlays" / "production")
    server = next(o for o in rendered if o["kind"] == "Deployment" and o["metadata"]["name"] == "mlflow")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    keys = [entry.get("valueFrom", {}).get("secretKeyRef", {}).get("key") for entry in container["env"]]
    assert "MLFLOW_TRACKING_PASSWORD" not in keys
    assert "--app-name=basic-auth" in container["args"]


def test_the_job_of_profiles_writes() -> None:
    job = json.loads((ROOT / "k8s" / "components" / "materialise" / "job.json").read_text())
    assert held(job["spec"]["template"]["spec"]) == {"materialise": {"mlflow-writer"}}
