"""Where an environment has models trained: in the step's own process, or by Kubeflow Trainer on nodes of their own."""

from typing import Literal

from pydantic import Field

from feature_repo import env_names
from feature_repo.slice import Slice

CHECKPOINTS = "checkpoints"  # folder of a state folder, with one for each step that trains (components/training)
VARIABLE = env_names.TRAINER  # this slice as JSON; empty: in the step's own process


class Trainer(Slice):
    """Training past one machine: Kubeflow Trainer's runtime and how much of it."""

    runtime: str = Field(default="intentflow-torch", description="TrainingRuntime (k8s/components/trainer)")
    nodes: int = Field(default=1, ge=1, le=64, description="How many nodes train one model")
    processes: int = Field(default=1, ge=1, le=16, description="On each node; with GPUs one for each")
    gpus: int = Field(default=0, ge=0, le=16, description="Of each node; the runtime names the kind of node")
    gpu_resource: str = Field(default="nvidia.com/gpu", description="What Kubernetes calls a GPU here")
    namespace: str = Field(default="", description="Of runtime and jobs; empty: the step's own")
    minutes: int = Field(default=240, ge=1, le=10_080, description="A job that takes longer is ended")
    steps: list[Literal["train_intent", "train_ranking"]] = Field(
        default=["train_intent", "train_ranking"], description="The others train in their own process"
    )
