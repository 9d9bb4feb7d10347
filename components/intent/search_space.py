"""The spec's slice `models.intent.search`: which settings a search may change, within which bounds, and for how long.

Pure, and without Optuna: a space is checked with the spec, before anything runs. Every end of a range and every choice
must make a model that the spec itself would accept. components/intent/search/ goes through the space.
"""

import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from feature_repo.errors import nearest
from feature_repo.slice import Slice

ARCHITECTURE = "architecture"
# Fields that no search may change: a lucky seed is no setting, and with another calibration or compression other users
# would judge, so that trials could not be compared.
FIXED = ("seed", "search", "calibrate", "compress", "privacy", "pretrain")
FORM = "use {low: …, high: …} with log: true if wanted, or a list of choices"
Choice = bool | int | float | str
Reads = Callable[[str, str], bool]  # architecture and field: whether that one reads it


class Range(Slice):
    """A number from `low` to `high`, both included."""

    low: float = Field(allow_inf_nan=False, description="Smallest value")
    high: float = Field(allow_inf_nan=False, description="Largest value")
    log: bool = Field(default=False, description="Whether tenfold steps are equally likely, and not equal ones")


class Search(Slice):
    """A search for better settings of the model; each trial trains one."""

    trials: int = Field(default=20, ge=1, le=10_000, description="Settings to try, those of the spec among them")
    minutes: int = Field(
        default=60, ge=1, le=10_080, description="No trial begins after so long; the first always does"
    )
    mode: Literal["propose", "auto"] = Field(
        default="propose",
        description="propose: the best settings are a diff of the spec, for a person; auto: the model is trained with "
        "them, and its gates judge it",
    )
    space: dict[str, Range | tuple[Choice, ...]] = Field(
        min_length=1,
        max_length=32,
        description="By field of models.intent, such as learning_rate or trees.leaves: {low, high, log}, or a list of "
        "choices",
    )

    @field_validator("space", mode="before")
    @classmethod
    def _form(cls, value: Any) -> Any:
        """Say in one line what a space may look like; pydantic would name both of its forms."""
        if not isinstance(value, dict):
            raise ValueError(f"holds no fields; {FORM} for each")
        for name, given in value.items():
            _require_form(str(name), given)
        return value


def _require_form(name: str, given: Any) -> None:
    if isinstance(given, Range):
        given = given.model_dump()
    if isinstance(given, dict):
        if odd := [key for key in given if key not in Range.model_fields]:
            raise ValueError(f"{name}: no such key '{odd[0]}'; {FORM}{nearest(str(odd[0]), list(Range.model_fields))}")
        if missing := [key for key in ("low", "high") if key not in given]:
            raise ValueError(f"{name}: {missing[0]} is missing; {FORM}")
        low, high = given["low"], given["high"]
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in (low, high)):
            raise ValueError(f"{name}: low and high are numbers, and {low!r}, {high!r} are not; {FORM}")
        if not low < high:
            raise ValueError(f"{name}: low {low:g} is not below high {high:g}; turn them round, or drop {name}")
        if given.get("log") and low <= 0:
            raise ValueError(f"{name}: log needs a low above 0, and it is {low:g}; raise low, or drop log")
        return
    if not isinstance(given, list | tuple):
        raise ValueError(f"{name}: {given!r} is no space; {FORM}")
    if len(given) < 2:
        raise ValueError(f"{name}: {len(given)} choices leave nothing to search; list two or more, or drop {name}")
    if len({_kind(one) for one in given}) > 1 or _kind(given[0]) == "":
        raise ValueError(
            f"{name}: choices are of mixed kinds, {_listed(given)}; use all texts, all numbers or true, false"
        )
    if len(set(given)) < len(given):
        raise ValueError(f"{name}: a choice is listed twice in {_listed(given)}; list each once")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else ""


def _listed(values: Any) -> str:
    return ", ".join(map(repr, values))


