"""The small language model that `intentflow up` runs beside a laptop's doors, where a package carries one.

It runs where the spec asks for a model (`content.model`), the environment names no endpoint, and both the extra `words`
and a package with a model are installed; otherwise doors write fixed sentences and their log says so. `processes.py`
starts and stops it; the doors' variables say where it is.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.content.llm import local, settings
from pipelines.environment import Installation
from pipelines.releases import processes

if TYPE_CHECKING:
    from components.content.llm.client import Client
    from components.content.llm.settings import Endpoint

NAME = "words"


def small_model(place: Installation) -> processes.Process | None:
    """Describe the server of the packaged model, if it is to run."""
    named = any(known.get(settings.LLM, "").strip() for known in (os.environ, place.variables))
    model = None if place.spec.content.model is None or named else local.packaged()
    if model is None or not local.installed():
        return None
    port = _port(place)
    url = f"http://{processes.LOOPBACK}:{port}"
    return processes.Process(
        name=NAME,
        command=(sys.executable, "-m", "components.content.llm.local", str(model), "--port", str(port)),
        url=f"{url}/v1",
        ready_url=f"{url}/health",
        version=str(model),
    )


def variables(place: Installation) -> dict[str, str]:
    """Return what tells a door where the small model is, nothing where none runs."""
    states = [one for one in processes.status(place.home) if one.name == NAME and one.state == "running"]
    model = local.packaged() if states else None
    if model is None:
        return {}
    told = local.endpoint(states[0].url, model).model_dump(exclude_defaults=True)
    return {settings.LLM: json.dumps(told)}


def endpoint(place: Installation) -> "tuple[Endpoint, str] | None":
    """Return the endpoint that the environment names and its key; the small model of `up` where that runs."""
    named = os.environ.get(settings.LLM, "").strip()
    return settings.read(place.variables | variables(place) | (dict(os.environ) if named else {}))


@contextmanager
def at_hand(place: Installation) -> "Iterator[tuple[Client, str] | None]":
    """Give a client of the environment's endpoint, and where that is; of the packaged model, run here, where none is.

    None where there is neither. The model that runs here ends with the process.
    """
    from components.content.llm.client import Client

    found, running = endpoint(place), None
    model = local.packaged() if found is None and local.installed() else None
    if model is not None:
        running, here = local.start(model)
        found = (here, "")
    try:
        yield None if found is None else (Client(*found), "here" if model is not None else found[0].url)
    finally:
        del running


def _port(place: Installation) -> int:
    """Return the port that it has, so that doors that know it go on, or any free one."""
    states = [one for one in processes.status(place.home) if one.name == NAME and one.state == "running"]
    return int(urlsplit(states[0].url).port or 0) if states else processes.free_port(0)
