"""The OpenAPI document: BentoML's document of its own routes, with the operations of bentos/endpoints added.

BentoML documents mounted FastAPI applications only, so a Starlette application brings its own operations. Each names
every status that it can answer with, and carries an example of a request and of its answer.
"""

import copy
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from bentos.endpoints.operations import Operation
from bentos.http import sse
from bentos.http.problems import Problem

REFERENCE = "#/components/schemas/{model}"
REFUSALS = {
    "400": "The body is no JSON",
    "401": "No key or token, or one that is not known, where the environment asks for one",
    "403": "The key or token is for other endpoints",
    "413": "The body is too large",
    "422": "A field is wrong, or names what the release does not have",
    "429": "Too many requests, at once or by this caller",
    "500": "A fault of the service; its log says more",
    "503": "Events or items could not be stored, events not be folded, or the service is about to end",
    "504": "Events were not taken in time",
}

SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the OIDC provider"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key"},
}
EITHER: tuple[dict[str, list[str]], ...] = ({}, {"bearer": []}, {"key": []})  # {}: the environment may ask for none


def merged(base: dict[str, Any], operations: Sequence[tuple[Operation, type[BaseModel]]]) -> dict[str, Any]:
    """Return BentoML's document with the operations added to it, each with the model of its request."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(asks, "validation") for _, asks in operations]
    models += [(operation.contract.answers, "serialization") for operation, _ in operations]
    models.append((Problem, "serialization"))
    _, definitions = models_json_schema(models, ref_template=REFERENCE)
    document = copy.deepcopy(base)
    document["openapi"] = "3.1.0"  # pydantic's schemas are JSON Schema 2020-12
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    document["components"].setdefault("securitySchemes", {}).update(SECURITY)
    document.setdefault("paths", {}).update(
        {o.path: {o.endpoint.method.lower(): _described(o, asks)} for o, asks in operations}
    )
    return document


def _described(operation: Operation, asks: type[BaseModel]) -> dict[str, Any]:
    example = operation.contract.example
    answered = _content(operation.contract.answers, example.answer)
    if operation.streams:
        answered[sse.MEDIA_TYPE] = {
            "schema": {"type": "string", "description": "Events `token`, `retract` and `item`, then one `done`"}
        }
    refusals = {code: {"description": text, "content": _content(Problem)} for code, text in REFUSALS.items()}
    return {
        "summary": operation.endpoint.about,
        "operationId": operation.endpoint.name,
        "tags": ["Service APIs"],
        "security": list(EITHER),
        "requestBody": {"required": True, "content": _content(asks, example.ask)},
        "responses": {"200": {"description": "The answer", "content": answered}} | refusals,
    }


def _content(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}
