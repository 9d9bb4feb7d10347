"""The OpenAPI document: what BentoML knows of its own routes, merged with the mounted endpoints' schemas.

BentoML documents mounted FastAPI applications only, so a Starlette application brings its own operations.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.recommender.problems import Problem

REFERENCE = "#/components/schemas/{model}"
REFUSALS = {
    "400": "The body is no JSON",
    "413": "The body is too large",
    "422": "A field is wrong",
    "429": "Too many requests at once",
    "503": "Events could not be stored, or not folded into profiles",
    "504": "Events were not taken in time",
}


@dataclass(frozen=True)
class Operation:
    """One POST endpoint."""

    path: str
    asks: type[BaseModel]
    answers: type[BaseModel]
    summary: str


def merged(base: dict[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    """Return BentoML's document with the operations added to it."""
    models = [(o.asks, "validation") for o in operations]
    models += [(o.answers, "serialization") for o in operations] + [(Problem, "serialization")]
    _, definitions = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
    document = copy.deepcopy(base)
    document["openapi"] = "3.1.0"  # pydantic's schemas are JSON Schema 2020-12
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    document.setdefault("paths", {}).update({o.path: {"post": _post(o)} for o in operations})
    return document


def _post(operation: Operation) -> dict[str, Any]:
    refusals = {code: {"description": text, "content": _content(Problem)} for code, text in REFUSALS.items()}
    return {
        "summary": operation.summary,
        "operationId": operation.path.strip("/"),
        "tags": ["Service APIs"],
        "requestBody": {"required": True, "content": _content(operation.asks)},
        "responses": {"200": {"description": "The answer", "content": _content(operation.answers)}} | refusals,
    }


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
