"""A pipeline's graph as plain data: which steps, what each is given, which come after which, and what is conditional.

train.py, retrain.py and batch.py each add their steps to a `Graph`, in groups that Kubeflow's UI shows as one box each.
kfp_pipeline.py makes kfp's object of it, `plan` reads from it what makes a step run again, and neither can differ from
the other. No SDK is imported.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from feature_repo.errors import SpecError
from pipelines.graphs import step_table
from pipelines.graphs.step_table import ADMIT, OUTCOME, Step

Reads = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # by step: its slices, the steps before it
RETURNED = "Output"  # kfp's name of a returned value


@dataclass(frozen=True)
class Parameter:
    """A field of the run form, as an input of a step."""

    name: str


@dataclass(frozen=True)
class Recommender:
    """The name of the recommender that the pipeline is of, as an input of a step."""


@dataclass(frozen=True)
class Output:
    """What a node leaves under a name, as an input of another."""

    node: "Node"
    key: str

    @property
    def name(self) -> str:
        """Return its name where another group takes it."""
        return self.node.step.name if self.key == RETURNED else self.key


@dataclass(frozen=True, eq=False)
class Node:
    """One task of a pipeline."""

    step: Step
    inputs: Mapping[str, Any]  # argument -> Parameter, Recommender, Output or a constant
    after: tuple["Node", ...] = ()  # beside those whose outputs it takes
    inside: "Part | None" = None

    def __getitem__(self, key: str) -> Output:
        """Return an output by name."""
        return Output(self, key)

    @property
    def upstream(self) -> list["Node"]:
        """Return the nodes that come before it."""
        found = [value.node for value in self.inputs.values() if isinstance(value, Output)]
        part = self.inside
        while part is not None:
            found += [part.on.node] if isinstance(part, Branch) else []
            part = part.inside
        return [*found, *self.after]


@dataclass(frozen=True, eq=False)
class Branch:
    """Nodes that only run where an output is true, or where it is not."""

    name: str
    on: Output
    inside: "Part | None"
    holds: bool = True
    body: "Body" = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Group:
    """Nodes that the UI shows as one box, which opens."""

    name: str
    about: str
    inside: "Part | None"
    body: "Body" = field(default_factory=list)


Part = Branch | Group
Body = list[Node | Branch | Group]


class Graph:
    """A pipeline that is being put together; its first step checks the run form, its last tells how the run ended."""

    def __init__(
        self,
        pipeline: str = "",
        *,
        form: tuple[str, ...] = tuple(step_table.FORM),
        vectors: bool = False,
        sessions: bool = False,
        searches: bool = False,
        titles: bool = False,
        forecasts: bool = False,
        words: bool = False,
        retrains: bool = False,
    ) -> None:
        self.form = form
        # Whether the spec asks for vectors of items, intents of visits, intents of other kinds than yes or no.
        self.vectors, self.sessions, self.forecasts = vectors, sessions, forecasts
        self.searches = searches  # whether it asks for a search
        self.words = words  # whether a language model writes its texts
        self.titles = titles  # whether the intent model reads vectors, too
        self.retrains = retrains  # whether reasons are answered by a state machine, which may wait, hold or stop
        self.plainly_retrains = pipeline == "retrain" and not retrains
        self._open: list[Part] = []
        admit = step_table.step(ADMIT)
        self.first = Node(admit, self._admitted)
        self.body: Body = [self.first]
        self.last = Node(step_table.step(OUTCOME), {"name": Recommender(), "pipeline": pipeline})

    @property
    def _admitted(self) -> dict[str, Any]:
        """Return what the first step is given: the form, and which steps beside the usual ones may come by it."""
        may = {
            "sessions": self.sessions,
            "searches": self.searches,
            "forecasts": self.forecasts,
            "titles": self.titles,
            "words": self.words,
        }
        said: dict[str, bool] = {name: asked for name, asked in may.items() if asked}
        if self.plainly_retrains:  # then a form that asks for more is refused
            said["retrains"] = False
        return {"recommender": Recommender(), **said} | {name: Parameter(name) for name in self.form}

    def step(self, name: str, *, after: Iterable[Node] = (), **inputs: Any) -> Node:
        """Hang a step: `inputs` are artifacts, values and constants; its slices come from the first step."""
        row = step_table.step(name)
        for wanted in row.arguments.values():
            if wanted not in step_table.SLICES:
                raise SpecError(f"step_table.py: step '{name}' reads '{wanted}', which has no words in SLICES")
        slices = {argument: self.first[wanted] for argument, wanted in row.arguments.items()}
        inside = self._open[-1] if self._open else None
        node = Node(row, slices | inputs, tuple(after), inside)
        self._here.append(node)
        return node

    def group(self, name: str, about: str) -> contextlib.AbstractContextManager[None]:
        """Hang what is added meanwhile as one box."""
        return self._opened(Group(name, about, self._open[-1] if self._open else None))

    def when(self, output: Output, *, name: str) -> contextlib.AbstractContextManager[None]:
        """Hang what is added meanwhile behind an output that must be true."""
        return self._opened(Branch(name, output, self._open[-1] if self._open else None))

    def unless(self, output: Output, *, name: str) -> contextlib.AbstractContextManager[None]:
        """Hang what is added meanwhile behind an output that must be false."""
        return self._opened(Branch(name, output, self._open[-1] if self._open else None, holds=False))

    @contextlib.contextmanager
    def _opened(self, part: Part) -> Iterator[None]:
        self._here.append(part)
        self._open.append(part)
        try:
            yield
        finally:
            self._open.pop()

    @property
    def _here(self) -> Body:
        return self._open[-1].body if self._open else self.body

    @property
    def nodes(self) -> list[Node]:
        """Return all nodes, the first and the last too."""
        return [*nodes(self.body), self.last]

    @property
    def reads(self) -> Reads:
        """Return by step what makes it run again: its slices, and the steps that come before it."""
        found: Reads = {}
        for node in nodes(self.body):
            if node.step.planned:
                before = dict.fromkeys(n.step.name for n in node.upstream if n.step.planned)
                also = found.get(node.step.name, ((), ()))[1]  # a step may hang in two branches
                found[node.step.name] = (tuple(node.step.arguments.values()), tuple(dict.fromkeys([*also, *before])))
        return found

    def taken(self, group: Group) -> list[Output]:
        """Return what a group takes from outside, each once."""
        own = set(nodes(group.body))
        return _once(group, [one for one in read(group.body) if one.node not in own])

    def given(self, group: Group) -> list[Output]:
        """Return what others take from a group, each once."""
        own = set(nodes(group.body))
        return _once(group, [one for one in read(self.body, but=group) if one.node in own])


def nodes(body: Body) -> Iterator[Node]:
    """Yield the nodes of a body, those inside branches and groups too."""
    for item in body:
        if isinstance(item, Node):
            yield item
        else:
            yield from nodes(item.body)


def read(body: Body, *, but: Group | None = None) -> Iterator[Output]:
    """Yield the outputs that a body's nodes and branches read."""
    for item in body:
        if isinstance(item, Node):
            yield from (value for value in item.inputs.values() if isinstance(value, Output))
        elif item is not but:
            if isinstance(item, Branch):
                yield item.on
            yield from read(item.body, but=but)


def _once(group: Group, found: list[Output]) -> list[Output]:
    """Keep each output once; two of one name would be one box of the UI."""
    kept = list(dict.fromkeys(found))
    names = [one.name for one in kept]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError(f"pipelines/graphs: group '{group.name}' takes or gives two things named '{twice[0]}'")
    return kept


def outdated(reads: Reads, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Name the steps that the next run does anew, given the slices of the last run.

    >>> reads = {"ingest": (("source",), ()), "validate": (("data",), ("ingest",)), "watch": (("monitoring",), ())}
    >>> outdated(reads, {"source": 1, "data": 1, "monitoring": 1}, {"source": 2, "data": 1, "monitoring": 1})
    ['ingest', 'validate']
    """
    if before is None:
        return list(reads)
    found: list[str] = []
    for step, (slices, after) in reads.items():
        if any(before.get(one) != now.get(one) for one in slices) or any(a in found for a in after):
            found.append(step)
    return found
