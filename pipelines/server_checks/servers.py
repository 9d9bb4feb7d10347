"""Every server that an environment names, with the check that asks it."""

import contextlib
import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from feature_repo.errors import ServerError, UserError
from pipelines import namespace
from pipelines.environment import Installation
from pipelines.server_checks import check, http_servers, kubernetes_api, object_stores, postgres_server, redis_server
from pipelines.server_checks.check import Check

CLIENTS = {  # loaded before the time runs: on a busy machine that takes longer than a server takes to answer
    **{"mlflow": "requests", "evidently": "requests", "redis": "redis", "limits store": "redis"},
    **{"feast registry": "psycopg", "online store": "psycopg", "requests": "pyarrow.fs", "artifacts": "pyarrow.fs"},
    **{"kubernetes": "kubernetes", "kubeflow": "kfp"},
}
Asks = Callable[[], list[Check]]


def examine(place: Installation) -> list[Check]:
    """Ask all of them at once; none is changed by it."""
    checks = {**_http(place), **_stores(place), **_objects(place), **_clusters(place)}
    for client in {CLIENTS[name] for name in checks if name in CLIENTS}:
        with contextlib.suppress(ImportError):  # its check says that it is not installed
            importlib.import_module(client)
    return check.together(checks)


def _http(place: Installation) -> dict[str, Asks]:
    mlflow, evidently = place.environment.mlflow.tracking_uri, place.environment.evidently
    found: dict[str, Asks] = {}
    if mlflow.startswith("http"):
        found["mlflow"] = partial(http_servers.mlflow, mlflow, place.outside)
    if evidently.startswith("http"):
        found["evidently"] = partial(http_servers.evidently, evidently)
    return found


def _stores(place: Installation) -> dict[str, Asks]:
    """Return the checks of Feast's online store and registry, and of the counts of limits."""
    store, registry = place.environment.feast.online_store, place.environment.feast.registry
    found: dict[str, Asks] = {}
    if store.get("type") == "redis":
        address = str(store.get("connection_string", "localhost:6379"))
        found["redis"] = partial(_redis, "redis", partial(redis_server.settings_of, address), keeps=True)
    if store.get("type") == "postgres":
        found["online store"] = partial(_postgres, "online store", partial(postgres_server.settings_of_store, store))
    if url := _sql(registry):
        found["feast registry"] = partial(_postgres, "feast registry", partial(postgres_server.settings_of_url, url))
    if limits := place.environment.limits_store:
        settings = partial(redis_server.settings_of_url, limits)
        found["limits store"] = partial(_redis, "limits store", settings, keeps=False)
    return found


def _redis(name: str, settings: Callable[[], dict[str, Any]], *, keeps: bool) -> list[Check]:
    try:
        return redis_server.redis(name, settings(), keeps=keeps)
    except ValueError as error:
        return _unreadable(name, error)


def _postgres(name: str, settings: Callable[[], dict[str, Any]]) -> list[Check]:
    try:
        return postgres_server.postgres(name, settings())
    except ValueError as error:
        return _unreadable(name, error)


def _unreadable(name: str, error: ValueError) -> list[Check]:
    return [Check(name, False, f"its address in the environment cannot be read: {error}")]


def _sql(registry: str | dict[str, Any]) -> str:
    """Return the URL of a registry in PostgreSQL, '' for another kind."""
    path = str(registry.get("path", "")) if isinstance(registry, dict) else ""
    return path if path.startswith("postgresql") else ""


def _objects(place: Installation) -> dict[str, Asks]:
    """Return the checks of the stores that the environment names; MLflow's server keeps artifacts of its own."""
    named = {"requests": place.environment.requests.url, "artifacts": place.environment.mlflow.artifacts}
    return {
        name: partial(object_stores.store, name, address)
        for name, address in named.items()
        if address and not address.startswith(("mlflow-artifacts:", str(place.home)))
    }


def _clusters(place: Installation) -> dict[str, Asks]:
    found: dict[str, Asks] = {}
    if watched := namespace.watched(place.environment):
        settings = place.environment.kubernetes.model_copy(update={"namespace": watched})
        found["kubernetes"] = partial(kubernetes_api.kubernetes, settings)
    if place.environment.kubeflow is not None:
        found["kubeflow"] = partial(_kubeflow, place)
    return found


def _kubeflow(place: Installation) -> list[Check]:
    """Ask the pipelines API for what only someone it knows may see."""
    from pipelines.kubeflow import client, declare

    if place.environment.kubeflow is None or not place.environment.kubeflow.host:
        return [Check("kubeflow", None, "not checked: kubeflow.host is empty, and no pipeline runs there")]
    try:
        with client.connected(place, patience_s=check.TIMEOUT_S) as api:
            declare.pipeline_named(api, declare.server_name(place, "train"))
            users = f"namespace {api.namespace}" if api.namespace else "single-user"
            return [Check("kubeflow", True, f"{api.at.host} answers and knows who asks ({users})")]
    except (ServerError, UserError) as error:
        return [Check("kubeflow", False, str(error))]
