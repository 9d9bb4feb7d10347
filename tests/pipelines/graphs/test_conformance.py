"""The pipelines are one graph here and on a cluster, and what one side cannot run is named before anything runs."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
import yaml
from kfp import compiler, dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines import spec
from pipelines.graphs import conformance, index
from pipelines.graphs.kfp_pipeline import compile_ir
from pipelines.graphs.step_table import FORM, STEPS, step_of

GROCERY = Path("pipelines/specs/grocery.yaml")
GOLDEN = Path("tests/golden/pipelines")
IMAGE = "test-python:1"


def _golden(name: str) -> dict[str, Any]:
    documents = yaml.load_all((GOLDEN / f"{name}.yaml").read_text(), yaml.CSafeLoader)
    found: dict[str, Any] = next(documents)
    return found


def _tasks(ir: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tasks of steps by name, those inside groups too."""
    found: dict[str, dict[str, Any]] = {}
    for part in [ir["root"], *ir["components"].values()]:
        for name, task in part.get("dag", {}).get("tasks", {}).items():
            if "dag" not in ir["components"][task["componentRef"]["name"]]:
                assert name not in found, f"{name} is there twice: logs and plan could not tell them apart"
                found[name] = task
    return found


@pytest.mark.parametrize("name", ["batch", "retrain", "policy"])
def test_the_compiled_pipeline_is_the_golden_one(
    name: str, tmp_path: Path, golden: Callable[[Path, str], None]
) -> None:
    compile_ir(spec.load(GROCERY), tmp_path / "ir.yaml", pipeline=name)
    golden(GOLDEN / f"{name}.yaml", (tmp_path / "ir.yaml").read_text())


@pytest.mark.slow  # compiles and runs every pipeline's graph; CI runs it
def test_the_golden_record_says_that_the_pipelines_run_on_both_sides(golden: Callable[[Path, str], None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = conformance.examined()
    assert found == []
    golden(conformance.RECORD, f'{{"code": "{conformance.made_by()}", "problems": []}}\n')


@pytest.mark.slow
def test_another_hash_seed_in_another_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines import spec; from pipelines.graphs import index\n"
        "from pipelines.graphs.kfp_pipeline import compile_ir\n"
        "declared = spec.load(Path(sys.argv[1]))\n"
        "for name in index.PIPELINES: compile_ir(declared, Path(f'{name}.yaml'), pipeline=name)"
    )
    variables = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-W", "ignore", "-c", code, str(GROCERY.absolute())]
    subprocess.run(command, cwd=tmp_path, env=variables, check=True)
    for name in index.PIPELINES:
        assert (tmp_path / f"{name}.yaml").read_bytes() == (GOLDEN / f"{name}.yaml").read_bytes()


@pytest.mark.parametrize("name", list(index.PIPELINES))
def test_every_field_of_the_run_form_has_words_and_a_default_of_the_spec(name: str) -> None:
    ir, pipeline = _golden(name), index.PIPELINES[name]
    assert ir["pipelineInfo"]["name"] == pipeline.name
    assert ir["pipelineInfo"]["description"]
    asked = ir["root"]["inputDefinitions"]["parameters"]
    values = pipeline.form(spec.load(GROCERY))
    assert set(asked) == set(values) == set(pipeline.fields)
    assert len(asked) <= 5
    for parameter, entry in asked.items():
        assert entry["description"] == FORM[parameter]
        assert entry["isOptional"] is True
        assert entry["defaultValue"] == values[parameter], parameter
    assert asked["spec"]["parameterType"] == "STRUCT"


@pytest.mark.parametrize("name", list(index.PIPELINES))
def test_every_pure_step_is_cached_and_no_other(name: str) -> None:
    tells = {
        "admit",
        "champion",
        "outcome",
        "fetch_twin",
        "register",
        "register_refit",
        "materialise",
        "promote",
        "watch",
    }
    tells |= {"recommend"}  # it reads the document log, which moves by itself
    tells |= {"policy_log", "register_policy"}  # the log grows by itself
    tells |= {"need_baseline", "register_baseline"}  # they ask the registry, and write into it
    for task, found in _tasks(_golden(name)).items():
        cached = bool(found["cachingOptions"].get("enableCache"))
        assert cached == (step_of(task) not in tells), task


def test_every_step_of_every_pipeline_has_a_size_and_a_name_that_plan_uses() -> None:
    found = {step_of(task) for name in index.PIPELINES for task in _tasks(_golden(name))}
    # Steps that only graphs of some specs have: test_spec_vectors.py, test_session_steps.py, test_retraining.py, …
    asked = {"item_vectors", "train_session", "refit_session", "search_intent", "train_forecasts", "refit_forecasts"}
    asked |= {"judge_words", "decide_retraining", "weigh", "promote_retrained"}
    assert found == set(STEPS) - asked
    for name in index.PIPELINES:
        assert set(index.reads(name)) <= found


def test_batch_scoring_trains_and_registers_nothing() -> None:
    ir = _golden("batch")
    assert set(_tasks(ir)) == {
        *("admit", "champion", "fetch-release", "ingest", "validate", "newest-rows", "predict-intents", "recommend"),
        "outcome",
    }
    scores = ir["root"]["dag"]["tasks"]["scores"]["inputs"]["artifacts"]["folder"]["taskOutputArtifact"]
    assert scores["producerTask"] == "release"
    (left,) = ir["components"]["comp-release"]["dag"]["outputs"]["artifacts"]["folder"]["artifactSelectors"]
    assert left["producerSubtask"] == "fetch-release"


def test_training_stands_behind_the_decision() -> None:
    ir = _golden("retrain")
    components, root = ir["components"], ir["root"]["dag"]["tasks"]
    assert root["training"]["inputs"]["parameters"]["decide"]["taskOutputParameter"]["producerTask"] == "decide"
    (group,) = components["comp-training"]["dag"]["tasks"].values()
    assert group["triggerPolicy"]["condition"] == "inputs.parameter_values['pipelinechannel--decide'] == true"
    behind = components[group["componentRef"]["name"]]["dag"]["tasks"]
    assert {"intent", "ranking", "release"} == set(behind)
    assert set(root) == {"admit", "data", "watch", "decide", "training", "outcome"}


# Pipelines that one side cannot run.


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def make(number: int, data: Output[Dataset]) -> int:
    """Make something."""
    return number


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def word() -> str:
    """Say something."""
    return "yes"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def pair() -> NamedTuple("Pair", [("first", bool), ("second", bool)]):  # type: ignore[valid-type]
    """Say two things."""
    return (True, False)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def numbers() -> list:  # type: ignore[type-arg]
    """Say some numbers."""
    return []


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def take(data: Input[Artifact]) -> None:
    """Take something."""


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def total(parts: list) -> int:  # type: ignore[type-arg]
    """Add up."""
    return sum(parts)


@dsl.container_component
def shell() -> dsl.ContainerSpec:
    """Run a program."""
    return dsl.ContainerSpec(image=IMAGE, command=["true"])


def one_of_artifacts() -> None:
    """Choose between two artifacts."""
    first = make(number=1)
    with dsl.If(first.outputs["Output"] == 1):
        one = make(number=2)
    with dsl.Else():
        other = make(number=3)
    take(data=dsl.OneOf(one.outputs["data"], other.outputs["data"]))


def of_text() -> None:
    """Branch on text."""
    with dsl.If(word().output == "yes", name="said-yes"):
        make(number=1)


def of_a_named_output() -> None:
    """Branch on one of two outputs."""
    with dsl.If(pair().outputs["first"] == True, name="first"):  # noqa: E712
        make(number=1)


def of_containers() -> None:
    """Run a container."""
    shell()


def unset(name: Optional[str] = None) -> None:  # noqa: UP045 - as kfp reads it
    """Leave a parameter out."""
    make(number=1)


def collected() -> None:
    """Collect over a list that may be empty."""
    with dsl.ParallelFor(numbers().output, name="each") as each:
        made = make(number=each)
    total(parts=dsl.Collected(made.outputs["Output"]))


def remote() -> None:
    """Import from an object store."""
    take(data=dsl.importer(artifact_uri="s3://bucket/rows", artifact_class=Dataset).output)


def from_disk() -> None:
    """Import from this machine's disk."""
    take(data=dsl.importer(artifact_uri="/data/rows", artifact_class=Dataset).output)


def _compiled(function: Callable[..., None], tmp_path: Path) -> dict[str, Any]:
    built = dsl.pipeline(name="planted")(function)
    compiler.Compiler().compile(built, str(tmp_path / "planted.yaml"))
    found: dict[str, Any] = yaml.safe_load((tmp_path / "planted.yaml").read_text())
    return found


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (one_of_artifacts, "OneOf over artifacts"),
        (of_text, "condition 'said-yes': compares the text word-Output"),
        (of_a_named_output, "condition 'first': reads the output 'first'"),
        (of_containers, "step 'shell': a container component"),
        (unset, "parameter 'name': optional without a default"),
        (collected, "its results are collected, and the list may be empty"),
        (remote, "imports s3://bucket/rows, which this machine does not see"),
        (from_disk, "imports /data/rows, which a cluster's pod does not see"),
    ],
)
def test_a_construct_that_one_side_cannot_run_is_named_in_one_line(
    function: Callable[..., None], said: str, tmp_path: Path
) -> None:
    (problem,) = conformance.problems(_compiled(function, tmp_path))
    assert said in problem
    assert "\n" not in problem


