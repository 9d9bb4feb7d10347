"""The Kubernetes API of one namespace, as plain objects: read, create, apply, patch and delete a few kinds.

Training jobs (`components/distributed`) and the rollout (`pipelines/rollout`) use it; nothing else imports the
`kubernetes` client. Inside a pod it uses the pod's service account, elsewhere a kubeconfig. It tries every request
once: its callers poll. What an object means is theirs to know.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from feature_repo.errors import ServerError

Object = dict[str, Any]

MANAGER = "intentflow"  # field manager: it may change the fields that it wrote without force
PATHS = {
    "ConfigMap": "api/v1/namespaces/{namespace}/configmaps",
    "Service": "api/v1/namespaces/{namespace}/services",
    "Pod": "api/v1/namespaces/{namespace}/pods",
    "Deployment": "apis/apps/v1/namespaces/{namespace}/deployments",
    "Job": "apis/batch/v1/namespaces/{namespace}/jobs",
    "CronJob": "apis/batch/v1/namespaces/{namespace}/cronjobs",
    "Secret": "api/v1/namespaces/{namespace}/secrets",
    "HorizontalPodAutoscaler": "apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
    "PodDisruptionBudget": "apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
    "NetworkPolicy": "apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
    "Lease": "apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    "TrainJob": "apis/trainer.kubeflow.org/v1alpha1/namespaces/{namespace}/trainjobs",
    "Namespace": "api/v1/namespaces",
    "StorageClass": "apis/storage.k8s.io/v1/storageclasses",
    "SelfSubjectAccessReview": "apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
}
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_S, READ_S = 3.0, 10.0
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"
Propagation = Literal["Background", "Foreground"]


class Conflict(Exception):
    """Another client changed the object since it was read, or created one of that name."""


class Forbidden(ServerError):
    """The API server answered, and this account may not do it."""


class Away(ServerError):
    """Nothing answers at the API server's address."""


class NoCluster(Exception):
    """Neither a pod's service account nor a kubeconfig names a cluster."""


class Api:
    """One namespace of a cluster, and the kinds of PATHS in it."""

    def __init__(self, client: Any, namespace: str, *, forbidden: str, read_s: float = READ_S) -> None:
        self.client = client
        self.namespace = namespace
        self.read_s = read_s  # for an answer
        self.forbidden = forbidden  # what to do where this account lacks a right, for the message

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None where there is none."""
        return self._call("GET", kind, name, missing_is_none=True)

    def listed(self, kind: str, labels: Mapping[str, str]) -> list[Object]:
        """Return the objects of a kind that carry labels."""
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        found = self._call("GET", kind, query=[("labelSelector", selector)]) or {}
        return list(found.get("items") or [])  # Go writes an empty list as null

    def document(self, path: str) -> Object | None:
        """Return what the API says under a path that is no object, such as `version`; None where there is none."""
        return self._ask("GET", path, path, missing_is_none=True)

    def create(self, kind: str, body: Object) -> Object:
        """Create an object; raises Conflict where one of that name exists."""
        return self._call("POST", kind, body=body, query=[("fieldManager", MANAGER)]) or {}

    def replace(self, kind: str, body: Object) -> Object:
        """Write an object over the version that was read; raises Conflict where a newer one exists."""
        return self._call("PUT", kind, body["metadata"]["name"], body=body, query=[("fieldManager", MANAGER)]) or {}

    def apply(self, body: Object) -> Object:
        """Apply an object as `kubectl apply --server-side --force-conflicts` does; repeating it changes nothing."""
        query = [("fieldManager", MANAGER), ("force", "true")]
        return self._call("PATCH", body["kind"], body["metadata"]["name"], body=body, query=query, media=APPLY) or {}

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge fields into an object; with a resourceVersion among them it raises Conflict as `replace` does."""
        return self._call("PATCH", kind, name, body=body, query=[("fieldManager", MANAGER)], media=MERGE) or {}

    def delete(self, kind: str, name: str, *, propagation: Propagation = "Background") -> bool:
        """Delete an object and its dependents; return whether it existed. `Foreground`: dependents go first."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        return self._call("DELETE", kind, name, body=body, missing_is_none=True) is not None

    def delete_at(self, kind: str, name: str, version: str, *, propagation: Propagation = "Background") -> bool:
        """Delete an object at a resourceVersion; raises Conflict where it has another by now."""
        body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
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
        path = PATHS[kind].format(namespace=self.namespace) + (f"/{name}" if name else "")
        what = f"{kind}/{name or '*'}"
        return self._ask(method, path, what, body=body, query=query, media=media, missing_is_none=missing_is_none)

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: Object | None = None,
        query: list[tuple[str, str]] | None = None,
        media: str = "application/json",
        missing_is_none: bool = False,
    ) -> Object | None:
        import urllib3
        from kubernetes.client import ApiException

        try:
            answer: Object = self.client.call_api(
                f"/{path}",
                method,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": media},
                body=body,
                response_type="object",  # the client's own classes refuse an empty list that Go wrote as null
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=(CONNECT_S, self.read_s),
            )
        except ApiException as error:
            if error.status == 404 and missing_is_none:
                return None
            if error.status == 409:
                raise Conflict(_message(error)) from error
            kind = Forbidden if error.status == 403 else ServerError
            raise kind(f"{method} {what}: {_message(error)}{self._hint(error.status)}") from error
        except urllib3.exceptions.HTTPError as error:
            host = self.client.configuration.host
            raise Away(f"{host}: the Kubernetes API does not answer ({_short(error)})") from error
        return answer

    def _hint(self, status: int) -> str:
        if status == 403:
            return f"; {self.forbidden}"
        return "; log in to the cluster again" if status == 401 else ""


def own_namespace() -> str | None:
    """Return the namespace of the pod that this process runs in, None outside a cluster."""
    if not (ACCOUNT / "token").is_file():
        return None
    return (ACCOUNT / "namespace").read_text(encoding="utf-8").strip()


def connected(namespace: str = "", *, context: str = "", forbidden: str, read_s: float = READ_S) -> Api:
    """Return the API of a namespace, '' is the pod's own or `default`; raises NoCluster where there is no cluster.

    `context` names one of the kubeconfig's; '' is its current one. `read_s` is the patience for an answer.
    """
    import urllib3
    from kubernetes import client, config

    configuration, own = client.Configuration(), own_namespace()
    try:
        if own is not None:
            config.load_incluster_config(client_configuration=configuration)
        else:
            # Given here: the client's own default is the variable's value when the client was imported.
            file = os.environ.get("KUBECONFIG") or None
            config.load_kube_config(file, context=context or None, client_configuration=configuration)
    except config.ConfigException as error:
        raise NoCluster(str(error)) from error
    configuration.retries = urllib3.Retry(0)  # callers poll; a write that is repeated blindly ends in a conflict
    return Api(client.ApiClient(configuration), namespace or own or "default", forbidden=forbidden, read_s=read_s)


def _message(error: Any) -> str:
    """Return the message of the Status in the API server's answer."""
    try:
        return " ".join(str(json.loads(error.body)["message"]).split())
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"


def _short(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or error).split(">: ")[-1]
