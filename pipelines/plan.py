"""What `apply` and `run` would change, layer by layer, before they do it: in a second, importing no SDK.

Compares the spec with the one applied last, and the run's parameters with those of the last run.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import shortened
from pipelines.environment import Installation
from pipelines.graphs import conformance, index
from pipelines.graphs.graph import outdated
from pipelines.graphs.parameters import require_encoder, run_parameters
from pipelines.graphs.step_table import STEPS

APPLIED = "applied.json"
# Layers as a user thinks of them, and where the spec keeps each; `compute` is the environment's.
LAYERS = {
    "data": (
        "data.source",
        "data.timezone",
        "data.week_start",
        "data.step",
        "data.clean",
        "data.split",
        "data.session_gap",
    ),
    "contract": ("data.contract",),
    "profiles": ("profiles",),
    "intents": ("intents",),
    "intent model": ("models.intent", "models.session", "models.forecast"),
    "ranking model": ("models.ranking",),
    "vectors": ("vectors",),
    "promotion": ("promotion",),
    "serving": ("serving", "content"),
    "monitoring": ("monitoring",),
    "compute": ("compute",),
}


@dataclass(frozen=True)
class Layer:
    """One layer: whether it is new, changed or the same, and each changed field as 'path: before -> after'."""

    name: str
    state: str
    changes: list[str]


@dataclass(frozen=True)
class Plan:
    """What would change."""

    layers: list[Layer]
    inputs: list[str]  # other than the spec: the source's data, code, the environment
    steps: list[str]  # that the next run does anew

    @property
    def nothing(self) -> bool:
        """True where everything is as declared."""
        return not self.inputs and not self.steps and all(layer.state == "same" for layer in self.layers)

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {"nothing": self.nothing}

    def text(self) -> str:
        """Return it as a person reads it."""
        if self.nothing:
            return "No changes: every layer is as declared."
        marks = {"new": "+", "changed": "~", "same": " "}
        lines = []
        for layer in self.layers:
            lines.append(f"{marks[layer.state]} {layer.name:<14} {layer.state}")
            lines += [f"    {change}" for change in layer.changes]
        lines += [f"~ {line}" for line in self.inputs]
        lines.append(f"The next run does anew: {', '.join(self.steps) or 'nothing'}.")
        return "\n".join(lines)


def plan(place: Installation) -> Plan:
    """Compare what is declared with what was applied and run last; pipelines that cannot run are refused."""
    conformance.require()
    at = place.environment
    require_encoder(place.spec, place.spec_path.absolute().parent, elsewhere=at.kubeflow is not None)
    if at.kubeflow is not None:
        at.compute.require_time(place.spec.models.intent.search)
    before = applied(place.home)
    now = _dump(place)
    layers = [_layer(name, paths, None if before is None else before["spec"], now) for name, paths in LAYERS.items()]
    last = last_parameters(place.home)
    parameters = run_parameters(place)
    inputs = [] if last is None else _inputs(last, parameters)
    idle = {step.name for step in STEPS.values() if step.only_with and not parameters[step.only_with]}
    return Plan(
        layers, inputs, [name for name in outdated(index.reads(spec=place.spec), last, parameters) if name not in idle]
    )


def apply(place: Installation) -> Plan:
    """Declare: remember the spec as the applied one and write the pipeline's IR; returns what it changed."""
    from pipelines.graphs.kfp_pipeline import compile_ir

    found = plan(place)
    place.home.mkdir(parents=True, exist_ok=True)
    with files.written(place.home / "pipeline.yaml") as aside:
        named = aside.with_suffix(".yaml")  # kfp judges the format by the suffix
        compile_ir(place.spec, named, kubeflow=place.environment.kubeflow, compute=place.environment.compute)
        named.replace(aside)
    remember(place)
    return found


def remember(place: Installation) -> None:
    """Note what is declared as what was applied last."""
    files.write_json(place.home / APPLIED, {"digest": place.spec.digest, "spec": _dump(place)})


def applied(home: Path) -> dict[str, Any] | None:
    """Return what was applied last."""
    path = home / APPLIED
    return dict(files.read_json(path)) if path.is_file() else None


def _dump(place: Installation) -> dict[str, Any]:
    """Return what is declared: the spec, and what the environment says of steps' resources."""
    return place.spec.model_dump(mode="json") | {"compute": place.environment.compute.model_dump(mode="json")}


def _layer(name: str, paths: tuple[str, ...], before: dict[str, Any] | None, now: dict[str, Any]) -> Layer:
    if before is None:
        return Layer(name, "new", [])
    changes = [c for path in paths for c in _changes(path, _at(before, path), _at(now, path))]
    return Layer(name, "changed" if changes else "same", changes)


def _at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _changes(path: str, before: Any, now: Any) -> list[str]:
    """List the leaves that differ.

    >>> _changes("a", {"b": 1, "c": [2]}, {"b": 1, "c": [3]})
    ['a.c[0]: 2 -> 3']
    """
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [*before, *(k for k in now if k not in before)]
        return [c for k in keys for c in _changes(f"{path}.{k}", before.get(k), now.get(k))]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        return [c for i, (b, n) in enumerate(zip(before, now, strict=True)) for c in _changes(f"{path}[{i}]", b, n)]
    return [f"{path}: {_short(before)} -> {_short(now)}"]


def _short(value: Any, limit: int = 60) -> str:
    return shortened(files.canonical(value), limit)


def last_parameters(home: Path) -> dict[str, Any] | None:
    """Return the parameters of the last run that trained, if there was one."""
    path = home / "run.json"
    return dict(files.read_json(path)["parameters"]) if path.is_file() else None


def _inputs(last: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Name what changed beside the spec."""
    words = {"source": "the source's data", "lineage": "commit, lock or spec"} | {
        f"{part}_code": f"the code of the {part} steps"
        for part in ("data", "profiles", "intent", "session", "forecast", "ranking")
    }
    return [f"{word} changed" for name, word in words.items() if name in last and last[name] != now.get(name)]
