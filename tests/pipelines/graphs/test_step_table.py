"""A step is declared once: its function, its row, one line of a graph. A toy one is added so, in a copied tree."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from feature_repo.checkout import ROOT
from feature_repo.errors import SpecError
from pipelines.graphs import index, step_table
from pipelines.graphs.step_table import Size, Step
from tests.checkouts import copy_tree

FUNCTION = '''

@dsl.component(base_image=IMAGE, install_kfp_package=False)
def count_rows(note: str, clean: Input[Dataset]) -> int:
    """Count."""
    return len(note)
'''
ROW = """    yield Step("count", "components.data.component:count_rows", "pure", Size(3, "5Gi", minutes=7),
               "Count the rows", ("note=mode",))
# fmt: on


STEPS ="""
PROFILES = '        features = graph.step("profiles", clean=clean)'
LINE = '        graph.step("count", clean=clean)\n'
SHOWN = """
import json
from pathlib import Path
import yaml
from pipelines import plan, spec
from pipelines.environment import place
from pipelines.graphs import index
from pipelines.graphs.kfp_pipeline import compile_ir

SPEC = Path("pipelines/specs/synthetic.yaml")
compile_ir(spec.load(SPEC), Path("ir.yaml"))
ir, platforms = yaml.load_all(Path("ir.yaml").read_text(), yaml.CSafeLoader)
pod = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-count-rows"]
print("FOUND", json.dumps({
    "task": ir["components"]["comp-data"]["dag"]["tasks"]["count-rows"],
    "group": ir["root"]["dag"]["tasks"]["data"]["inputs"]["parameters"]["mode"]["taskOutputParameter"],
    "resources": ir["deploymentSpec"]["executors"]["exec-count-rows"]["container"]["resources"],
    "pod": pod["activeDeadlineSeconds"],
    "reads": index.reads()["count"],
    "plan": plan.plan(place(SPEC, "local")).steps,
}))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a copied tree says of a step that was added to it."""
    tree = tmp_path_factory.mktemp("toy")
    for package in ("pipelines", "bentos", "monitoring", "components", "feature_repo"):
        copy_tree(ROOT / package, tree / package)
    shutil.copyfile(ROOT / "requirements.lock", tree / "requirements.lock")

    def write(path: str, text: str, *, instead: str = "") -> None:
        whole = (tree / path).read_text()
        assert whole.count(instead) == 1 or not instead
        (tree / path).write_text(whole.replace(instead, text) if instead else whole + text)

    write("components/data/component.py", FUNCTION)
    write("pipelines/graphs/step_table.py", ROW, instead="# fmt: on\n\n\nSTEPS =")
    write("pipelines/graphs/train.py", LINE + PROFILES, instead=PROFILES)
    variables = os.environ | {"PYTHONPATH": str(tree), "INTENTFLOW_STATE": str(tree / "state")}
    command = [sys.executable, "-W", "ignore", "-c", SHOWN]
    done = subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    found: dict[str, Any] = json.loads(line.removeprefix("FOUND "))
    return found


def test_a_new_step_is_a_node_of_the_graph_and_cached_by_its_rule(toy: dict[str, Any]) -> None:
    task = toy["task"]
    assert task["dependentTasks"] == ["validate"]
    assert task["inputs"]["artifacts"]["clean"]["taskOutputArtifact"]["producerTask"] == "validate"
    assert task["cachingOptions"] == {"enableCache": True}
    assert task["retryPolicy"]["maxRetryCount"] == 1


def test_a_new_step_asks_for_what_its_row_says(toy: dict[str, Any]) -> None:
    assert (toy["resources"]["resourceCpuRequest"], toy["resources"]["resourceMemoryLimit"]) == ("3", "5Gi")
    assert toy["resources"]["resourceCpuLimit"] == "6"
    assert int(toy["pod"]) == 7 * 60


def test_a_new_step_reads_its_slice_of_the_first_step_and_is_in_the_plan(toy: dict[str, Any]) -> None:
    assert toy["task"]["inputs"]["parameters"]["note"]["componentInputParameter"] == "mode"
    assert toy["group"] == {"outputParameterKey": "mode", "producerTask": "admit"}
    assert toy["reads"] == [["mode"], ["validate"]]
    assert toy["plan"].count("count") == 1


def test_a_row_that_hangs_in_no_pipeline_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    index.require_hung()
    row = Step("idle", "components.data.component:ingest", "pure", Size(1, "1Gi"), "Do nothing")
    monkeypatch.setitem(step_table.STEPS, "idle", row)
    with pytest.raises(SpecError, match=r"^step_table.py: step 'idle' hangs in no pipeline; add it to one .*$"):
        index.require_hung()


def test_a_node_without_a_row_is_one_line_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: row for name, row in step_table.STEPS.items() if name != "train_ranking"}
    monkeypatch.setattr(step_table, "STEPS", without)  # putting back would change the order
    said = r"^pipelines/graphs: step 'train_ranking' has no row in step_table.py; did you mean '\w+'\?$"
    with pytest.raises(SpecError, match=said):
        index.reads()


def test_a_row_that_reads_a_slice_without_words_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    without = {name: words for name, words in step_table.SLICES.items() if name != "serving"}
    monkeypatch.setattr(step_table, "SLICES", without)
    with pytest.raises(
        SpecError, match=r"^step_table.py: step 'register' reads 'serving', which has no words in SLICES"
    ):
        index.reads()


def test_every_row_has_a_line_of_description() -> None:
    for row in step_table.STEPS.values():
        assert row.about, row.name
        assert "\n" not in row.about
