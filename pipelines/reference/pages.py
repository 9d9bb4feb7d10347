"""Write the reference: docs/spec.md, docs/environment.md and both JSON Schemas. `python -m pipelines.reference`."""

import json
from pathlib import Path

from feature_repo.checkout import ROOT
from feature_repo.errors import shortened
from pipelines.reference import schemas
from pipelines.reference.fields import FieldEntry, fields
from pipelines.reference.schemas import Schema

LONGEST = 120  # characters of a cell
SPEC = """# The spec

Every field of a spec such as `pipelines/specs/grocery.yaml`. This page and
[spec.schema.json](../pipelines/specs/spec.schema.json), which editors check a spec by, are written from the models
(`make golden`), and a difference fails the tests. `intentflow explain models.intent.width` prints one field. In a path
`[]` is each entry of a list and `<name>` a key of your own.
"""
ENVIRONMENT = """# The environment

Every field of an environment such as `pipelines/environments/cluster.yaml`, which `--env` names: where the servers are
and what a place gives. `${NAME}` in a value is that variable of the process, `{home}` the state folder of the
recommender. This page and [environment.schema.json](../pipelines/environments/environment.schema.json) are written from
the models (`make golden`), and a difference fails the tests. `intentflow explain environment.kubeflow.host` prints one
field.
"""


def written() -> dict[Path, str]:
    """Return every file of the reference and its text."""
    return {
        ROOT / "docs" / "spec.md": page(SPEC, schemas.spec()),
        ROOT / "docs" / "environment.md": page(ENVIRONMENT, schemas.environment()),
        schemas.SPEC_FILE: _json(schemas.spec()),
        schemas.ENVIRONMENT_FILE: _json(schemas.environment_file()),
    }


def page(head: str, schema: Schema) -> str:
    """Write a page: a section for each top-level field, a line for each field below it."""
    entries, lines = fields(schema), [head]
    tops = list(dict.fromkeys(_top(entry) for entry in entries))
    for top in tops:
        of_top = [entry for entry in entries if _top(entry) == top]
        first, rest = of_top[0], of_top[1:]
        lines.append(f"## {top}\n\n{first.meaning} ({_facts(first)}).\n")
        if rest:
            lines.append("| field | meaning | type and limits |\n| --- | --- | --- |")
            lines += [_line(entry) for entry in rest]
            lines.append("")
        for kind in (entry for entry in of_top if entry.kinds):
            name = kind.path.rpartition(".")[2]
            lines.append(f"| `{name}` of `{kind.path.rpartition('.')[0]}` | meaning |\n| --- | --- |")
            lines += [f"| `{value}` | {_cell(meaning)} |" for value, meaning in kind.kinds]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _top(entry: FieldEntry) -> str:
    return entry.path.partition(".")[0].removesuffix("[]")


def _line(entry: FieldEntry) -> str:
    return f"| `{entry.path}` | {_cell(entry.meaning)} | {_facts(entry)} |"


def _facts(entry: FieldEntry) -> str:
    """Say type, allowed values, default and bounds in one cell."""
    said = dict(entry.facts)
    kind = said.pop("type")
    if said.get("default", "") not in ("", "required", "left out"):
        said["default"] = f"`{shortened(said['default'], LONGEST)}`"
    parts = [f"{word} {_cell(text)}" for word, text in said.items()]
    return "; ".join([kind, *parts]).replace("default required", "required")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


def _json(schema: Schema) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")
