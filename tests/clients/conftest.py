"""Both clients behind one face: a list of requests in, what became of each out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from bentos.client import Recommender, Unanswered
from bentos.endpoints.items import ItemChange
from bentos.endpoints.schemas import Event
from tests.clients import typescript

Asks = Sequence[dict[str, Any]]  # each: method, ask, options
Client = Callable[[str, Asks], list[dict[str, Any]]]
NAMES = {"apiKey": "api_key", "token": "token", "origin": "origin", "retries": "retries"}
MODELS = {"events": Event, "items": ItemChange}  # of entries, by the field that holds them


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled TypeScript client."""
    return typescript.built(tmp_path_factory.mktemp("typescript"))


@pytest.fixture(params=["python", "typescript"])
def client(request: pytest.FixtureRequest) -> Client:
    """Each client in turn."""
    if request.param == "python":
        return _python
    compiled = request.getfixturevalue("dist")
    return lambda url, asks: typescript.asked(compiled, url, asks)


def _python(url: str, asks: Asks) -> list[dict[str, Any]]:
    return [_outcome(url, **one) for one in asks]


def _outcome(url: str, method: str, ask: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    fields = {name: [MODELS[name](**one) for one in value] if name in MODELS else value for name, value in ask.items()}
    with Recommender(url, **{NAMES[name]: value for name, value in options.items()}) as asking:
        try:
            return {"answer": getattr(asking, method)(**fields).model_dump(mode="json")}
        except Unanswered as refusal:
            return {"status": refusal.status, "problem": refusal.problem.model_dump()}
        except requests.RequestException as lost:
            return {"lost": type(lost).__name__}
