"""Write the vendored schemas of custom kinds again, from the packages that publish them.

`python k8s/schemas/rebuild.py` fetches each package of `origins.json` by its registry's own client, refuses one whose
sha256 is another, and writes one JSON schema a kind and SOURCES.md. Two forms are read: npm packages whose validators
were generated from the Go types, one small function a type, which are read back into a schema; and wheels of pydantic
models generated from the OpenAPI document. Fields that Kubernetes itself defines point at its own schemas
(kubernetes-validate), so that they are held to the same version as everything else.
"""

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from tests.k8s import schemas  # noqa: E402  (the checkout need not be installed)

Schema = dict[str, Any]
FUNCTION = re.compile(r"function validate(\d+)\(data,")
IMPORT = re.compile(r'import\{validate as validate(\d+)\}from"([^"]+)"')
ENUM = re.compile(r"let (schema\d+_enum)=(\[.*?\]);?(?=function|import|let|export)")
PROPERTY = re.compile(r'void 0[!=]==data(?:\.([\w$]+)|\["([^"]+)"\])(?:&&\(?|\|\|)validate(\d+)\(')
EACH = re.compile(r"validate(\d+)\(data\[key\d+\]")
ITEM = re.compile(r"validate(\d+)\(data\[i\d+\]")
WHOLE = re.compile(r"validate(\d+)\(data,\{")
CALL = re.compile(r"(?<!function )validate\d+\(data")
ERROR = re.compile(r'keyword:"(\w+)",params:\{(\w+):("(?:[^"\\]|\\.)*"|\[[^\]]*\]|[\w.]+)(?:,limit:([\d.e]+))?\}')
LIMITS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


class Npm:
    """The types of an unpacked npm package, read back from the functions that check them."""

    def __init__(self, folder: Path) -> None:
        """Read from a package's folder of validators."""
        self.folder = folder / "package" / "_schemas"

    def definitions(self, type_name: str) -> dict[str, Schema]:
        """Return the schema of a type and of every type of the package that it leads to."""
        found: dict[str, Schema] = {}
        wanted = [type_name]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found[name] = self._type(name)
                wanted += re.findall(r"#/\$defs/(Io\w+|Com\w+)\"", json.dumps(found[name]))
        return found

    def _type(self, name: str) -> Schema:
        text = (self.folder / f"{name}.js").read_text()
        enums = {key: json.loads(value) for key, value in ENUM.findall(text)}
        refs = {number: reference(Path(source).stem) for number, source in IMPORT.findall(text)}
        bodies = {}
        parts = FUNCTION.split(re.sub(IMPORT, "", text))
        for number, body in zip(parts[1::2], parts[2::2], strict=True):
            bodies[number] = body
        (entry,) = re.findall(r"export const validate=validate(\d+);", text)
        return _node(entry, bodies, refs, enums)


def _node(number: str, bodies: dict[str, str], refs: dict[str, Schema], enums: dict[str, Any]) -> Schema:
    """Return the schema that one generated function checks."""
    if number in refs:
        return refs[number]
    body = bodies[number]

    def below(other: str) -> Schema:
        return _node(other, bodies, refs, enums)

    schema = _keywords(body, enums)
    properties = {plain or quoted: below(other) for plain, quoted, other in PROPERTY.findall(body)}
    each, items, whole = EACH.findall(body), ITEM.findall(body), WHOLE.findall(body)
    if len(properties) + len(each) + len(items) + len(whole) != len(CALL.findall(body)):
        raise SystemExit(f"a validator is of a form that is not known: {body[:300]}")
    if properties:
        schema |= {"type": "object", "properties": properties}
    if each:
        schema["additionalProperties"] = below(each[0])
    if items:
        schema["items"] = below(items[0])
    if whole and not schema and len(whole) == 1:
        return below(whole[0])
    if whole:
        schema["allOf"] = [below(other) for other in whole]
    return schema


def _keywords(body: str, enums: dict[str, Any]) -> Schema:
    schema: Schema = {}
    for keyword, key, value, limit in ERROR.findall(body):
        if keyword == "required":
            schema.setdefault("required", []).append(json.loads(value))
        elif keyword == "enum":
            schema["enum"] = enums[value] if value in enums else json.loads(value)
        elif keyword in ("type", "pattern"):
            schema[keyword] = json.loads(value)
        elif keyword in ("minimum", "maximum"):
            schema[keyword] = int(float(limit))
        elif keyword in LIMITS:
            schema[keyword] = int(float(value))
        elif keyword not in ("format", "anyOf"):
            raise SystemExit(f"a validator knows the keyword {keyword} ({key}), which is not read yet")
    return schema


def models(wheel: Path, module: str, model: str) -> dict[str, Schema]:
    """Return the schemas that a wheel's pydantic model and those below it stand for."""
    code = "import importlib, json, sys; sys.path.insert(0, sys.argv[1]); " \
        "print(json.dumps(getattr(importlib.import_module(sys.argv[2]), sys.argv[3]).model_json_schema()))"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, str(wheel), module, model], capture_output=True, check=True)
    document = json.loads(done.stdout)
    below = document.pop("$defs")
    found = {name: _model(schema) for name, schema in below.items() if "$ref" in reference(name, below)}
    return _reachable({model: _model(document)} | found, model)


