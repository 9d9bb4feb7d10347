"""How the console asks the running service: looks that count as nothing shown, and what a customer would send.

A look goes to the door that answers the person, with the token that router and doors share, so the request log holds
it as seen by nobody and no KPI, reward or drift counts it. Where only the service's address is known, it goes the way
of customers, under the console's key, and then it counts.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bentos.client import Recommender
from feature_repo import env_names
from feature_repo.errors import ServerError, SpecError
from pipelines.environment import Installation
from pipelines.environment_variables import SHADOW_TOKEN

if TYPE_CHECKING:
    from bentos.router.routes import Backend

TIMEOUT_S = 10.0


@contextmanager
def customer(place: Installation) -> Iterator[Recommender]:
    """Yield a client that asks as a customer's page would, by the router, under the console's key."""
    with _faults(url := _url(place)), Recommender(url, timeout_s=TIMEOUT_S, api_key=_key(place)) as client:
        yield client


@contextmanager
def look(place: Installation, raw_id: str) -> Iterator[tuple[Recommender, bool]]:
    """Yield a client of the door that answers a person, and whether what it asks counts as shown."""
    address, token = door(place, raw_id), place.variables.get(SHADOW_TOKEN, "")
    if address and token:
        with _faults(address), Recommender(address, timeout_s=TIMEOUT_S, look=token) as client:
            yield client, False
        return
    with customer(place) as client:
        yield client, True


def _url(place: Installation) -> str:
    """Return where customers ask."""
    from pipelines.releases import serving

    found = place.environment.console.url or serving.running(place)
    if found is None:
        raise ServerError(
            f"the service of {place.spec.name} does not run here; `intentflow up {place.spec_path}` starts it, or "
            "console.url of the environment says where it runs"
        )
    return found


def _key(place: Installation) -> str | None:
    """Return the key that the environment refers to; None where the service asks for none."""
    name, auth = place.environment.console.key_env, place.environment.serving.auth
    if name:
        if not (key := place.outside.get(name, "")):
            raise SpecError(f"console.key_env: {name} is not set; export a key with the scopes recommend and events")
        return key
    if auth != "none":
        raise SpecError(
            f"console.key_env: the service asks for credentials (serving.auth: {auth}) and the environment names no "
            "variable with the console's key; `intentflow keys SPEC create --for server` makes one"
        )
    return None


def door(place: Installation, raw_id: str) -> str:
    """Return the door that answers a person, by the router's own routes; '' where they are not on this machine."""
    from bentos.router.requests import RECOMMEND, owner_of

    backend = _backend(place, raw_id)
    owner = owner_of(RECOMMEND, json.dumps({"user_id": raw_id}).encode())
    return "" if backend is None else backend.processes(owner)[0]


def release_of(place: Installation, raw_id: str) -> str:
    """Return the release that answers a person, '' where routes do not say."""
    backend = _backend(place, raw_id)
    return "" if backend is None else backend.release


def _backend(place: Installation, raw_id: str) -> "Backend | None":
    from bentos.router import start
    from bentos.router.routes import arm_of

    files = [Path(text) for name in (env_names.ROUTES, env_names.FIRST_ROUTES) if (text := os.environ.get(name))]
    routes = next((found for one in (*files, start.routes_file(place.home)) if (found := start.read(one))), None)
    if routes is None or (not files and not _runs(place)):
        return None
    return routes.backend(arm_of(raw_id, routes)) or routes.stable


def _runs(place: Installation) -> bool:
    """Tell whether the service in the background runs: routes of one that was stopped lead nowhere."""
    from pipelines.releases import serving

    return serving.running(place) is not None


@contextmanager
def _faults(url: str) -> Iterator[None]:
    """Turn a service that is away into one line, without what was asked."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise ServerError(
            f"the service at {url} does not answer ({type(error).__name__}); `intentflow status` says what runs"
        ) from None
