"""Where a place of the spec, such as `promotion.gates[1]`, stands in its file, for whoever is to edit it.

A place that the file leaves out is a default: then what holds is shown, to be written there.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from pipelines.spec import Recommender

STEPS = re.compile(r"[A-Za-z_]\w*|\[\d+\]")


def line(path: Path, place: str) -> int | None:
    """Return the line of a place in a YAML file, counted from 1, None where the file does not have it."""
    node: Any = yaml.compose(path.read_text(encoding="utf-8"))
    for step in STEPS.findall(place):
        inner = _element(node, int(step[1:-1])) if step.startswith("[") else _value(node, step)
        if inner is None:
            return None
        node = inner
    return int(node.start_mark.line) + 1


def to_edit(path: Path, spec: Recommender, place: str) -> str:
    """Say where a gate's place is edited, in one line."""
    found = line(path, place)
    if found is not None:
        return f"{path.name}, line {found}: {place}"
    number = int(place.rpartition("[")[2][:-1])
    gate = spec.promotion.gates[number].model_dump(mode="json", exclude_unset=True)
    shown = ", ".join(f"{key}: {value}" for key, value in gate.items())
    return f"{path.name} declares no promotion.gates, so {place} is a default: {{{shown}}}; declare gates to change it"


def _value(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _element(node: Any, number: int) -> Any:
    return node.value[number] if isinstance(node, yaml.SequenceNode) and number < len(node.value) else None
