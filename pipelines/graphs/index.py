"""The pipelines by name: which there are, how each is built, and what a spec and a place put into its parameters.

`intentflow run --pipeline NAME`, `apply` and recurring runs choose here. No SDK is imported: a pipeline's object is
built, and kfp with it, when `build` is called. The order of the steps is each pipeline's own matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from feature_repo.errors import SpecError, nearest
from pipelines.environment import Installation
from pipelines.graphs import parameters
from pipelines.spec import Recommender


@dataclass(frozen=True)
class Pipeline:
    """One pipeline, not yet built."""

    name: str  # as Kubeflow shows it
    build: Callable[[], Any]  # imports kfp and returns the pipeline's object
    parameters: Callable[[Installation], dict[str, Any]]  # of a run: the spec's, and the digests of data, code and lock
    spec_parameters: Callable[[Recommender], dict[str, Any]]  # what the spec alone decides: the run form's defaults


def _train() -> Any:
    from pipelines.graphs.train import train

    return train


def _batch() -> Any:
    from pipelines.graphs.batch import batch

    return batch


def _retrain() -> Any:
    from pipelines.graphs.retrain import retrain

    return retrain


PIPELINES = {
    "train": Pipeline("intentflow-train", _train, parameters.run_parameters, parameters.spec_parameters),
    "batch": Pipeline("intentflow-batch", _batch, parameters.batch_run_parameters, parameters.batch_parameters),
    "retrain": Pipeline("intentflow-retrain", _retrain, parameters.run_parameters, parameters.spec_parameters),
}


def pipeline(name: str) -> Pipeline:
    """Return a pipeline by name."""
    if name not in PIPELINES:
        have = ", ".join(PIPELINES)
        raise SpecError(f"--pipeline: no pipeline '{name}'; have {have}{nearest(name, list(PIPELINES))}")
    return PIPELINES[name]
