"""kfp's object of a pipeline, made from its graph, and the compiler that writes any pipeline's IR.

The same object runs in this process's own environment (pipelines/runs/local.py) and compiles to Kubeflow's IR. kfp
reads a function's signature and docstring: both are made from the parameters that the graph's steps read.
"""

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from pipelines.environment import Kubeflow
from pipelines.graphs import index, task_settings
from pipelines.graphs.compute import Compute
from pipelines.graphs.graph import Body, Branch, Graph, Node, Output, Parameter
from pipelines.graphs.kfp_frames import frames_without_source
from pipelines.graphs.step_table import NUMBERS, PARAMETERS
from pipelines.spec import Recommender


def built(pipeline: index.Pipeline) -> Any:
    """Return kfp's object of a pipeline; tasks get what the platform that is given now says."""
    with frames_without_source():
        return dsl.pipeline(name=pipeline.name, description=pipeline.description)(_function(pipeline))


def _function(pipeline: index.Pipeline) -> Callable[..., None]:
    """Return a function as a person would write it for kfp: a parameter each, described, and the tasks as its body."""
    graph = pipeline.graph()

    def function(*channels: Any) -> None:
        _hang(graph, dict(zip(graph.parameters, channels, strict=True)))

    kinds = {name: int if name in NUMBERS else str for name in graph.parameters}
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    asked = [inspect.Parameter(name, positional, annotation=kind) for name, kind in kinds.items()]
    function.__signature__ = inspect.Signature(asked, return_annotation=None)  # type: ignore[attr-defined]
    function.__doc__ = "\n".join(
        [pipeline.description, "", "Args:", *(f"    {name}: {PARAMETERS[name]}" for name in kinds)]
    )
    return function


def _hang(graph: Graph, channels: dict[str, Any]) -> None:
    """Make a task of every node, inside the frame that runs the last one however the others end."""
    tasks: dict[Node, Any] = {}
    assert graph.last is not None, "every pipeline reports its failure"
    with dsl.ExitHandler(_task(graph.last, channels, tasks), name="reported"):
        _each(graph.body, channels, tasks)


def _each(body: Body, channels: dict[str, Any], tasks: dict[Node, Any]) -> None:
    for item in body:
        if isinstance(item, Branch):
            asked = tasks[item.on.node].outputs[item.on.key]
            with dsl.If(asked == True, name=item.name):  # noqa: E712 - kfp compares, Python does not
                _each(item.body, channels, tasks)
        else:
            _task(item, channels, tasks)


def _task(node: Node, channels: dict[str, Any], tasks: dict[Node, Any]) -> Any:
    """Make a node's task, with its settings."""

    def given(value: Any) -> Any:
        if isinstance(value, Parameter):
            return channels[value.name]
        return tasks[value.node].outputs[value.key] if isinstance(value, Output) else value

    component = getattr(importlib.import_module(node.step.module), node.step.function)
    task = component(**{argument: given(value) for argument, value in node.inputs.items()})
    if node.after:
        task.after(*(tasks[before] for before in node.after))
    task_settings.settle(task, node.step)
    tasks[node] = task
    return task


def compile_ir(
    spec: Recommender,
    path: Path,
    *,
    pipeline: str = "train",
    kubeflow: Kubeflow | None = None,
    compute: Compute | None = None,
) -> None:
    """Write a pipeline's IR for a cluster, the spec's values as the defaults of the run form.

    The same spec and environment give the same bytes. Without `kubeflow` the platform is one of defaults.
    """
    chosen = index.pipeline(pipeline)
    platform = task_settings.Platform(spec.name, compute or Compute(), kubeflow or Kubeflow(host=""))
    with task_settings.given(platform):
        made = built(chosen)
    compiler.Compiler().compile(made, str(path), pipeline_parameters=chosen.spec_parameters(spec))
