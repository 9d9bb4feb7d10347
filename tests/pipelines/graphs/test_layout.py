"""Each layer of a pipeline's graph fits a screen of Kubeflow's UI, and its boxes are told apart by name."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.graphs import index, layout
from pipelines.graphs.step_table import OUTCOME

GOLDEN = Path("tests/golden/pipelines")
BOXES, WIDTH, EDGES = 7, 1400, 45
# Tasks that follow others without taking anything of theirs: promotion waits for the profiles online.
WAITS = {("materialise", "promote"), ("materialise-2", "promote-2")}


def _golden(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.load_all((GOLDEN / f"{name}.yaml").read_text(), yaml.CSafeLoader))
    return found


@pytest.mark.parametrize("name", list(index.PIPELINES))
def test_every_layer_is_read_at_a_glance(name: str) -> None:
    for layer in layout.layers(_golden(name)):
        assert len(layer.tasks) <= BOXES, (layer.name, layer.tasks)
        assert layer.width <= WIDTH, (layer.name, layer.width)
        assert len(layer.edges) <= EDGES, (layer.name, len(layer.edges))
        twice = [artifact for artifact, times in Counter(layer.artifacts).items() if times > 1]
        assert not twice, (layer.name, twice)


@pytest.mark.parametrize("name", list(index.PIPELINES))
def test_an_edge_between_steps_carries_what_the_later_one_reads(name: str) -> None:
    ir = _golden(name)
    for part in [ir["root"], *ir["components"].values()]:
        for task, found in part.get("dag", {}).get("tasks", {}).items():
            inputs = found.get("inputs", {})
            producers = {
                source["producerTask"]
                for kind, key in (("parameters", "taskOutputParameter"), ("artifacts", "taskOutputArtifact"))
                for one in inputs.get(kind, {}).values()
                if (source := one.get(key))
            }
            for before in found.get("dependentTasks", []):
                assert before in producers or task == OUTCOME or (before, task) in WAITS, (before, task)


@pytest.mark.parametrize("name", list(index.PIPELINES))
def test_a_group_takes_only_what_is_read_inside(name: str) -> None:
    ir = _golden(name)
    parts = [ir["root"], *ir["components"].values()]
    tasks = [task for part in parts for task in part.get("dag", {}).get("tasks", {}).values()]
    # kfp hands what a condition reads on to the conditions within it.
    conditions = " ".join(task.get("triggerPolicy", {}).get("condition", "") for task in tasks)
    for task in tasks:
        group = ir["components"][task["componentRef"]["name"]]
        inside = group.get("dag", {}).get("tasks", {}).values()
        condition = conditions if "triggerPolicy" in task else ""
        for kind, key in (("parameters", "componentInputParameter"), ("artifacts", "componentInputArtifact")):
            read = {one.get(key) for one_task in inside for one in one_task.get("inputs", {}).get(kind, {}).values()}
            given = task.get("inputs", {}).get(kind, {}) if inside else {}
            assert [one for one in given if one not in read and f"'{one}'" not in condition] == [], task["taskInfo"]


def test_the_root_shows_the_work_and_no_wrapper() -> None:
    root = next(layout.layers(_golden("train")))
    assert set(root.tasks) == {"admit", "data", "intent", "ranking", "release", "watch", "outcome"}
    rows = root.rows
    order = ["admit", "data", "intent", "ranking", "release", "watch", "outcome"]
    assert sorted(order, key=rows.__getitem__) == order


def test_a_row_is_measured_with_its_gaps_and_the_edges_that_pass_it() -> None:
    edges = {("a", "a.x"), ("a", "a.y"), ("a.x", "b"), ("a.y", "b"), ("a", "b")}
    layer = layout.Layer("root", ("a", "b"), ("x", "y"), frozenset(edges))
    assert layer.rows == {"a": 0, "a.x": 1, "a.y": 1, "b": 2}
    assert layer.width == 2 * layout.BOX + layout.GAP + layout.EDGE
