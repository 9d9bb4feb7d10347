"""A new endpoint is one file and one line: with these two it has a route, a scope, metrics, docs and a client's method.

The toy's file lies in a folder of its own that is added to the package's path, its line is added to the tuple, both in
a process of its own: all else is made at import from the two.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from feature_repo.checkout import ROOT

pytestmark = pytest.mark.process

FILE = '''
"""POST /alike: how alike two users are."""

from typing import TYPE_CHECKING, Literal

from bentos.endpoints import examples
from bentos.endpoints.contract import Contract, Example
from bentos.http.request_context import RequestContext
from bentos.endpoints.schemas import Answer, At, Id, Profile, Request

if TYPE_CHECKING:
    from bentos.recommender.door import Door


class AlikeRequest(Request):
    """Whom to compare."""

    user_id: Id
    others: list[Id]
    by: Literal["taste", "time"] = "taste"
    at: At = None


class Similarities(Answer):
    """How alike they are."""

    shares: list[float]
    profile: Profile


def answer(door: "Door", ask: AlikeRequest, context: RequestContext) -> Similarities:
    """Compare a user with others."""
    state = door.state_of(ask.user_id, ask.at, context)
    door.write(context, state, asked={"others": ask.others})
    return Similarities(shares=[0.5 for _ in ask.others], profile=state.profile, **door.signed(context))


CONTRACT = Contract(
    AlikeRequest,
    Similarities,
    answer,
    Example(
        {"user_id": "1", "others": ["2"]},
        {"shares": [0.5], "profile": examples.PROFILE} | examples.SIGNED,
    ),
)
'''
SCRIPT = """
import json, sys
from pathlib import Path

import bentos.endpoints
from feature_repo import endpoints

bentos.endpoints.__path__.append(sys.argv[1])
endpoints.ENDPOINTS = (*endpoints.ENDPOINTS, endpoints.Endpoint("alike", "read", "How alike users are"))  # the line

from prometheus_client import CollectorRegistry, generate_latest
from starlette.testclient import TestClient

from bentos.endpoints import derived_files
from bentos.endpoints.operations import OPERATIONS
from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app, scopes
from bentos.recommender.logs import requestlog
from bentos.recommender.metrics import Metrics
from bentos.router import requests
from monitoring.observability import objectives, prometheus_rules
from tests.bentos.conftest import World

folder = Path(sys.argv[1]) / "world"
door, registry = World(folder).door(), CollectorRegistry()
pools = [BoundedPool(timeout_s=5, max_concurrency=2) for _ in range(2)]
app = create_app()
app.state.opened = DoorContext(door, *pools, Metrics(door.release, registry=registry), {})
client = TestClient(app)
reply = client.post("/alike", json={"user_id": "ann", "others": ["bob"]})
made = {path.name: made(OPERATIONS, path.read_text()) for path, made in derived_files.FILES.items()}
namespace = {}
exec(made["client_methods.py"], namespace)


class Client(namespace["Methods"]):
    def _ask(self, path, asks, fields, answers):
        return answers.model_validate(client.post(path, json={k: v for k, v in fields.items() if v is not None}).json())


found = {
    "status": reply.status_code,
    "wrong": client.post("/alike", json={"user": "ann"}).json()["error"],
    "operation": client.get("/docs.json").json()["paths"]["/alike"]["post"],
    "scope": scopes()["/alike"],
    "metrics": generate_latest(registry).decode(),
    "endpoint": requests.endpoint_of("POST", "/alike"),
    "read": "/alike" in requests.READS,
    "repeatable": requests.repeatable("POST", "/alike", b"{}"),
    "counted": objectives.READS,
    "rules": json.dumps(prometheus_rules.groups()),
    "files": made,
    "called": Client().alike("ann", ["bob", "cleo"]).shares,
}
door.close()
found["logged"] = [line["endpoint"] for line in requestlog.read(folder / "requests")]
for pool in pools:
    pool.close()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the process with one endpoint more says of it."""
    folder = tmp_path_factory.mktemp("endpoint")
    (folder / "alike.py").write_text(FILE)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_it_is_routed_validated_counted_and_logged(found: dict[str, Any]) -> None:
    assert found["status"] == 200
    assert found["wrong"] == "user_id: is missing; allowed: a value"
    assert 'intentflow_requests_total{code="200",endpoint="/alike"' in found["metrics"]
    assert found["logged"] == ["alike", "alike"]


def test_it_has_an_operation_and_a_scope(found: dict[str, Any]) -> None:
    operation = found["operation"]
    assert (operation["operationId"], operation["summary"]) == ("alike", "How alike users are")
    asked = operation["requestBody"]["content"]["application/json"]
    assert asked == {
        "schema": {"$ref": "#/components/schemas/AlikeRequest"},
        "example": {"user_id": "1", "others": ["2"]},
    }
    assert found["scope"] == "recommend"


def test_the_router_knows_its_kind(found: dict[str, Any]) -> None:
    assert (found["endpoint"], found["read"], found["repeatable"]) == ("/alike", True, True)


def test_the_objectives_count_it(found: dict[str, Any]) -> None:
    assert found["counted"] == "/recommend|/intents|/rank|/similar|/values|/explain|/alike"
    assert found["counted"] in found["rules"]


def test_the_client_has_its_method(found: dict[str, Any]) -> None:
    text = found["files"]["client_methods.py"]
    assert "from bentos.endpoints.alike import AlikeRequest, Similarities\n" in text
    assert 'by: Literal["taste", "time"] | None = None' in text
    assert found["called"] == [0.5, 0.5]


def test_the_gateway_and_the_docs_name_it(found: dict[str, Any]) -> None:
    files = found["files"]
    assert "value: /alike\n" in files["route.yaml"]
    row = (
        "| `POST /alike` | How alike users are | user_id, others, by?, at? | "
        "shares, profile, catalogue_version, release, request_id |"
    )
    assert row in files["serving.md"]
    assert "curl -s localhost:3000/alike" in files["client.md"]


def test_what_is_made_for_it_is_formatted_as_ruff_formats(found: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "client_methods.py"
    file.write_text(found["files"]["client_methods.py"])
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    formatted = subprocess.run([*ruff, "format", "--check", *config, file], capture_output=True, text=True)
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr
    linted = subprocess.run([*ruff, "check", *config, file], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout
