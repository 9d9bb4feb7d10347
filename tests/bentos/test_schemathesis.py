"""Requests made from the OpenAPI document, right and wrong ones, against the door over tiny models.

`positive_data_acceptance` is left out: which items a release has and which times a profile knows, no schema can say.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from prometheus_client import CollectorRegistry

from bentos.endpoints.operations import OPERATIONS
from bentos.http.bounded_pool import BoundedPool
from bentos.recommender.app import DoorContext, create_app
from bentos.recommender.metrics import Metrics
from tests.bentos.conftest import IDS, World
from tests.bentos.sockets import listening

pytestmark = pytest.mark.process

schemathesis = pytest.importorskip("schemathesis")
BASE: dict[str, Any] = {"openapi": "3.0.2", "info": {"title": "door", "version": "1"}, "paths": {}}
QUIET = {
    "suppress_health_check": list(hypothesis.HealthCheck),
    "deadline": None,
    "database": None,
    "derandomize": True,
}


@contextmanager
def served(folder: Path, *, known: bool = False) -> Iterator[Any]:
    """The document of the door, and the door to ask."""
    world = World(folder)
    world.knows("1", 1, 3)
    world.folder.mkdir(parents=True, exist_ok=True)
    world.documents = world.log()
    door = world.door()
    reads, writes = BoundedPool(timeout_s=5, max_concurrency=8), BoundedPool(timeout_s=5, max_concurrency=8, threads=1)
    app = create_app()
    app.state.opened = DoorContext(door, reads, writes, Metrics(door.release, registry=CollectorRegistry()), BASE)
    # With ids of the release the document here is narrower than the door's: what breaks it may be right.
    checks = {"positive_data_acceptance": {"enabled": False}, "negative_data_rejection": {"enabled": not known}}
    config = schemathesis.Config.from_dict({"checks": checks})
    schema = schemathesis.openapi.from_asgi("/docs.json", app, config=config)
    if known:  # ids that the release has: else nearly every question about items ends at its first id
        models = schema.raw_schema["components"]["schemas"]
        for model in ("RankRequest", "DescribeRequest"):
            models[model]["properties"]["item_ids"] |= {"items": {"enum": IDS}, "maxItems": 10}
        models["ExplainRequest"]["properties"]["item_id"] = {"enum": IDS}
    yield schema
    reads.close()
    writes.close()
    door.close()


def attack(schema: Any, *, examples: int) -> int:
    """Send requests to every endpoint and check every answer; return how many."""
    sent = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:

            @hypothesis.settings(max_examples=examples, **QUIET)
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def one(case: Any) -> None:
                nonlocal sent
                sent += 1
                case.call_and_validate()

            one()
    return sent


@pytest.mark.parametrize("known", [False, True], ids=["any", "known items"])
def test_no_request_breaks_the_door(tmp_path: Path, known: bool) -> None:
    with served(tmp_path, known=known) as schema:
        assert attack(schema, examples=5) >= 50


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("known", [False, True], ids=["any", "known items"])
def test_no_request_of_thousands_breaks_the_door(tmp_path: Path, known: bool) -> None:
    with served(tmp_path, known=known) as schema:
        assert attack(schema, examples=250) >= 2500


@pytest.mark.slow
def test_schemathesis_own_command_finds_nothing_on_a_socket(tmp_path: Path) -> None:
    """The phases that only the command has: every bound of every field, wrong methods, broken bodies."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "100", "--exclude-checks", "positive_data_acceptance", "--generation-deterministic"]
    with served(tmp_path / "door") as schema, listening(schema.app) as at:
        done = subprocess.run(
            [*command, "--no-color", f"{at.url}/docs.json"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout


def test_the_document_names_every_refusal_and_shows_an_example(tmp_path: Path) -> None:
    with served(tmp_path) as schema:
        document = json.loads(json.dumps(schema.raw_schema))
    assert set(document["paths"]) == {endpoint.path for endpoint in OPERATIONS}
    for endpoint in OPERATIONS:
        described = document["paths"][endpoint.path][endpoint.endpoint.method.lower()]
        assert set(described["responses"]) == {"200", "400", "401", "403", "413", "422", "429", "500", "503", "504"}
        endpoint.contract.asks.model_validate_json(
            json.dumps(described["requestBody"]["content"]["application/json"]["example"])
        )
        answer = described["responses"]["200"]["content"]["application/json"]["example"]
        assert endpoint.contract.answers.model_validate(answer, strict=False).model_dump(mode="json") == answer
