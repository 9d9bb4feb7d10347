"""TrainJobs and their pods of one namespace, as plain objects. Only here do components import the `kubernetes` client.

Inside a pod it speaks with the pod's account, elsewhere with a kubeconfig.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from feature_repo.errors import ServerError, SpecError

Object = dict[str, Any]
T = TypeVar("T")

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
OF_JOB = "jobset.sigs.k8s.io/jobset-name"  # label of a job's pods: the JobSet has the TrainJob's name
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S = (3.0, 10.0)  # to connect, to read


class Conflict(Exception):
    """An object of that name is there already."""


class TrainJobs:
    """The TrainJobs of one namespace."""

    def __init__(self, client: Any, namespace: str) -> None:
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self._jobs, self._core = CustomObjectsApi(client), CoreV1Api(client)
        self._client, self.namespace = client, namespace

    def get(self, name: str) -> Object | None:
        """Return a job, or None where there is none."""
        return self._said(lambda: self._jobs.get_namespaced_custom_object(*self._at, name, _request_timeout=TIMEOUT_S))

    def create(self, body: Object) -> None:
        """Make a job; raises Conflict where one of that name is there."""
        self._said(lambda: self._jobs.create_namespaced_custom_object(*self._at, body, _request_timeout=TIMEOUT_S))

    def delete(self, name: str) -> None:
        """Delete a job with its pods, if it is there."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}
        self._said(
            lambda: self._jobs.delete_namespaced_custom_object(*self._at, name, body=body, _request_timeout=TIMEOUT_S)
        )

    def pods(self, name: str) -> list[Object]:
        """Return a job's pods."""
        import json

        # Read as it comes: the client's classes refuse an empty list that Go wrote as null.
        found = self._said(
            lambda: self._core.list_namespaced_pod(
                self.namespace,
                label_selector=f"{OF_JOB}={name}",
                _request_timeout=TIMEOUT_S,
                _preload_content=False,
            )
        )
        return list(json.loads(found.data)["items"] or []) if found else []

    @property
    def _at(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    def _said(self, call: Callable[[], T]) -> T | None:
        """Call the API; None where the object is missing."""
        import urllib3
        from kubernetes.client import ApiException

        try:
            return call()
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status == 409:
                raise Conflict(_message(error)) from error
            hint = "; its account needs the Role of k8s/components/trainer" if error.status == 403 else ""
            raise ServerError(f"TrainJobs in {self.namespace}: {_message(error)}{hint}") from error
        except urllib3.exceptions.HTTPError as error:
            host = self._client.configuration.host
            raise ServerError(f"{host}: the Kubernetes API does not answer ({error})") from error


def connected(namespace: str) -> TrainJobs:
    """Return the jobs of a namespace; '' is the pod's own."""
    import urllib3
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        if (ACCOUNT / "token").is_file():
            config.load_incluster_config(client_configuration=configuration)
            namespace = namespace or (ACCOUNT / "namespace").read_text(encoding="utf-8").strip()
        else:
            # Named here: the client's own default is what the variable was when it was imported.
            config.load_kube_config(config_file=os.environ.get("KUBECONFIG"), client_configuration=configuration)
    except config.ConfigException as error:
        raise SpecError(
            f"kubeflow.trainer: a TrainJob needs a cluster, and neither a pod's account nor a kubeconfig is here "
            f"({error}); leave kubeflow.trainer out to train in the step's own process"
        ) from error
    configuration.retries = urllib3.Retry(0)  # whoever waits asks again
    return TrainJobs(client.ApiClient(configuration), namespace or "default")


def _message(error: Any) -> str:
    """Return what the API server said, from the Status in its body."""
    import json

    try:
        return " ".join(str(json.loads(error.body)["message"]).split())
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
