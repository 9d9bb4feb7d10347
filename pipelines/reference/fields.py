"""Every field that a JSON Schema of ours declares, by its path: meaning, type, allowed values, default, bounds."""

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from feature_repo.errors import SpecError, nearest
from pipelines.reference.schemas import Schema

KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
ANY = "<name>"  # in a path: a key that the user chooses


@dataclass(frozen=True)
class FieldEntry:
    """One field."""

    path: str  # intents[].name, data.contract.<name>[].column
    meaning: str
    type: str
    required: bool
    default: str = ""  # as JSON, or `left out`; none where the field is required, or a group of fields
    allowed: tuple[str, ...] = ()
    bounds: str = ""
    only_with: tuple[str, ...] = ()  # kinds of what holds it that have it; none: all
    kinds: tuple[tuple[str, str], ...] = ()  # of the field that says which kind: each value's own meaning

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Return what there is to say beside the meaning."""
        found = {
            "type": self.type,
            "allowed": ", ".join(self.allowed),
            "default": "required" if self.required else self.default,
            "bounds": self.bounds,
            "only with": ", ".join(self.only_with),
        }
        return [(word, said) for word, said in found.items() if said]


def fields(schema: Schema) -> list[FieldEntry]:
    """List every field, in the order of the models.

    >>> schema = {"properties": {"k": {"type": "integer", "minimum": 1, "description": "Items", "default": 10}}}
    >>> fields(schema)[0].facts
    [('type', 'whole number'), ('default', '10'), ('bounds', 'from 1')]
    """
    return _Walk(schema).found


class _Walk:
    """One pass over a schema."""

    def __init__(self, schema: Schema) -> None:
        self.definitions = schema.get("$defs", {})
        self.found: list[FieldEntry] = []
        self._properties(schema, "", ())

    def _properties(self, node: Schema, path: str, only_with: tuple[str, ...], *, kind: str = "") -> None:
        for name, entry in node["properties"].items():
            meaning = _paragraph(node) if name == kind else self._meaning(entry)
            required = name in node.get("required", [])
            self._add(self._entry(f"{path}.{name}".lstrip("."), entry, meaning, required, only_with), name == kind)
            self._below(entry, f"{path}.{name}".lstrip("."), only_with)

    def _add(self, entry: FieldEntry, is_kind: bool) -> None:
        """Keep a field; one that another kind of the same thing has as well is one field."""
        if is_kind:
            entry = replace(entry, kinds=tuple((value, entry.meaning) for value in entry.allowed), only_with=())
        for at, other in enumerate(self.found):
            if is_kind and other.path == entry.path:
                merged = replace(other, allowed=other.allowed + entry.allowed, kinds=other.kinds + entry.kinds)
                self.found[at] = replace(merged, meaning="Which kind it is")
                return
            if replace(other, only_with=()) == replace(entry, only_with=()):
                self.found[at] = replace(other, only_with=other.only_with + entry.only_with)
                return
        self.found.append(entry)

    def _below(self, entry: Schema, path: str, only_with: tuple[str, ...]) -> None:
        kind = entry.get("discriminator", {}).get("propertyName", "")
        for option in self._options(entry):
            if "properties" in option:
                values = _allowed(option["properties"][kind]) if kind else ()
                self._properties(option, path, (*only_with, *values) if kind else only_with, kind=kind)
            if isinstance(items := option.get("items"), dict):
                self._below(items, f"{path}[]", only_with)
            if isinstance(more := option.get("additionalProperties"), dict):
                self._below(more, f"{path}.{ANY}", only_with)

    def _entry(self, path: str, entry: Schema, meaning: str, required: bool, only_with: tuple[str, ...]) -> FieldEntry:
        options = self._options(entry)
        group = any("properties" in option for option in options)
        default = "" if required or group or "default" not in entry else _shown(entry["default"])
        allowed = tuple(value for option in options for value in _allowed(option))
        bounds = "; ".join(dict.fromkeys(text for option in [entry, *options] if (text := _bounds(option))))
        return FieldEntry(path, meaning, self._type(entry), required, default, allowed, bounds, only_with)

    def _meaning(self, entry: Schema) -> str:
        """Return a field's own description; a group's is its model's."""
        if "description" in entry:
            return _paragraph(entry)
        groups = [option for option in self._options(entry) if "properties" in option]
        return _paragraph(groups[0]) if len(groups) == 1 else ""

    def _type(self, entry: Schema) -> str:
        found = []
        for option in self._options(entry):
            if "properties" in option:
                found.append("group")
            elif option.get("type") == "array":
                items = option.get("items", option.get("prefixItems", [{}]))
                found.append(f"list of {self._type(items)}s" if isinstance(items, dict) else "list")
            elif option.get("type") == "object":
                more = option.get("additionalProperties")
                found.append(f"mapping to {self._type(more)}" if isinstance(more, dict) else "mapping")
            elif option.get("type") in KINDS:
                found.append(KINDS[option["type"]])
        return " or ".join(dict.fromkeys(found)) or "anything"

    def _options(self, entry: Schema) -> list[Schema]:
        """Return what an entry may be, references resolved; null, which only means `left out`, is not among them."""
        while "$ref" in entry:
            entry = self.definitions[entry["$ref"].rpartition("/")[2]]
        several = entry.get("anyOf") or entry.get("oneOf")
        if several is None:
            return [] if entry.get("type") == "null" else [entry]
        return [option for one in several for option in self._options(one)]


