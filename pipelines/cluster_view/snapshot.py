"""One look at a namespace: the objects that `status` speaks of, each kind read once.

A kind that this account may not read is None, and named with the right that is missing. An API server that does not
answer is an error of the whole look.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from bentos.router.routes import FILE, Routes
from components.kube_api import Api, Forbidden, Object
from pipelines.rollout.cluster import ROUTES

PART_OF = {"app.kubernetes.io/part-of": "intentflow"}
LISTED = {"Deployment": "deployments", "Pod": "pods", "Job": "jobs", "CronJob": "cronjobs"}


@dataclass(frozen=True)
class Snapshot:
    """The objects of a namespace at one moment; None where they may not be read."""

    namespace: str
    host: str
    deployments: list[Object] | None
    pods: list[Object] | None
    jobs: list[Object] | None
    cronjobs: list[Object] | None
    routes: Routes | None  # None also where there is no router
    missing: tuple[str, ...] = ()  # rights, such as 'list jobs'
    broken: str = ""  # why the routes cannot be read, '' where they can


def taken(api: Api) -> Snapshot:
    """Look once; raises ServerError where the API server does not answer."""
    missing: list[str] = []
    found: dict[str, Any] = {plural: _listed(api, kind, missing) for kind, plural in LISTED.items()}
    routes, broken = _routes(api, missing)
    return Snapshot(
        api.namespace, str(api.client.configuration.host), **found, routes=routes, missing=tuple(missing), broken=broken
    )


def _listed(api: Api, kind: str, missing: list[str]) -> list[Object] | None:
    try:
        # Pods of a Job that a person made by hand may lack our labels, and belong to it all the same.
        return api.listed(kind, {} if kind == "Pod" else PART_OF)
    except Forbidden:
        missing.append(f"list {LISTED[kind]}")
        return None


def _routes(api: Api, missing: list[str]) -> tuple[Routes | None, str]:
    try:
        found = api.get("ConfigMap", ROUTES)
    except Forbidden:
        missing.append("get configmaps")
        return None, ""
    if found is None:
        return None, ""
    try:
        return Routes.model_validate_json((found.get("data") or {}).get(FILE, "")), ""
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"ConfigMap/{ROUTES}: {FILE}: {'.'.join(map(str, first['loc']))} {first['msg']}".replace(
            ":  ", ": "
        )
