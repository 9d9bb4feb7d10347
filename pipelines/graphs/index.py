"""The pipelines by name: which there are, how each hangs together, and what a spec and a place put into its parameters.

`intentflow run --pipeline NAME`, `apply` and recurring runs choose here. No SDK is imported: a pipeline's object is
built, and kfp with it, when `build` is called. The order of the steps is each pipeline's own matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from feature_repo.errors import SpecError, nearest
from pipelines.environment import Installation
from pipelines.graphs import parameters, step_table
from pipelines.graphs.batch import batch
from pipelines.graphs.graph import Graph, Reads
from pipelines.graphs.retrain import retrain
from pipelines.graphs.train import train
from pipelines.spec import Recommender


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, not yet built."""

    name: str  # as Kubeflow shows it
    description: str
    hang: Callable[[Graph], None]  # adds its steps to a graph
    parameters: Callable[[Installation], dict[str, Any]]  # of a run: the spec's, and the digests of data, code and lock
    spec_parameters: Callable[[Recommender], dict[str, Any]]  # what the spec alone decides: the run form's defaults

    def graph(self) -> Graph:
        """Return its graph; a step without a row is refused."""
        graph = Graph()
        self.hang(graph)
        return graph

    def build(self) -> Any:
        """Return kfp's object of it; imports kfp."""
        from pipelines.graphs.kfp_pipeline import built

        return built(self)


PIPELINES = {
    "train": Pipeline(
        "intentflow-train",
        "Contract, profiles, models, gates, promotion, drift.",
        train,
        parameters.run_parameters,
        parameters.spec_parameters,
    ),
    "batch": Pipeline(
        "intentflow-batch",
        "Intents and recommendations for all users, from the release that serves.",
        batch,
        parameters.batch_run_parameters,
        parameters.batch_parameters,
    ),
    "retrain": Pipeline(
        "intentflow-retrain",
        "Drift, the decision on it, and training where it asks for that.",
        retrain,
        parameters.run_parameters,
        parameters.spec_parameters,
    ),
}


def pipeline(name: str) -> Pipeline:
    """Return a pipeline by name."""
    if name not in PIPELINES:
        have = ", ".join(PIPELINES)
        raise SpecError(f"--pipeline: no pipeline '{name}'; have {have}{nearest(name, list(PIPELINES))}")
    return PIPELINES[name]


def reads(name: str = "train") -> Reads:
    """Return by step of a pipeline what makes it run again."""
    return pipeline(name).graph().reads


def require_hung() -> None:
    """Refuse a row of the step table that hangs in no pipeline."""
    hung = {node.step.name for one in PIPELINES.values() for node in one.graph().nodes}
    if missing := [name for name in step_table.STEPS if name not in hung]:
        raise SpecError(
            f"step_table.py: step '{missing[0]}' hangs in no pipeline; add it to one (pipelines/graphs/train.py), or "
            "delete its row"
        )
