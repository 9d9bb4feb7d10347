"""What follows from the endpoints: the committed files, a client that fits the requests, a router that stays light."""

import inspect
import json
import subprocess
import sys

import pytest

from bentos.client import Recommender
from bentos.endpoints import derived_files
from bentos.endpoints.operations import OPERATIONS, Operation
from bentos.router import requests
from feature_repo import endpoints
from feature_repo.checkout import ROOT

HEAVY = {"torch", "pandas", "feast", "numpy", "pyarrow", "bentoml", "starlette", "mlflow"}


@pytest.mark.parametrize("path", derived_files.FILES, ids=lambda path: path.name)
def test_a_committed_file_is_what_the_endpoints_say(path) -> None:
    text = path.read_text()
    assert text == derived_files.FILES[path](OPERATIONS, text), derived_files.COMMAND


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="has no '<!-- begin"):
        derived_files.between("a page", "a table")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.endpoint.name)
def test_the_client_has_a_typed_method_with_the_fields_of_the_request(operation: Operation) -> None:
    method = inspect.signature(getattr(Recommender, operation.endpoint.name))
    fields = operation.contract.asks.model_fields
    assert [name for name in method.parameters if name != "self"] == list(fields)
    for name, field in fields.items():
        parameter = method.parameters[name]
        assert parameter.annotation is not inspect.Parameter.empty
        whose = name == next(iter(fields)) == "user_id"  # by position, also where it may be left out
        assert (parameter.kind is inspect.Parameter.KEYWORD_ONLY) == (not (field.is_required() or whose)), name
        assert (parameter.default is inspect.Parameter.empty) == field.is_required(), name
    assert method.return_annotation is operation.contract.answers


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.endpoint.name)
def test_the_example_keeps_to_the_models(operation: Operation) -> None:
    contract = operation.contract
    assert contract.asks.model_validate_json(json.dumps(contract.example.ask))
    answer = contract.answers.model_validate_json(json.dumps(contract.example.answer))
    assert set(contract.example.answer) == set(contract.answers.model_fields)
    assert answer.model_dump(mode="json", exclude_unset=True).keys() == contract.example.answer.keys()


def test_every_endpoint_is_declared_once() -> None:
    names = [endpoint.name for endpoint in endpoints.ENDPOINTS]
    assert len(names) == len(set(names))
    models = [model.__name__ for o in OPERATIONS for model in (o.contract.asks, o.contract.answers)]
    assert len(models) == len(set(models)), "the OpenAPI document keeps models by name"


def test_the_kinds_are_the_routers_classes() -> None:
    assert {"/recommend", "/intents", "/rank", "/similar", "/values", "/explain"} == requests.READS
    assert {"/describe"} == requests.PERSONAL - requests.READS
    assert {"/events"} == requests.WRITES


@pytest.mark.process
@pytest.mark.parametrize(
    ("module", "without"),
    [("bentos.router.server", HEAVY), ("bentos.client", HEAVY), ("feature_repo.endpoints", HEAVY)],
)
def test_the_router_and_the_client_import_nothing_heavy(module: str, without: set[str]) -> None:
    script = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert without & set(done.stdout.split()) == set()