def test_a_fixed_list_may_be_collected(tmp_path: Path) -> None:
    def fixed() -> None:
        """Collect over a list that is not empty."""
        with dsl.ParallelFor([1, 2], name="each") as each:
            made = make(number=each)
        total(parts=dsl.Collected(made.outputs["Output"]))

    assert conformance.problems(_compiled(fixed, tmp_path)) == []


def test_a_graph_that_differs_is_named_by_its_place() -> None:
    here, there = _golden("batch"), _golden("batch")
    tasks = there["components"]["comp-scores"]["dag"]["tasks"]
    tasks["recommend"]["dependentTasks"].remove("predict-intents")
    there["components"]["comp-recommend"]["inputDefinitions"]["parameters"]["k"]["parameterType"] = "STRING"
    del there["components"]["comp-newest-rows"]["outputDefinitions"]
    found = conformance.differences(here, there)
    assert len(found) == 3
    assert any("tasks.recommend.dependentTasks" in line for line in found)
    assert any("comp-recommend.inputDefinitions.parameters.k" in line and "NUMBER_INTEGER" in line for line in found)
    assert any("comp-newest-rows.outputDefinitions.artifacts.rows" in line and "nothing" in line for line in found)


def test_plan_believes_the_record_of_this_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "checked.json"
    monkeypatch.setattr(conformance, "RECORD", record)
    files.write_json(record, {"code": conformance.made_by(), "problems": ["batch: step 'x': a container component"]})
    with pytest.raises(SpecError, match="pipelines: batch: step 'x'"):
        conformance.require()


@pytest.mark.slow
def test_pipelines_that_were_edited_are_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = tmp_path / "checked.json"
    monkeypatch.setattr(conformance, "RECORD", record)
    files.write_json(record, {"code": "before", "problems": ["batch: was mended since"]})
    conformance.require()