def _shown(value: Any) -> str:
    return "left out" if value is None else json.dumps(value, ensure_ascii=False)


def _paragraph(node: Schema) -> str:
    return " ".join(node.get("description", "").partition("\n\n")[0].split()).rstrip(".")


def _allowed(entry: Schema) -> tuple[str, ...]:
    values = entry.get("enum") or ([entry["const"]] if "const" in entry else [])
    if not values and isinstance(names := entry.get("propertyNames"), dict):
        values = names.get("enum", [])
    return tuple(value if isinstance(value, str) else json.dumps(value) for value in values)


def _bounds(entry: Schema) -> str:
    """Say the bounds of one schema.

    >>> _bounds({"exclusiveMinimum": 0, "maximum": 1}), _bounds({"minItems": 1, "maxItems": 16})
    ('above 0, to 1', '1 to 16 entries')
    """
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    said = [f"{word} {entry[key]:,}" for key, word in words.items() if key in entry]
    if "multipleOf" in entry:
        said.append(f"a multiple of {entry['multipleOf']}")
    for kind, noun in (("Length", "characters"), ("Items", "entries")):
        low, high = entry.get(f"min{kind}"), entry.get(f"max{kind}")
        if low is not None and high is not None:
            said.append(f"{low} to {high} {noun}")
        elif low is not None or high is not None:
            said.append(f"at least {low} {noun}" if high is None else f"at most {high} {noun}")
    if "pattern" in entry:
        said.append(f"matches {entry['pattern']}")
    return ", ".join(said)


def at(path: str, entries: list[FieldEntry], *, prefix: str = "") -> list[FieldEntry]:
    """Return the entries of one path as a user writes it (intents[0].name or intents.name), then those right below."""
    asked = _segments(path)
    here = [entry for entry in entries if _same(asked, _segments(entry.path))]
    if not here:
        known = list(dict.fromkeys(prefix + ".".join(_segments(entry.path)) for entry in entries))
        written = prefix + path
        raise SpecError(f"explain: no field '{written}'{nearest(written, known) or f'; have {_tops(known)}'}")
    below = [entry for entry in entries if _same(asked, _segments(entry.path)[:-1])]
    return [*here, *below]


def _tops(known: list[str]) -> str:
    return ", ".join(path for path in known if path.count(".") == min(other.count(".") for other in known))


def _segments(path: str) -> list[str]:
    """Split a path; places in lists are left out.

    >>> _segments("intents[0].name"), _segments("data.contract.<name>[].expect")
    (['intents', 'name'], ['data', 'contract', '<name>', 'expect'])
    """
    return [part for part in re.sub(r"\[\d*\]", "", path).split(".") if part and not part.isdigit()]


def _same(asked: list[str], known: list[str]) -> bool:
    return len(asked) == len(known) and all(k in (a, ANY) for a, k in zip(asked, known, strict=True))
