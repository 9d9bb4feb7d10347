"""The spec's slice `trainer` of a model that is a network: how it is trained, which changes no answer that it gives.

What is trained is the model's own slice; where, the environment says (components/distributed/settings.py).
"""

from typing import Literal

from pydantic import Field, model_validator

from feature_repo.slice import Slice

Precision = Literal["auto", "fp32", "bf16"]
Parallel = Literal["ddp", "fsdp", "tensor"]
DDP: Parallel = "ddp"
TENSOR: Parallel = "tensor"


class Checkpoint(Slice):
    """How often training writes down how far it is, so that it can go on after it was killed."""

    every: int = Field(ge=1, le=10_000_000, description="Optimizer steps between two checkpoints")
    other: Literal["restart", "refuse"] = Field(
        default="restart",
        description="What a checkpoint of other data, settings, vocabulary or code does: restart says so and begins "
        "anew, refuse ends the step",
    )


class TrainerOptions(Slice):
    """How a network is trained."""

    checkpoint: Checkpoint | None = Field(default=None, description="Left out: a training that is killed begins anew")
    precision: Precision = Field(
        default="auto",
        description="Of the products in training: bf16, fp32, or auto, which is bf16 on a GPU that has it and fp32 on "
        "a processor. Weights and what is served stay fp32",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Parts that each batch goes through the network in, to need less memory: the step is that of the "
        "whole batch",
    )
    compile: bool = Field(default=False, description="Compile the network for training (torch.compile)")
    parallel: Parallel = Field(
        default=DDP,
        description="How several processes share a training: ddp, each holds the network and takes its rows of a "
        "batch; fsdp, each holds its part of the weights besides; tensor, each computes its part of every layer. The "
        "last two are of networks with BERT layers",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> "TrainerOptions":
        if self.compile and self.parallel != DDP:
            raise ValueError(
                f"compile and parallel: {self.parallel} do not go together; leave compile out, or use parallel: {DDP}"
            )
        return self
