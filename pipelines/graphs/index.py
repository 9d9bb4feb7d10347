"""The pipelines by name: which there are, how each hangs together, and what a spec puts into its run form.

`intentflow run --pipeline NAME`, `apply` and recurring runs choose here. No SDK is imported: a pipeline's object is
built, and kfp with it, when `build` is called. The order of the steps is each pipeline's own matter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from feature_repo.errors import SpecError, nearest
from pipelines.graphs import parameters, step_table
from pipelines.graphs.batch import batch
from pipelines.graphs.graph import Graph, Reads
from pipelines.graphs.policy import policy
from pipelines.graphs.retrain import retrain
from pipelines.graphs.train import train
from pipelines.spec import Recommender

PREFIX = "intentflow-"
KINDS = {  # what a field of another kind is told
    dict: "holds no mapping; begin with `apiVersion: intentflow/v1`",
    int: "is no whole number",
    str: "is no text",
}
TRAINING, SCORING = ("spec", "mode", "note"), ("spec", "which", "k", "note")
LEARNING = ("spec", "mode", "which", "note")
ANY = "any"  # the recommender of a pipeline that is built of no spec, to be looked at


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, not yet built."""

    name: str  # as Kubeflow shows it
    description: str
    hang: Callable[[Graph], None]  # adds its steps to a graph
    fields: tuple[str, ...]  # of the run form
    form: Callable[[Recommender], dict[str, Any]]  # the fields' defaults: a run of the spec as it is declared

    def changed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that somebody gave; one that this pipeline's form lacks is refused."""
        found = {name: value for name, value in given.items() if value is not None}
        if unknown := [name for name in found if name not in self.fields]:
            raise SpecError(f"--{unknown[0]}: {self.name} has no such field; have {', '.join(self.fields)}")
        return found

    def values(self, spec: Recommender, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the filled form: the spec's defaults, and what was given instead; kfp would take no other kind."""
        found = self.form(spec) | dict(given)
        for name, value in found.items():
            kind = step_table.KINDS.get(name, str)
            if not isinstance(value, kind):
                raise SpecError(f"{name}: {KINDS[kind]}")
        return found

    def graph(
        self,
        spec: Recommender | None = None,
        *,
        vectors: bool = False,
        sessions: bool = False,
        searches: bool = False,
        forecasts: bool = False,
        words: bool = False,
        retrains: bool = False,
    ) -> Graph:
        """Return its graph, with steps that a spec may ask for as it does; a step without a row is refused."""
        vectors = vectors or (spec is not None and spec.vectors is not None)
        sessions = sessions or (spec is not None and bool(spec.of_sessions))
        searches = searches or (spec is not None and spec.models.intent.search is not None)
        forecasts = forecasts or (spec is not None and bool(spec.of_forecasts))
        words = words or (spec is not None and spec.content.model is not None)
        retrains = retrains or (spec is not None and spec.monitoring.retrain is not None)
        graph = Graph(
            self.name.removeprefix(PREFIX),
            form=self.fields,
            vectors=vectors,
            sessions=sessions,
            searches=searches,
            titles=spec is not None and spec.models.intent.titles,
            forecasts=forecasts,
            words=words,
            retrains=retrains and self.hang is retrain,
        )
        self.hang(graph)
        return graph

    def build(self, spec: Recommender | None = None) -> Any:
        """Return kfp's object of it for a recommender; imports kfp."""
        from pipelines.graphs.kfp_pipeline import built

        return built(self, spec)


PIPELINES = {
    "train": Pipeline(
        "intentflow-train",
        "Contract, profiles, models, gates, promotion, drift.",
        train,
        TRAINING,
        parameters.form,
    ),
    "batch": Pipeline(
        "intentflow-batch",
        "Intents and recommendations for all users, from the release that serves.",
        batch,
        SCORING,
        parameters.batch_form,
    ),
    "retrain": Pipeline(
        "intentflow-retrain",
        "Drift, the decision on it, and training where it asks for that.",
        retrain,
        TRAINING,
        parameters.form,
    ),
    "policy": Pipeline(
        "intentflow-policy",
        "A policy learnt from the log, its gate, and a release where it passes.",
        policy,
        LEARNING,
        parameters.policy_form,
    ),
}


def pipeline(name: str) -> Pipeline:
    """Return a pipeline by name."""
    if name not in PIPELINES:
        have = ", ".join(PIPELINES)
        raise SpecError(f"--pipeline: no pipeline '{name}'; have {have}{nearest(name, list(PIPELINES))}")
    return PIPELINES[name]


def reads(name: str = "train", *, spec: Recommender | None = None) -> Reads:
    """Return by step of a pipeline what makes it run again."""
    return pipeline(name).graph(spec).reads


def require_hung() -> None:
    """Refuse a row of the step table that hangs in no pipeline."""
    every = (
        one.graph(vectors=True, sessions=True, searches=True, forecasts=True, words=True, retrains=retrains)
        for one in PIPELINES.values()
        for retrains in (False, True)
    )
    hung = {node.step.name for graph in every for node in graph.nodes}
    if missing := [name for name in step_table.STEPS if name not in hung]:
        raise SpecError(
            f"step_table.py: step '{missing[0]}' hangs in no pipeline; add it to one (pipelines/graphs/train.py), or "
            "delete its row"
        )
