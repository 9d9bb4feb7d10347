"""JSON Schemas (2020-12) of the spec and the environment, as editors check a file while it is written.

They say what JSON Schema can: names, types, bounds, allowed values. Rules between fields are the models' own.
"""

from typing import Any

from feature_repo.checkout import ROOT
from pipelines.spec import Recommender

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SPEC_FILE = ROOT / "pipelines" / "specs" / "spec.schema.json"
ENVIRONMENT_FILE = ROOT / "pipelines" / "environments" / "environment.schema.json"
TEMPLATE = {
    "type": "string",
    "pattern": r"\$\{\w+\}",
}  # a variable of the process, filled in before anything is checked
Schema = dict[str, Any]


def spec() -> Schema:
    """Return the schema of a spec."""
    return {"$schema": DIALECT, **Recommender.model_json_schema()}


def environment() -> Schema:
    """Return the schema of an environment after ${NAME} is filled in."""
    from pipelines.environment_spec import Environment

    return {"$schema": DIALECT, **Environment.model_json_schema()}


def environment_file() -> Schema:
    """Return the schema of an environment's file, where ${NAME} may stand for any single value."""
    filled: Schema = _or_template(environment())
    return filled


def _or_template(node: Any) -> Any:
    """Allow a variable's name wherever a value is bounded.

    >>> _or_template({"type": "integer", "minimum": 1, "description": "Nodes"})["anyOf"][0]
    {'type': 'integer', 'minimum': 1}
    """
    if isinstance(node, list):
        return [_or_template(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    single = node.get("type") in ("integer", "number", "boolean", "string")
    bounded = node.get("type") != "string" or {"pattern", "enum", "const", "minLength", "maxLength"} & node.keys()
    if single and bounded:
        about = {key: node[key] for key in ("title", "description", "default") if key in node}
        return about | {"anyOf": [{k: v for k, v in node.items() if k not in about}, TEMPLATE]}
    literal = ("default", "propertyNames", "const", "enum")
    return {key: value if key in literal else _or_template(value) for key, value in node.items()}
