"""kfp's object of a pipeline, made from its graph, and the compiler that writes any pipeline's IR.

The same object runs in this process's own environment (pipelines/runs/local.py) and compiles to Kubeflow's IR. kfp
reads a function's signature and docstring: both are made from the run form. A group becomes a pipeline of its own
inside the other, which takes and gives what its steps read and what others read of it.
"""

import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl
from kfp.dsl.types import type_utils

from pipelines.environment_spec import Kubeflow
from pipelines.graphs import index, task_settings
from pipelines.graphs.compute import Compute
from pipelines.graphs.graph import Body, Branch, Graph, Group, Node, Output, Parameter
from pipelines.graphs.graph import Recommender as OfRecommender
from pipelines.graphs.kfp_frames import frames_without_source
from pipelines.graphs.step_table import FORM, KINDS
from pipelines.spec import Recommender

POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
PLAIN = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool}
Channels = dict[Any, Any]  # kfp's channels by Output, and by name of a form's field


def built(pipeline: index.Pipeline, spec: Recommender | None = None) -> Any:
    """Return kfp's object of a pipeline; the form's defaults are the spec's, and tasks get what the platform says."""
    graph = pipeline.graph(spec)
    name = spec.name if spec else index.ANY
    values = pipeline.form(spec) if spec else {field: KINDS.get(field, str)() for field in graph.form}
    with frames_without_source():
        builder = _Builder(graph, name)
        return dsl.pipeline(name=pipeline.name, description=pipeline.description)(builder.root(pipeline, values))


class _Builder:
    """Makes the tasks of one graph."""

    def __init__(self, graph: Graph, recommender: str) -> None:
        self.graph, self.recommender = graph, recommender
        self.components: dict[str, Any] = {}
        # kfp builds no pipeline while it builds another: the inner ones come first.
        self.groups: dict[Group, Any] = {}
        for group in _groups(graph.body):
            self.groups[group] = self._group(group)

    def root(self, pipeline: index.Pipeline, values: dict[str, Any]) -> Callable[..., None]:
        """Return a function as a person would write it for kfp: a parameter each, described, and the tasks as body."""
        form = self.graph.form

        def function(*channels: Any) -> None:
            tasks: list[Any] = []
            self._each(self.graph.body, dict(zip(form, channels, strict=True)), tasks)
            # Kubeflow runs it after each of them that ends, so that it sees a failure wherever there is one.
            last = self._task(self.graph.last, {}).after(*tasks).ignore_upstream_failure()
            task_settings.settle(last, self.graph.last.step)

        asked = [inspect.Parameter(n, POSITIONAL, annotation=KINDS.get(n, str), default=values[n]) for n in form]
        function.__signature__ = inspect.Signature(asked, return_annotation=None)  # type: ignore[attr-defined]
        function.__doc__ = "\n".join(
            [pipeline.description, "", "Args:", *(f"    {name}: {FORM[name]}" for name in form)]
        )
        return function

    def _group(self, group: Group) -> Any:
        """Return kfp's object of a group."""
        taken, given = self.graph.taken(group), self.graph.given(group)
        fields = [(one.name, self._given(one)) for one in given]
        outputs: Any = NamedTuple(group.name, fields) if fields else None

        def function(*channels: Any) -> Any:
            known: Channels = dict(zip(taken, channels, strict=True))
            self._each(group.body, known, [])
            return outputs(*(known[one] for one in given)) if outputs else None

        asked = [inspect.Parameter(one.name, POSITIONAL, annotation=self._taken(one)) for one in taken]
        function.__signature__ = inspect.Signature(asked, return_annotation=outputs)  # type: ignore[attr-defined]
        return dsl.pipeline(name=group.name, description=group.about)(function)

    def _each(self, body: Body, known: Channels, tasks: list[Any]) -> None:
        """Make the tasks of a body; `known` learns what they leave, `tasks` are they."""
        for item in body:
            if isinstance(item, Branch):
                with dsl.If(known[item.on] == item.holds, name=item.name):
                    self._each(item.body, known, [])
            elif isinstance(item, Group):
                task = self.groups[item](**{one.name: known[one] for one in self.graph.taken(item)})
                known |= {one: task.outputs[one.name] for one in self.graph.given(item)}
                tasks.append(task)
            else:
                task = self._task(item, known)
                task_settings.settle(task, item.step)
                known |= {Output(item, key): channel for key, channel in task.outputs.items()} | {item: task}
                tasks.append(task)

    def _task(self, node: Node, known: Channels) -> Any:
        """Make a node's task."""

        def given(value: Any) -> Any:
            if isinstance(value, OfRecommender):
                return self.recommender
            if isinstance(value, Parameter):
                return known[value.name]
            return known[value] if isinstance(value, Output) else value

        task = self._component(node)(**{argument: given(value) for argument, value in node.inputs.items()})
        if node.after:
            task.after(*(known[before] for before in node.after))
        return task

    @staticmethod
    def _component(node: Node) -> Any:
        return getattr(importlib.import_module(node.step.module), node.step.function)

    def _given(self, output: Output) -> Any:
        """Return the type of what a node leaves."""
        spec = self._component(output.node).component_spec.outputs[output.key]
        return _type(spec.type)

    def _taken(self, output: Output) -> Any:
        kind = self._given(output)
        return kind if kind in PLAIN.values() else dsl.Input[kind]


def _type(name: str) -> Any:
    """Return the Python type of kfp's name of one."""
    if type_utils.is_parameter_type(name):
        return PLAIN[type_utils.get_parameter_type_name(name)]
    return type_utils.ARTIFACT_CLASSES_MAPPING[name.partition("@")[0].rpartition(".")[2].lower()]


def _groups(body: Body) -> Iterable[Group]:
    """Yield groups, inner ones first."""
    for item in body:
        if not isinstance(item, Node):
            yield from _groups(item.body)
            if isinstance(item, Group):
                yield item


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
    if kubeflow is not None:
        (compute or Compute()).require_time(spec.models.intent.search)
    platform = task_settings.Platform(spec.name, compute or Compute(), kubeflow or Kubeflow(host=""))
    with task_settings.given(platform):
        made = built(chosen, spec)
    compiler.Compiler().compile(made, str(path))
    path.write_text(_headed(path.read_text(encoding="utf-8"), chosen, spec), encoding="utf-8")


def _headed(text: str, pipeline: index.Pipeline, spec: Recommender) -> str:
    """Replace kfp's heading, which lists the spec's fields in another order each time, by one that says what it is."""
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    return f"# {pipeline.name} of {spec.name}: {pipeline.description}\n{body}"
