"""The spec: one recommender, composed of the slices that each part owns. `load` gives a frozen, checked one.

A mistake becomes one line: place, value, what is allowed, the nearest valid name.
"""

import typing
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from bentos.spec import Serving
from components.content import words
from components.content.spec import Content
from components.data.derived import with_kinds, with_strength
from components.data.spec import Data
from components.intent.spec import Intent, IntentModel
from components.profiles import vocabulary_rule
from components.profiles.spec import Profiles
from components.ranking.spec import Ranking
from components.registry.spec import Promotion
from feature_repo import columns, files
from feature_repo.errors import SpecError, nearest
from feature_repo.slice import Slice
from monitoring.spec import Monitoring

# Slices that the environment has now: they change nothing that training makes. Specs of 0.1 are read until 0.3.
MOVED = ("compute", "jobs")


class Models(Slice):
    """The models of a recommender."""

    intent: IntentModel = IntentModel()
    ranking: Ranking = Ranking()


class Recommender(Slice):
    """One recommender, whole."""

    apiVersion: Literal["intentflow/v1"] = Field(description="Format of this file")  # noqa: N815 - as in Kubernetes
    kind: Literal["Recommender"] = Field(description="What the file declares")
    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]*$",
        max_length=40,
        description="Names the state folder, registered models and releases",
    )
    data: Data
    profiles: Profiles = Profiles()
    intents: tuple[Intent, ...] = Field(
        min_length=1, max_length=16, description="What users may be about to do; each has a name of its own"
    )
    models: Models = Models()
    promotion: Promotion = Promotion()
    serving: Serving = Serving()
    content: Content = Content()
    monitoring: Monitoring = Monitoring()

    @field_validator("intents")
    @classmethod
    def _names_differ(cls, value: tuple[Intent, ...]) -> tuple[Intent, ...]:
        names = [intent.name for intent in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is declared twice; give each intent a name of its own")
        return value

    @model_validator(mode="after")
    def _k_fits(self) -> "Recommender":
        if self.serving.k > self.serving.max_k:
            raise ValueError(f"serving.k: {self.serving.k} is above serving.max_k {self.serving.max_k}; raise max_k")
        return self

    @model_validator(mode="after")
    def _horizons_are_steps(self) -> "Recommender":
        for intent in self.intents:
            intent.steps(self.data.pace)
        return self

    @model_validator(mode="after")
    def _weight_is_there(self) -> "Recommender":
        weight = self.models.ranking.weight
        if weight is not None and weight.of == columns.STRENGTH and not self.data.has_strength:
            raise ValueError(
                "models.ranking.weight.of: strength is no column of these events; map it as "
                "`data.source.events.columns: {strength: <column>}`, or use quantity or value"
            )
        return self

    @cached_property
    def digest(self) -> str:
        """Digest of what is declared."""
        return files.digest(self.model_dump(mode="json"))

    @property
    def verb(self) -> str:
        """What users do to items, past tense: texts and reports speak with it."""
        return words.verb(self.models.ranking.event, (intent.event for intent in self.intents), self.content.verbs)

    def judged_data(self) -> Data:
        """Return the data slice as the contract judges it: events of the kinds that models are about must occur."""
        kinds = dict.fromkeys(kind for kind in (*(i.event for i in self.intents), self.models.ranking.event) if kind)
        contract = with_kinds(self.data.contract, list(kinds))
        contract = with_strength(contract) if self.data.has_strength else contract
        return self.data.model_copy(update={"contract": contract})

    def ranking_rows(self) -> dict[str, Any]:
        """Return what the training set needs of ranking: which weeks, and what weighs a label."""
        dumped = self.models.ranking.model_dump(mode="json")
        refit = {"refit": True} if self.promotion.refit else {}  # left out where it is off: the rows are the same
        return {key: dumped[key] for key in ("train_weeks", "test_every_weeks", "weight") if key in dumped} | refit

    def split_slice(self) -> dict[str, int]:
        """Return how steps are laid out: each part's length, and how many the longest label looks ahead, if several."""
        longest = max(intent.steps(self.data.pace) for intent in self.intents)
        return self.data.split.lengths() | ({"horizon": longest} if longest > 1 else {})

    def vocabulary_rule(self) -> dict[str, Any]:
        """Return what vocabularies and profiles need of the intents and of ranking."""
        return vocabulary_rule.of(
            [intent.model_dump(mode="json") for intent in self.intents],
            self.models.ranking.model_dump(mode="json"),
            self.data.pace,
        )


def load(path: Path) -> Recommender:
    """Read and check a spec; raises SpecError with one line."""
    return parse(split(read_yaml(path))[0], place=str(path))


def split(document: Any) -> tuple[Any, dict[str, Any]]:
    """Take out of a document what the environment has now; return the rest, and that."""
    if not isinstance(document, dict):
        return document, {}
    moved = {key: document[key] for key in MOVED if key in document}
    return {key: value for key, value in document.items() if key not in moved}, moved


def parse(document: Any, *, place: str) -> Recommender:
    """Check a document."""
    return checked(Recommender, document, place=place)


Model = typing.TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], document: Any, *, place: str) -> Model:
    """Validate a document against a model; the first mistake becomes a SpecError."""
    if not isinstance(document, dict):
        raise SpecError(f"{place}: holds no mapping; begin with `apiVersion: intentflow/v1`")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # A missing or misspelt key often comes in pairs; the unknown one is the one to mend.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise SpecError(f"{place}: {explain(model, first)}") from None


