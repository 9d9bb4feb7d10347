"""Options of `models.intent`: what pairs weigh, how trees grow, a smaller model, privacy, pretraining."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from feature_repo.slice import Slice


class Loss(Slice):
    """What pairs of a user and a target weigh in training; other weights than 1 distort probabilities."""

    positives: float | Literal["balanced"] = Field(
        default=1.0,
        description="What a pair that came true counts; balanced: as often as makes both kinds of a target weigh alike",
    )
    focal: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Focus: a pair counts (1 - p) to this power, p being what the model gave to what happened",
    )

    @field_validator("positives")
    @classmethod
    def _bounded(cls, value: float | str) -> float | str:
        if value != "balanced" and not 0.02 <= float(value) <= 50:
            raise ValueError(f"{value} is out of bounds; use a number from 0.02 to 50, or balanced")
        return value

    @property
    def distorts(self) -> bool:
        """Tell whether what is learnt are other numbers than probabilities."""
        return self.positives != 1.0 or self.focal > 0


NEWER_OF_TREES = ("columns", "l2", "smoothing", "category_smoothing")


class Trees(Slice):
    """How LightGBM grows the trees of architecture gbdt."""

    rounds: int = Field(default=200, ge=1, le=2000, description="Trees at most, in each of two stages; stops early")
    leaves: int = Field(default=31, ge=2, le=255, description="Leaves of a tree at most")
    depth: int = Field(default=8, ge=1, le=32, description="Splits from a tree's root to a leaf at most")
    least: int = Field(default=100, ge=1, le=100_000, description="Training pairs in a leaf at least")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="Share of a tree that counts")
    pairs: int = Field(
        default=1_000_000,
        ge=1000,
        le=100_000_000,
        description="Pairs of a user-step and a target to learn from at most",
    )
    columns: float = Field(default=1.0, gt=0, le=1, description="Share of the numbers that a tree may split by")
    l2: float = Field(default=1.0, ge=0, le=10_000, description="Weight of the squares of leaves' values in the loss")
    smoothing: float = Field(
        default=0.0, ge=0, le=10_000, description="Pairs' worth by which a leaf is drawn towards the split above it"
    )
    category_smoothing: float = Field(
        default=10.0, ge=0, le=10_000, description="Likewise of a target and of a segment, where trees split by them"
    )

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        newer = {name: type(self).model_fields[name].default for name in NEWER_OF_TREES}
        return {name: value for name, value in dump(self).items() if name not in newer or value != newer[name]}


class MostLost(Slice):
    """What a smaller model may lose, as a share of the full one's figure on validation rows."""

    map: float = Field(default=0.02, ge=0, le=1, description="Of mean average precision")
    macro_auroc: float = Field(default=0.01, ge=0, le=1, description="Of the area under the ROC curve")
    bce: float = Field(default=0.02, ge=0, le=1, description="By which binary cross-entropy may be larger")


class Compress(Slice):
    """A smaller network beside the full one; it serves where it is surely no worse than `tolerance` allows."""

    prune: float = Field(
        default=0.0, ge=0, le=0.95, description="Share of the hidden units that is dropped, the weakest first"
    )
    quantize: Literal["none", "int8"] = Field(
        default="none",
        description="int8: a weight takes a byte of the file, and a text encoder computes by ONNX Runtime",
    )
    epochs: int = Field(default=3, ge=1, le=100, description="At most, of training after pruning")
    tolerance: MostLost = Field(default=MostLost(), description="What it may lose; more, or undecided: the full serves")

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Compress":
        if not self.prune and self.quantize == "none":
            raise ValueError("compress asks for nothing; give prune: 0.5, quantize: int8, or both, or drop compress")
        return self


class Privacy(Slice):
    """Differential privacy of the network's training, by user (docs/private-training.md)."""

    epsilon: float = Field(gt=0, le=100, description="How much what a user did may show at most; less is more private")
    delta: float = Field(
        default=1e-5, gt=0, lt=0.01, description="Probability that epsilon does not hold; below 1 / training users"
    )
    clip: float = Field(default=10.0, gt=0, le=1000, description="Norm that a user's gradient is bounded by")
    rows: int = Field(default=4, ge=1, le=64, description="Rows of a user that a step reads, at most")
    compare: bool = Field(
        default=True,
        description="Train the same model without privacy too, and tell what privacy costs; only figures stay",
    )


class Pretrain(Slice):
    """Training of the encoder of steps before labels are read, on all training rows (docs/pretraining.md)."""

    task: Literal["masked", "contrastive"] = Field(
        default="masked",
        description="masked: tell hidden steps from the others; contrastive: know a user again by half of the steps",
    )
    epochs: int = Field(
        default=3, ge=0, le=100, description="Passes over the training rows, labels left aside; 0 only with source"
    )
    source: str | None = Field(
        default=None,
        pattern=r"^(.+@[0-9a-f]{12}|[a-z][a-z0-9-]*@[\w-]+)$",
        description="Begin with the encoder of another recommender: its name and an alias or version of its release, "
        "such as shop@champion; or the `intent` folder of a release, relative to the spec, and the digest of its "
        "weights, such as ./shop/intent@0123456789ab; left out: untrained",
    )

    @model_validator(mode="after")
    def _does_something(self) -> "Pretrain":
        if self.epochs == 0 and self.source is None:
            raise ValueError("epochs: 0 without source pretrains nothing; use 1 or more, or drop pretrain")
        return self

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a source that is not said: kfp knows no null."""
        return {name: value for name, value in dump(self).items() if value is not None}
