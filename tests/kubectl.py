"""What kubectl does to the stand-in of the Kubernetes API: apply in both ways, undo, scale, delete.

Client-side apply merges three ways: the manifest, what was applied last (an annotation), and what is there.
"""

import copy
import json
from typing import Any

from tests.field_managers import leaves
from tests.kubernetes_objects import Object, Refusal, dropped
from tests.kubernetes_server import KINDS, Cluster

LAST = "kubectl.kubernetes.io/last-applied-configuration"
RESOURCES = {kind: resource for resource, (_, _, kind) in KINDS.items()}


def apply(cluster: Cluster, objects: list[Object]) -> None:
    """Do as `kubectl apply -k` does."""
    for wanted in objects:
        if (resource := RESOURCES.get(wanted["kind"])) is None:
            continue  # a kind that the stand-in does not keep
        name = wanted["metadata"]["name"]
        there = cluster.get(resource, name) if name in cluster.names(resource) else None
        made = _merged(wanted, there)
        made["metadata"].setdefault("annotations", {})[LAST] = json.dumps(wanted)
        cluster.put(resource, made, manager="kubectl-client-side-apply")


def apply_server_side(cluster: Cluster, objects: list[Object], *, force: bool = False) -> list[str]:
    """Do as `kubectl apply --server-side -k` does; return the conflicts, of which kubectl prints each."""
    found = []
    for wanted in objects:
        if (resource := RESOURCES.get(wanted["kind"])) is None:
            continue
        try:
            cluster.apply(resource, wanted, manager="kubectl", force=force)
        except Refusal as refusal:
            found.append(str(refusal))
    return found


def undo(cluster: Cluster, name: str) -> None:
    """Do as `kubectl rollout undo deployment/…` does: the template of before, and nothing else."""
    deployment = cluster.get("deployments", name)
    deployment["spec"]["template"] = copy.deepcopy(cluster.templates[name][-2])
    cluster.put("deployments", deployment, manager="kubectl-rollout")


def scale(cluster: Cluster, name: str, replicas: int) -> None:
    """Do as `kubectl scale deployment/…` does."""
    deployment = cluster.get("deployments", name)
    deployment["spec"]["replicas"] = replicas
    cluster.put("deployments", deployment, manager="kubectl")


def edit(cluster: Cluster, resource: str, name: str, **data: Any) -> None:
    """Do as `kubectl edit` does to a ConfigMap."""
    there = cluster.get(resource, name)
    cluster.put(resource, there | {"data": data}, manager="kubectl-edit")


def delete(cluster: Cluster, resource: str, name: str) -> None:
    """Do as `kubectl delete` does."""
    cluster.delete(resource, name)


def _merged(wanted: Object, there: Object | None) -> Object:
    made = copy.deepcopy(there) if there is not None else {}
    before = json.loads(((made.get("metadata") or {}).get("annotations") or {}).get(LAST, "{}"))
    for path, _ in leaves(before):
        if path not in dict(leaves(wanted)):
            dropped(made, path)
    for path, value in leaves(wanted):
        at = made
        for key in path[:-1]:
            if not isinstance(at.get(key), dict):
                at[key] = {}
            at = at[key]
        at[path[-1]] = copy.deepcopy(value)
    return made