def _model(schema: Any) -> Any:
    """Return a model's schema without its prose, nulls left out, Kubernetes's own types by reference."""
    if isinstance(schema, list):
        return [_model(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return reference(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        left = [part for part in schema["anyOf"] if part != {"type": "null"}]
        return _model(left[0]) if len(left) == 1 else {"anyOf": _model(left)}
    kept = {key: value for key, value in schema.items() if key not in ("title", "description", "default", "properties")}
    made = {key: _model(value) for key, value in kept.items()}
    if "properties" in schema:
        made["properties"] = {name: _model(value) for name, value in schema["properties"].items()}
    return made


def reference(name: str, *_: Any) -> Schema:
    """Return a reference to a type: to Kubernetes's own schemas where they have it, else to one beside it.

    >>> reference("IoK8sApiCoreV1Toleration")
    {'$ref': '/api/_definitions.json#/$defs/io.k8s.api.core.v1.Toleration'}
    """
    if own := schemas.kubernetes_types().get(name):
        return {"$ref": f"{schemas.DEFINITIONS}#/$defs/{own}"}
    return {"$ref": f"#/$defs/{name}"}


def _reachable(definitions: dict[str, Schema], name: str) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    wanted = [name]
    while wanted:
        at = wanted.pop()
        if at not in found:
            found[at] = definitions[at]
            wanted += re.findall(r'"#/\$defs/(\w+)"', json.dumps(definitions[at]))
    return found


def strict(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Return definitions whose objects know their fields: embedded types are merged in, unknown fields refused."""

    def whole(schema: Schema) -> Schema:
        parts = [whole(definitions[part["$ref"].rpartition("/")[2]]) for part in schema.get("allOf", [])
                 if part.get("$ref", "").startswith("#")]  # fmt: skip
        if not any("properties" in part for part in parts):
            return schema
        own = {key: value for key, value in schema.items() if key != "allOf"}
        for embedded in parts:
            own["properties"] = embedded.get("properties", {}) | own.get("properties", {})
            own["required"] = sorted({*own.get("required", []), *embedded.get("required", [])})
        return own

    def close(schema: Any) -> Any:
        if isinstance(schema, list):
            return [close(part) for part in schema]
        if not isinstance(schema, dict):
            return schema
        schema = whole(schema)
        made = {key: close(value) for key, value in schema.items() if key != "properties"}
        if "properties" in schema:
            made["properties"] = {name: close(value) for name, value in schema["properties"].items()}
            made.setdefault("additionalProperties", False)
        return made

    return {name: close(schema) for name, schema in definitions.items()}


def fetch(origin: Schema, folder: Path) -> Path:
    """Fetch a package into a folder and return its archive, if it is the one that was recorded."""
    wanted = f"{origin['package']}@{origin['version']}" if origin["registry"] == "npm" else ""
    command = ["npm", "pack", "--silent", wanted] if wanted else [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{origin['package']}=={origin['version']}"
    ]  # fmt: skip
    before = set(folder.iterdir())
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (archive,) = set(folder.iterdir()) - before
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != origin["sha256"]:
        raise SystemExit(f"{archive.name}: sha256 is {digest}, recorded is {origin['sha256']}")
    return archive


def build(origin: Schema, archive: Path, folder: Path) -> list[tuple[str, Path]]:
    """Write the schemas of one package's kinds; return each kind with its file."""
    written = []
    for kind in origin["kinds"]:
        if origin["registry"] == "npm":
            unpacked = folder / archive.stem
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
            definitions = Npm(unpacked).definitions(kind["type"])
        else:
            definitions = models(archive, kind["module"], kind["type"])
        group, version = kind["api_version"].split("/")
        root = strict(definitions)
        top = root[kind["type"]]
        top["properties"] |= {"apiVersion": {"const": kind["api_version"]}, "kind": {"const": kind["kind"]}}
        top["required"] = sorted({*top.get("required", []), "apiVersion", "kind", "metadata"})
        document = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$ref": f"#/$defs/{kind['type']}",
            "$defs": dict(sorted(root.items())),
        }
        path = HERE / group / f"{kind['kind']}.{version}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n")
        written.append((f"{kind['api_version']} {kind['kind']}", path))
    return written


def main() -> None:
    """Fetch every origin, write its schemas, and say where they came from in SOURCES.md."""
    origins = json.loads((HERE / "origins.json").read_text())
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for origin in origins:
            archive = fetch(origin, Path(temporary))
            for kind, path in build(origin, archive, Path(temporary)):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                rows.append(
                    f"| {path.relative_to(HERE)} | {kind} | {origin['registry']} {origin['package']} "
                    f"{origin['version']} | {digest} |"
                )
    text = (HERE / "SOURCES.md").read_text()
    head = text[: text.index("| file |")]
    table = ["| file | kind | from | sha256 |", "| --- | --- | --- | --- |", *sorted(rows)]
    (HERE / "SOURCES.md").write_text(head + "\n".join(table) + "\n")


if __name__ == "__main__":
    main()
