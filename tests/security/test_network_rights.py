"""A label opens what it names: who may ask for recommendations does not thereby move models or read what is counted."""

import shutil
from typing import Any

import pytest

from feature_repo.checkout import ROOT
from pipelines.manifests import objects, release_overlay

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="renders manifests with kubectl")
OPENS = {  # policy: port: the labels of namespaces that reach it
    "router": {"http": {"access"}, "admin": {"metrics"}},
    "recommender": {"http": {"metrics"}},
    "mlflow": {"http": {"registry"}},
    "evidently": {"http": {"reports"}},
}
LABEL = "intentflow/"


@pytest.fixture(scope="module")
def production() -> dict[str, Any]:
    return {objects.title(one): one for one in release_overlay.render(ROOT / "k8s" / "overlays" / "production")}


def opened(policy: dict[str, Any]) -> dict[str, set[str]]:
    """Return by port the labels of ours that let a namespace in."""
    found: dict[str, set[str]] = {}
    for rule in policy["spec"].get("ingress", ()):
        selectors = [peer.get("namespaceSelector", {}).get("matchLabels", {}) for peer in rule.get("from", ())]
        labels = {key.removeprefix(LABEL) for one in selectors for key in one if key.startswith(LABEL)}
        for port in rule["ports"]:
            found.setdefault(str(port["port"]), set()).update(labels)
    return {port: labels for port, labels in found.items() if labels}


@pytest.mark.parametrize("name", OPENS)
def test_a_label_opens_one_right_and_no_other(production: dict[str, Any], name: str) -> None:
    """The review's label for callers opened MLflow, Evidently, the doors and the router's admin port as well."""
    assert opened(production[f"NetworkPolicy/{name}"]) == OPENS[name]


def test_the_label_for_callers_opens_the_router_alone(production: dict[str, Any]) -> None:
    policies = [one for title, one in production.items() if title.startswith("NetworkPolicy/")]
    by_access = {
        (one["metadata"]["name"], port)
        for one in policies
        for port, labels in opened(one).items()
        if "access" in labels
    }
    assert by_access == {("router", "http")}


def test_no_container_has_an_address_with_a_password_among_its_arguments(production: dict[str, Any]) -> None:
    """Arguments are read by everybody who lists processes; MLflow reads these addresses from variables."""
    for title, one in production.items():
        spec = one.get("spec", {}).get("template", {}).get("spec", {})
        for container in [*spec.get("initContainers", ()), *spec.get("containers", ())]:
            words = " ".join(map(str, [*container.get("command", ()), *container.get("args", ())]))
            assert not any(secret in words for secret in ("_URI)", "PASSWORD", "_KEY)", "SECRET", "TOKEN")), title