def explain(model: type[BaseModel], error: Any) -> str:
    """Say in one line what is wrong, what is allowed, and what was meant.

    >>> try: Recommender.model_validate({"apiVersion": "intentflow/v1", "kind": "Recommender", "name": "a"})
    ... except ValidationError as e: print(explain(Recommender, e.errors()[0]))
    data: is missing; add it
    """
    loc = tuple(error["loc"])
    place, kind, context = _place(model, loc), error["type"], error.get("ctx", {})
    value = error.get("input")
    if kind == "missing":
        return f"{place}: is missing; add it"
    if kind == "extra_forbidden":
        have = sorted(_fields_at(model, loc[:-1]))
        return f"{place}: no such key; have {', '.join(have)}{nearest(str(loc[-1]), have)}"
    if kind in ("literal_error", "enum"):
        allowed = [word.strip(" '") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f"{place}: '{value}' is not allowed; use {context['expected']}{nearest(str(value), allowed)}"
    if kind == "union_tag_invalid":
        allowed = [word.strip(" '") for word in context["expected_tags"].split(", ")]
        key = context["discriminator"].strip("'")
        tag, use = context["tag"], ", ".join(allowed)
        return f"{place}.{key}: '{tag}' is not allowed; use {use}{nearest(tag, allowed)}"
    if kind == "union_tag_not_found":
        return f"{place}: is missing the key {context['discriminator']}; add it"
    if kind == "value_error":
        return f"{place}: {context['error']}" if place else str(context["error"])
    shown = "" if isinstance(value, dict | list) else f"{value!r} is wrong: "
    return f"{place}: {shown}{error['msg'][0].lower()}{error['msg'][1:]}"


def _place(model: type[BaseModel], loc: tuple[Any, ...]) -> str:
    """Write a location as in the YAML: tags of unions, which pydantic puts between, are left out."""
    parts: list[str] = []
    kind: Any = model
    for step in loc:
        below = _below(kind, step)
        if below is _TAG:
            kind = _tagged(kind, step)
            continue
        if step != "[key]":  # pydantic's mark of a dict's key
            parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
        kind = below
    return "".join(parts).lstrip(".")


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    kind: Any = model
    for step in loc:
        below = _below(kind, step)
        kind = _tagged(kind, step) if below is _TAG else below
    kind = _plain(kind)
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


_TAG = object()


def _plain(kind: Any) -> Any:
    """Strip Annotated and Optional."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    options = [o for o in typing.get_args(kind) if o is not type(None)]
    if type(None) in typing.get_args(kind) and len(options) == 1:
        return _plain(options[0])
    return kind


def _below(kind: Any, step: Any) -> Any:
    """Return the type below one step of a location, or _TAG where the step is a union's tag."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return Any if field is None else field.annotation
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (list, tuple, set):
        return arguments[0]
    if origin is dict:
        return arguments[1]
    if arguments and isinstance(step, str):
        return _TAG
    return Any


def _tagged(kind: Any, tag: str) -> Any:
    """Return the member of a discriminated union that has the tag."""
    for member in typing.get_args(_plain(kind)):
        for field in member.model_fields.values():
            if tag in typing.get_args(field.annotation):
                return member
    return Any


class _Loader(yaml.SafeLoader):
    """A loader that refuses a key given twice, which YAML's own would silently overwrite."""


def _mapping(loader: _Loader, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
    seen = set()
    for key_node, _value in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise SpecError(f"line {key_node.start_mark.line + 1}: the key '{key}' is given twice; keep one")
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; raises SpecError for one that is absent or is no YAML."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        siblings = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise SpecError(f"{path}: no such file{nearest(str(path), siblings)}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise SpecError(f"{path}: is no YAML file; name a spec such as pipelines/specs/grocery.yaml") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}: line {line}: {error.problem}; mend the YAML there") from None
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
