"""A pipeline's graph as plain data: which steps, what each is given, which come after which, and what is conditional.

train.py, retrain.py and batch.py each add their steps to a `Graph`. kfp_pipeline.py makes kfp's object of it, `plan`
reads from it what makes a step run again, and neither can differ from the other. No SDK is imported.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_repo.errors import SpecError
from pipelines.graphs import step_table
from pipelines.graphs.step_table import Step

Reads = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # by step: its parameters, the steps before it
RETURNED = "Output"  # kfp's name of a returned value


@dataclass(frozen=True)
class Parameter:
    """A parameter of the pipeline, as an input of a step."""

    name: str


@dataclass(frozen=True)
class Output:
    """What a node leaves under a name, as an input of another."""

    node: "Node"
    key: str


@dataclass(frozen=True, eq=False)
class Node:
    """One task of a pipeline."""

    step: Step
    inputs: Mapping[str, Any]  # argument -> Parameter, Output or a constant
    after: tuple["Node", ...] = ()  # beside those whose outputs it takes
    behind: "Branch | None" = None

    def __getitem__(self, key: str) -> Output:
        """Return an output by name."""
        return Output(self, key)

    @property
    def upstream(self) -> list["Node"]:
        """Return the nodes that come before it."""
        found = [value.node for value in self.inputs.values() if isinstance(value, Output)]
        branch = self.behind
        while branch is not None:
            found.append(branch.on.node)
            branch = branch.behind
        return [*found, *self.after]


@dataclass(frozen=True, eq=False)
class Branch:
    """Nodes that only run where an output is true."""

    name: str
    on: Output
    behind: "Branch | None"
    body: "Body" = field(default_factory=list)


Body = list[Node | Branch]


class Graph:
    """A pipeline that is being put together."""

    def __init__(self) -> None:
        self.body: Body = []
        self.last: Node | None = None  # runs however the others end
        self._open: list[Branch] = []

    def step(self, name: str, *, after: Iterable[Node] = (), **inputs: Any) -> Node:
        """Hang a step: `inputs` are artifacts, values and constants; its parameters come from its row."""
        behind = self._open[-1] if self._open else None
        node = Node(*self._wired(name, inputs), tuple(after), behind)
        (behind.body if behind else self.body).append(node)
        return node

    def on_exit(self, name: str, **inputs: Any) -> None:
        """Have a step run at the end, whatever became of the others."""
        self.last = Node(*self._wired(name, inputs))

    @contextlib.contextmanager
    def when(self, output: Output, *, name: str) -> Iterator[None]:
        """Hang what is added meanwhile behind an output that must be true."""
        behind = self._open[-1] if self._open else None
        branch = Branch(name, output, behind)
        (behind.body if behind else self.body).append(branch)
        self._open.append(branch)
        try:
            yield
        finally:
            self._open.pop()

    @staticmethod
    def _wired(name: str, inputs: Mapping[str, Any]) -> tuple[Step, dict[str, Any]]:
        row = step_table.step(name)
        for parameter in row.arguments.values():
            if parameter not in step_table.PARAMETERS:
                raise SpecError(f"step_table.py: step '{name}' reads '{parameter}', which has no words in PARAMETERS")
        return row, {argument: Parameter(name) for argument, name in row.arguments.items()} | dict(inputs)

    @property
    def nodes(self) -> list[Node]:
        """Return all nodes, the one that runs at the end first."""
        return [*([self.last] if self.last else []), *_nodes(self.body)]

    @property
    def parameters(self) -> list[str]:
        """Return the parameters that the pipeline takes, in the order of the table."""
        read = {value.name for node in self.nodes for value in node.inputs.values() if isinstance(value, Parameter)}
        return [name for name in step_table.PARAMETERS if name in read]

    @property
    def reads(self) -> Reads:
        """Return by step what makes it run again: its parameters, and the steps that come before it."""
        found: Reads = {}
        for node in _nodes(self.body):
            if node.step.planned:
                before = dict.fromkeys(n.step.name for n in node.upstream if n.step.planned)
                found[node.step.name] = (tuple(node.step.arguments.values()), tuple(before))
        return found


def _nodes(body: Body) -> Iterator[Node]:
    for item in body:
        if isinstance(item, Branch):
            yield from _nodes(item.body)
        else:
            yield item


def outdated(reads: Reads, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Name the steps that the next run does anew, given the parameters of the last run.

    >>> reads = {"ingest": (("source",), ()), "validate": (("data",), ("ingest",)), "watch": (("monitoring",), ())}
    >>> outdated(reads, {"source": 1, "data": 1, "monitoring": 1}, {"source": 2, "data": 1, "monitoring": 1})
    ['ingest', 'validate']
    """
    if before is None:
        return list(reads)
    found: list[str] = []
    for step, (parameters, after) in reads.items():
        if any(before.get(p) != now.get(p) for p in parameters) or any(a in found for a in after):
            found.append(step)
    return found
