"""The spec's `models.forecast` slice, and what the step `train_forecasts` needs of a whole spec."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from feature_repo.slice import Slice

Kind = Literal["regression", "multiclass", "uplift"]
MEDIAN = 0.5
COUNT = "count"  # of events, in place of a column
USUAL_QUANTILES = (0.1, MEDIAN, 0.9)


class ForecastModel(Slice):
    """How the heads of intents of kind regression and multiclass are trained; without such an intent there is none."""

    width: int = Field(default=64, ge=4, le=512, description="Width of the two hidden layers of each head")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Share of activations dropped in training")
    epochs: int = Field(default=20, ge=1, le=200, description="At most; stops early on the validation steps")
    batch_size: int = Field(default=512, ge=8, le=65536, description="Rows a step of the optimizer")
    learning_rate: float = Field(default=2e-3, gt=0, le=1, description="Step size of the optimizer")
    seed: int = Field(default=0, ge=0, description="The same seed trains the same heads")


class Forecast(Slice):
    """One intent of another kind than binary, as the step needs it."""

    name: str
    kind: Kind
    event: str | None = None
    steps: int = Field(default=1, ge=1)  # of the clock that it looks ahead
    # Of a regression, and of an uplift.
    value: str = COUNT  # a column of the events, or COUNT
    aggregate: Literal["sum", "mean"] = "sum"
    unit: str = ""
    loss: Literal["squared", "huber", "quantile"] = "squared"
    quantiles: tuple[float, ...] = ()  # ascending, the median among them; only with loss quantile
    # Of a multiclass.
    column: str | None = None  # of the items
    top: int = 100
    # Of an uplift: the kind of event that is the offer. Its outcome is counted from the step after the offer's on, so
    # `steps` holds the offer's too.
    offer: str | None = None

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is newer than recorded digests and not said."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name != "offer" or value is not None}


class ForecastRule(Slice):
    """The step's slice: which labels, and how heads are trained."""

    intents: tuple[Forecast, ...]
    model: ForecastModel = ForecastModel()
