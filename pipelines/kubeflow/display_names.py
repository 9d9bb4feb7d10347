"""How versions and runs are called for people: the recommender, when, and what is new since the version before.

The name by which a version is found stays the digest of its IR. Kubeflow keeps display names and the descriptions of
runs in columns of 255 characters, names of versions in 127 bytes; a screen shows fewer.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from typing import Any

from feature_repo.errors import shortened

LONGEST = 120  # characters of a display name: what a list has room for, and less than the server takes
SHOWN = 2  # changes that are named; of more their number
VALUE = 24  # characters of a value
FIRST = "first version"
SPEC = "spec"  # the field of the run form that is the whole spec: its settings are named as in the file
Document = Mapping[str, Any]


def version(name: str, now: dt.datetime, words: str) -> str:
    """Return the display name of a version.

    >>> version("shop", dt.datetime(2026, 11, 29, 2, 30), "monitoring.psi 0.2 → 0.35")
    'shop 2026-11-29 02:30: monitoring.psi 0.2 → 0.35'
    """
    return _one_line(f"{name} {now:%Y-%m-%d %H:%M}: {words}")


def run(name: str, pipeline: str, now: dt.datetime, *, mark: str, of_version: str, dry: bool = False) -> str:
    """Return the display name of a run; `mark` tells runs of one second apart, by which a run is looked for.

    >>> version = "shop 2026-11-29 02:30: image r/steps:8"
    >>> run("shop", "train", dt.datetime(2026, 11, 30, 4, 0, 7), mark="3f9a2c", of_version=version, dry=True)
    'shop train dry run 2026-11-30 04:00:07 3f9a2c: image r/steps:8'
    """
    words = of_version.partition(": ")[2]
    kind = f"{pipeline} dry run" if dry else pipeline
    return _one_line(f"{name} {kind} {now:%Y-%m-%d %H:%M:%S} {mark}" + (f": {words}" if words else ""))


def changed(before: Document | None, now: Document) -> str:
    """Say in a few words what one IR has that another had not: settings first, then images, then the steps.

    >>> old, new = ({"root": {"inputDefinitions": {"parameters": {"k": {"defaultValue": k}}}}} for k in (5, 10))
    >>> changed(old, new), changed(None, new)
    ('k 5 → 10', 'first version')
    """
    if before is None:
        return FIRST
    for part in (_settings, _images):
        if found := _differences(dict(part(before)), dict(part(now))):
            return found
    return "other steps or resources"


def pipeline_spec(document: Any) -> Document | None:
    """Return the IR as a server answers it: alone, or beside the platform's document; None for anything else."""
    if not isinstance(document, Mapping):
        return None
    found = document.get("pipeline_spec", document)
    return found if isinstance(found, Mapping) and "root" in found else None


def _settings(ir: Document) -> Iterator[tuple[str, Any]]:
    """Yield the defaults of the run form, each setting by its place in the spec."""
    for name, entry in ir.get("root", {}).get("inputDefinitions", {}).get("parameters", {}).items():
        if "defaultValue" in entry:
            yield from _leaves("" if name == SPEC else name, _read(entry["defaultValue"]))


def _images(ir: Document) -> Iterator[tuple[str, Any]]:
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    images = sorted({one.get("container", {}).get("image", "") for one in executors.values()})
    yield "image", ", ".join(images)


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _leaves(f"{place}.{key}" if place else key, one)
    else:
        yield place, value


def _read(value: Any) -> Any:
    """Read a parameter that is JSON in a text; numbers of a server's answer are all floats."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _differences(before: Document, now: Document) -> str:
    """Name the places that differ, the shallowest first: a setting may stand in several parameters."""
    places = sorted(before.keys() | now.keys(), key=lambda place: (place.count("."), place))
    said: dict[str, str] = {}
    for place in places:
        old, new = before.get(place), now.get(place)
        if old != new:
            said.setdefault(place.rpartition(".")[2], f"{place} {_short(old)} → {_short(new)}")
    more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return ", ".join(list(said.values())[:SHOWN]) + more


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return shortened(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")), VALUE)


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()), LONGEST)
