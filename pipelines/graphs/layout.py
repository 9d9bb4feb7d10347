"""How Kubeflow's UI lays a compiled pipeline out: boxes, edges and the longest row of each layer; reads IR, no SDK.

The UI (frontend/src/lib/v2/StaticFlow.ts of kfp 2.17) shows the root, or one group, at a time: a box for each task and
for each artifact that a task leaves; an edge from a task to its artifacts, from an artifact to the tasks that take it,
and between tasks that depend on each other. dagre puts a box a row below the last of those before it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BOX, GAP, EDGE = 224, 50, 20  # px: a box, between two of them, and of an edge that passes a row
Ir = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """What the UI shows at once."""

    name: str  # root, or the group's component
    tasks: tuple[str, ...]
    artifacts: tuple[str, ...]  # names, one a box
    edges: frozenset[tuple[str, str]]

    @property
    def rows(self) -> dict[str, int]:
        """Return the row of each box, counted from the top."""
        found: dict[str, int] = {}

        def row(box: str) -> int:
            if box not in found:
                found[box] = 1 + max((row(before) for before, after in self.edges if after == box), default=-1)
            return found[box]

        for box in {*self.tasks, *(box for edge in self.edges for box in edge)}:
            row(box)
        return found

    @property
    def width(self) -> int:
        """Return the longest row in px, edges that pass it included."""
        rows = self.rows
        boxes = Counter(rows.values())
        passing = Counter(at for a, b in self.edges for at in range(rows[a] + 1, rows[b]))
        return max(boxes[at] * BOX + (boxes[at] - 1) * GAP + passing[at] * EDGE for at in boxes)


def layers(ir: Ir) -> Iterator[Layer]:
    """Yield the root and every group of an IR."""
    for name, component in {"root": ir["root"], **ir["components"]}.items():
        if "dag" in component:
            yield _layer(name.removeprefix("comp-"), component["dag"]["tasks"], ir["components"])


def _layer(name: str, tasks: Ir, components: Ir) -> Layer:
    edges: set[tuple[str, str]] = set()
    artifacts: list[str] = []
    for task, found in tasks.items():
        left = components[found["componentRef"]["name"]].get("outputDefinitions", {}).get("artifacts", {})
        artifacts += left
        edges |= {(task, f"{task}.{key}") for key in left}
        edges |= {(before, task) for before in found.get("dependentTasks", [])}
        for taken in found.get("inputs", {}).get("artifacts", {}).values():
            if source := taken.get("taskOutputArtifact"):
                edges.add((f"{source['producerTask']}.{source['outputArtifactKey']}", task))
        for taken in found.get("inputs", {}).get("parameters", {}).values():
            if source := taken.get("taskOutputParameter"):
                edges.add((source["producerTask"], task))
    return Layer(name, tuple(tasks), tuple(artifacts), frozenset(edges))
