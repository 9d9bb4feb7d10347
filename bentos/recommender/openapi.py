"""The OpenAPI document: what BentoML knows of its own routes, merged with the mounted endpoints' schemas.

BentoML documents mounted FastAPI applications only, so a Starlette application brings its own operations. Each names
every status that it can answer with, and carries an example of a request and of its answer.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bentos.http import sse
from bentos.http.problems import Problem
from bentos.recommender.examples import EXAMPLES

REFERENCE = "#/components/schemas/{model}"
REFUSALS = {
    "400": "The body is no JSON",
    "401": "No key or token, or one that is not known, where the environment asks for one",
    "403": "The key or token is for other endpoints",
    "413": "The body is too large",
    "422": "A field is wrong, or names what the release does not have",
    "429": "Too many requests, at once or by this caller",
    "500": "A fault of the service; its log says more",
    "503": "Events could not be stored or folded into profiles, or the service is about to end",
    "504": "Events were not taken in time",
}

SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token of the OIDC provider"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key"},
}
EITHER: tuple[dict[str, list[str]], ...] = ({}, {"bearer": []}, {"key": []})  # {}: the environment may ask for none


@dataclasses.dataclass(frozen=True)
class Operation:
    """One POST endpoint."""

    path: str
    asks: type[BaseModel]
    answers: type[BaseModel]
    summary: str
    streams: bool = dataclasses.field(default=False, kw_only=True)  # as server-sent events, to who asks for them


def merged(base: dict[str, Any], operations: Sequence[Operation]) -> dict[str, Any]:
    """Return BentoML's document with the operations added to it."""
    models = [(o.asks, "validation") for o in operations]
    models += [(o.answers, "serialization") for o in operations] + [(Problem, "serialization")]
    _, definitions = models_json_schema(models, ref_template=REFERENCE)  # type: ignore[arg-type]
    document = copy.deepcopy(base)
    document["openapi"] = "3.1.0"  # pydantic's schemas are JSON Schema 2020-12
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    document["components"].setdefault("securitySchemes", {}).update(SECURITY)
    document.setdefault("paths", {}).update({o.path: {"post": _post(o)} for o in operations})
    return document


def _post(operation: Operation) -> dict[str, Any]:
    example = EXAMPLES[operation.path]
    answered = _content(operation.answers, example.answer)
    if operation.streams:
        answered[sse.MEDIA_TYPE] = {"schema": {"type": "string", "description": "Events `item`, then one `done`"}}
    refusals = {code: {"description": text, "content": _content(Problem)} for code, text in REFUSALS.items()}
    return {
        "summary": operation.summary,
        "operationId": operation.path.strip("/"),
        "tags": ["Service APIs"],
        "security": list(EITHER),
        "requestBody": {"required": True, "content": _content(operation.asks, example.ask)},
        "responses": {"200": {"description": "The answer", "content": answered}} | refusals,
    }


def _content(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}
    if example is not None:
        media["example"] = example
    return {"application/json": media}
