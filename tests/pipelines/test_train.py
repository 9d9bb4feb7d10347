"""The training pipeline compiles to one IR, and its graph is the one that `plan` reasons about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import spec, steps
from pipelines.parameters import spec_parameters
from pipelines.train import compile_ir

GROCERY = spec.load(Path("pipelines/specs/grocery.yaml"))
GOLDEN = Path("tests/golden/pipelines/train.yaml")
# Kubeflow names a task after its component; the step is what logs and `plan` say.
TASKS = {"profiles": "build-profiles"}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ir") / "train.yaml"
    compile_ir(GROCERY, path)
    return path.read_text()


@pytest.fixture(scope="module")
def ir(text: str) -> dict[str, Any]:
    document: dict[str, Any] = next(yaml.safe_load_all(text))
    return document


def test_the_compiled_pipeline_is_the_golden_one(text: str, golden: Callable[[Path, str], None]) -> None:
    golden(GOLDEN, text)


def _tasks(ir: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every task by name, those inside conditions too."""
    found: dict[str, dict[str, Any]] = {}
    for dag in [ir["root"], *ir["components"].values()]:
        found |= dag.get("dag", {}).get("tasks", {})
    return {name: task for name, task in found.items() if not name.startswith("condition")}


def test_the_graph_is_the_one_that_plan_reasons_about(ir: dict[str, Any]) -> None:
    tasks = _tasks(ir)
    names = {step: TASKS.get(step, step.replace("_", "-")) for step in steps.READS}
    assert set(tasks) == set(names.values())
    for step, (parameters, after) in steps.READS.items():
        task = tasks[names[step]]
        inputs = task.get("inputs", {})
        read = {
            value["componentInputParameter"].removeprefix("pipelinechannel--")
            for value in inputs.get("parameters", {}).values()
            if "componentInputParameter" in value
        }
        assert set(parameters) <= read, step
        condition = step in ("promote", "materialise")
        upstream = set(task.get("dependentTasks", []))
        assert condition or {names[a] for a in after} <= upstream, step


def test_only_steps_without_effects_are_cached(ir: dict[str, Any]) -> None:
    cached = {name for name, task in _tasks(ir).items() if task["cachingOptions"].get("enableCache")}
    assert {"register", "promote", "materialise", "watch"} & cached == set()
    assert {"ingest", "validate", "build-profiles", "train-intent", "train-ranking"} <= cached


def test_promotion_stands_behind_the_gates(ir: dict[str, Any]) -> None:
    conditions = [t for t in ir["root"]["dag"]["tasks"].values() if "triggerPolicy" in t]
    assert len(conditions) == 1
    assert "Output'] == true" in conditions[0]["triggerPolicy"]["condition"].lower().replace("output", "Output")


def test_the_run_form_is_filled_with_the_spec(ir: dict[str, Any]) -> None:
    declared = ir["root"]["inputDefinitions"]["parameters"]
    for name, value in spec_parameters(GROCERY).items():
        assert declared[name]["defaultValue"] == value
        assert declared[name]["description"]


def test_no_address_path_or_secret_is_in_the_ir(text: str) -> None:
    for word in ("sqlite:", "http://", "https://", str(Path.cwd()), "/tmp/", "INTENTFLOW_PSEUDONYM_KEY"):
        assert word not in text
