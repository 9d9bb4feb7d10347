"""The TypeScript client's derived files: the OpenAPI document that its types are made from, and a method an endpoint.

`python -m bentos.endpoints.derived_files` writes them beside what people write of it (bentos/clients/typescript); `make
client` has openapi-typescript make the types of requests and answers from the document.
"""

import inspect
import json
from collections.abc import Sequence

from bentos.endpoints.openapi import merged
from bentos.endpoints.operations import Operation

INFO = {
    "title": "IntentFlow",
    "version": "0.1.0",
    "description": "What a recommender of IntentFlow answers; a release narrows some fields and says so in /docs.json.",
}
_HEAD = """/** The client's methods, one an endpoint. Written by `{command}`; do not edit. */

import type {{ components }} from "./schemas.js";

type Schemas = components["schemas"];
"""
_CLASS = """
/** A method for each endpoint; what is left out of a request takes its default. */
export abstract class Methods {
  /** Send a request to a path; `entries` names the list of a write, whose entries get ids. */
  protected abstract ask<Answer>(method: string, path: string, body: object, entries?: string): Promise<Answer>;
"""


def document(operations: Sequence[Operation], _: str) -> str:
    """Return the OpenAPI document of all endpoints, as no release narrows it."""
    found = merged({"info": INFO, "paths": {}}, [(one, one.contract.asks) for one in operations])
    return json.dumps({"openapi": found.pop("openapi"), **found}, indent=1, ensure_ascii=False) + "\n"


def methods(operations: Sequence[Operation], command: str) -> str:
    """Return src/methods.ts: the types of all requests and answers by name, and a method for each endpoint."""
    names = {
        model.__name__: "" for one in operations for model in (one.contract.asks, one.contract.answers)
    }  # in the endpoints' order
    types = "".join(f'export type {name} = Schemas["{name}"];\n' for name in names)
    return f"{_HEAD.format(command=command)}{types}{_CLASS}{''.join(map(_method, operations))}}}\n"


def _method(operation: Operation) -> str:
    endpoint, contract = operation.endpoint, operation.contract
    about = (inspect.getdoc(contract.answer) or "").splitlines()[0]
    entries = f', "{endpoint.name}"' if endpoint.kind == "write" else ""
    # A request of which nothing is needed may be left out whole.
    least = "" if any(field.is_required() for field in contract.asks.model_fields.values()) else " = {}"
    answers = contract.answers.__name__
    return (
        f"\n  /** {about} */\n"
        f"  {endpoint.name}(ask: {contract.asks.__name__}{least}): Promise<{answers}> {{\n"
        f'    return this.ask<{answers}>("{endpoint.method}", "{operation.path}", ask{entries});\n  }}\n'
    )