def fields(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return what a search may change, by name: pydantic's field of each; those within slices have dots.

    Left out are `FIXED`, and what holds anything but one number, text or yes and no.
    """
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        kind = info.annotation
        if prefix == "" and name in FIXED:
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= fields(kind, f"{prefix}{name}.")
        elif _scalar(kind):
            found[prefix + name] = info
    return found


def _scalar(kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return True
    if arguments := typing.get_args(kind):
        return all(_scalar(one) for one in arguments)
    return kind in (int, float, bool)


def step_of(info: Any) -> int:
    """Return the step of a field that holds whole numbers, 0 of one that holds others as well."""
    if info.annotation is not int:
        return 0
    return next((int(one.multiple_of) for one in info.metadata if hasattr(one, "multiple_of")), 1)


def settings(model: BaseModel, chosen: Mapping[str, Any], reads: Reads) -> dict[str, Any]:
    """Return a model's settings with those chosen, as a spec says them, without what the architecture does not read.

    Raises nothing: whether they go together, the model's own class says.
    """
    found = model.model_dump(mode="json", exclude_unset=True)
    found.pop("search", None)
    architecture = chosen.get(ARCHITECTURE, getattr(model, ARCHITECTURE))
    for name in [*found, *fields(type(model))]:
        if not reads(architecture, name):
            _without(found, name.split("."))
    for name, value in chosen.items():
        *above, last = name.split(".")
        place = found
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return found


def _without(found: dict[str, Any], path: list[str]) -> None:
    if len(path) > 1:
        if isinstance(inner := found.get(path[0]), dict):
            _without(inner, path[1:])
            if not inner:
                found.pop(path[0])
    else:
        found.pop(path[0], None)


def value_of(model: BaseModel, name: str) -> Any:
    """Return the value of a field by its name with dots."""
    found: Any = model
    for key in name.split("."):
        found = getattr(found, key)
    return found


def holds(given: Range | tuple[Choice, ...], value: Any) -> bool:
    """Tell whether a space has a value.

    >>> holds(Range(low=0.1, high=0.2), 0.2), holds(("lstm", "gru"), "cnn")
    (True, False)
    """
    if isinstance(given, Range):
        return isinstance(value, int | float) and given.low <= value <= given.high
    return value in given


def require(model: BaseModel, search: Search, reads: Reads) -> None:
    """Refuse a space that names no field, or has a value that the spec would refuse; ValueError with one line."""
    if (
        getattr(model, "privacy", None) is not None
    ):  # each trial would spend a budget of its own, and none would be told
        raise ValueError("search: every trial spends epsilon, and privacy tells that of one; drop search, or privacy")
    have = fields(type(model))
    architectures = search.space.get(ARCHITECTURE, (getattr(model, ARCHITECTURE),))
    if isinstance(architectures, Range):
        raise ValueError(f"search.space.{ARCHITECTURE}: is no number; list choices")
    for name, given in search.space.items():
        if name not in have:
            why = (
                "is no setting to search for" if name.partition(".")[0] in FIXED else "names no field of models.intent"
            )
            raise ValueError(f"search.space: '{name}' {why}; have {', '.join(have)}{nearest(name, list(have))}")
        readers = [one for one in architectures if reads(str(one), name)]
        if not readers:
            listed = ", ".join(map(str, architectures))
            raise ValueError(
                f"search.space.{name}: {listed} reads no {name}; drop it, or add an architecture that does"
            )
        _require_kind(name, given, have[name])
        for value in _ends(given):
            for architecture in readers if name != ARCHITECTURE else [value]:
                _require_value(model, name, value, architecture=str(architecture), reads=reads)


def _require_kind(name: str, given: Range | tuple[Choice, ...], info: Any) -> None:
    if not isinstance(given, Range):
        return
    if info.annotation not in (int, float) and float not in typing.get_args(info.annotation):
        raise ValueError(f"search.space.{name}: is no number; list choices")
    if step_of(info) > 1 and given.log:
        raise ValueError(
            f"search.space.{name}: goes in steps of {step_of(info)}, and log in none; drop log, or list choices"
        )
    if step_of(info) and not (given.low.is_integer() and given.high.is_integer()):
        raise ValueError(f"search.space.{name}: holds whole numbers, and {given.low:g} to {given.high:g} has others")


def _ends(given: Range | tuple[Choice, ...]) -> Iterator[Any]:
    """Yield what must hold: both ends of a range, which every bound of a field lies outside of, or each choice."""
    if not isinstance(given, Range):
        yield from given
        return
    for one in (given.low, given.high):
        yield int(one) if one.is_integer() else one


def _require_value(model: BaseModel, name: str, value: Any, *, architecture: str, reads: Reads) -> None:
    chosen = {ARCHITECTURE: architecture, name: value}
    try:
        made = type(model).model_validate(settings(model, chosen, reads))
    except ValidationError as error:
        raise ValueError(f"search.space.{name}: {value!r} is refused: {said(error)}") from None
    found = value_of(made, name)
    if found != value or isinstance(found, str) != isinstance(value, str):
        raise ValueError(f"search.space.{name}: {value!r} would be taken for {found!r}; write that")


def text(value: Choice) -> str:
    """Write a choice as a command line and a manifest do.

    >>> text(True), text(64), text(0.5), text("lstm")
    ('true', '64', '0.5', 'lstm')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def said(error: ValidationError) -> str:
    """Return the first of pydantic's complaints, without its prefix."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    text = str(own) if own is not None else first["msg"]
    return text[:1].lower() + text[1:]
