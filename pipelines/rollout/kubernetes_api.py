"""The Kubernetes API as the rollout uses it: a few kinds of one namespace, as plain objects.

Only here is the `kubernetes` client imported. Inside a pod it speaks with the pod's account, elsewhere with a
kubeconfig. What an object means is `cluster.py`'s and `renewal.py`'s.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Kubernetes

Object = dict[str, Any]

MANAGER = "intentflow"  # field manager: what this name wrote, it may change without asking
PATHS = {
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps",
    "Service": "api/v1/namespaces/{namespace}/services",
    "Pod": "api/v1/namespaces/{namespace}/pods",
    "Deployment": "apis/apps/v1/namespaces/{namespace}/deployments",
    "Job": "apis/batch/v1/namespaces/{namespace}/jobs",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "Lease": "apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
}
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_S, READ_S = 3.0, 10.0
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


class Conflict(Exception):
    """Another one wrote the object meanwhile, or made it."""


class Api:
    """One namespace of a cluster. Kinds outside PATHS are not the rollout's to touch."""

    def __init__(self, client: Any, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None where there is none."""
        return self._call("GET", kind, name, missing_is_none=True)

    def listed(self, kind: str, labels: Mapping[str, str]) -> list[Object]:
        """Return the objects of a kind that carry labels."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found = self._call("GET", kind, query=[("labelSelector", selector)]) or {}
        return list(found.get("items") or [])  # Go writes an empty list as null

    def create(self, kind: str, body: Object) -> Object:
        """Make an object; raises Conflict where one of that name is there."""
        return self._call("POST", kind, body=body) or {}

    def replace(self, kind: str, body: Object) -> Object:
        """Write an object over the version that it was read at; raises Conflict where that is not the newest."""
        return self._call("PUT", kind, body["metadata"]["name"], body=body) or {}

    def apply(self, body: Object) -> Object:
        """Apply an object as `kubectl apply --server-side --force-conflicts` does; again and again is the same."""
        query = [("fieldManager", MANAGER), ("force", "true")]
        return self._call("PATCH", body["kind"], body["metadata"]["name"], body=body, query=query, media=APPLY) or {}

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge fields into an object; with a resourceVersion among them it raises Conflict as `replace` does."""
        return self._call("PATCH", kind, name, body=body, query=[("fieldManager", MANAGER)], media=MERGE) or {}

    def delete(self, kind: str, name: str) -> bool:
        """Delete an object and what belongs to it; say whether it was there."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        return self._call("DELETE", kind, name, body=body, missing_is_none=True) is not None

    def delete_at(self, kind: str, name: str, version: str) -> bool:
        """Delete an object unless it changed since; raises Conflict where it did."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        body |= {"preconditions": {"resourceVersion": version}}
        return self._call("DELETE", kind, name, body=body, missing_is_none=True) is not None

    def _call(
        self,
        method: str,
        kind: str,
        name: str = "",
        *,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        media: str = "application/json",
        missing_is_none: bool = False,
    ) -> Object | None:
        import urllib3
        from kubernetes.client import ApiException

        path = f"/{PATHS[kind].format(namespace=self.namespace)}" + (f"/{name}" if name else "")
        try:
            answer: Object = self.client.call_api(
                path,
                method,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": media},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(CONNECT_S, READ_S),
            )
        except ApiException as error:
            if error.status == 404 and missing_is_none:
                return None
            if error.status == 409:
                raise Conflict(_message(error)) from error
            raise ServerError(f"{method} {kind}/{name or '*'}: {_message(error)}{_hint(error.status)}") from error
        except urllib3.exceptions.HTTPError as error:
            host = self.client.configuration.host
            raise ServerError(f"{host}: the Kubernetes API does not answer ({_short(error)})") from error
        return answer


def connected(settings: Kubernetes) -> Api:
    """Return the API of the namespace that the environment names."""
    import urllib3
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        if (ACCOUNT / "token").is_file():
            _require_here(settings)
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(context=settings.context or None, client_configuration=configuration)
    except config.ConfigException as error:
        raise SpecError(
            f"kubernetes.namespace: '{settings.namespace}' needs a cluster, and the kubeconfig names none ({error}); "
            "set KUBECONFIG, or leave kubernetes.namespace out to roll out on this machine"
        ) from error
    configuration.retries = urllib3.Retry(0)  # the loop comes again; a write that is repeated blindly is a conflict
    return Api(client.ApiClient(configuration), settings.namespace)


def _require_here(settings: Kubernetes) -> None:
    """Refuse to act on another namespace than the pod's own: its rights end there."""
    own = (ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
    if own != settings.namespace:
        raise SpecError(f"kubernetes.namespace: '{settings.namespace}' is not this pod's namespace '{own}'; name that")


def _message(error: Any) -> str:
    """Return what the API server said, from the Status in its body."""
    import json

    try:
        return " ".join(str(json.loads(error.body)["message"]).split())
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _hint(status: int) -> str:
    if status == 403:
        return "; give its account that right (k8s/components/reconciler/role.yaml)"
    return "; log in to the cluster again" if status == 401 else ""


def _short(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or error).split(">: ")[-1]
