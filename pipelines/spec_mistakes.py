"""Say what is wrong with a document in one line: place as in the YAML, value, what is allowed, the nearest name."""

import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from feature_repo.errors import SpecError, nearest

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

    >>> class Shop(BaseModel):
    ...     data: str
    >>> try: Shop.model_validate({})
    ... except ValidationError as e: print(explain(Shop, e.errors()[0]))
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
        if any(getattr(mark, "tag", None) == tag for mark in getattr(member, "__metadata__", ())):
            return _plain(member)
        for field in getattr(_plain(member), "model_fields", {}).values():
            if tag in typing.get_args(field.annotation):
                return member
    return Any
