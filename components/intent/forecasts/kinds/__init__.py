"""What kinds of forecast there are: one module each, with `fit` and `read`, which give the kind's `Head`.

A head knows what a network's outputs mean: its loss in torch, its answer in numpy, its figures. It is fitted on
training labels (a scale, the values told apart) before the network is, and travels in the model folder as JSON.
What an offer changes (`UPLIFT`) is answered in the same way and learnt by no network (effect.py).
"""

from importlib import import_module
from typing import Any, Protocol

import numpy as np

from components.intent.forecasts.spec import Forecast

KINDS = ("regression", "multiclass")
UPLIFT = "uplift"


class Answers(Protocol):
    """What answers of one intent are made by. Letters: R rows, O outputs, A numbers of an answer, D draws of users."""

    @property
    def intent(self) -> Forecast:
        """The intent, as the step knows it."""

    @property
    def outputs(self) -> int:
        """How many numbers a row is given."""

    @property
    def start(self) -> np.ndarray:
        """The outputs of somebody of whom nothing is known, [O]: what is usual in training rows."""

    def answer(self, outputs: np.ndarray) -> np.ndarray:
        """Return what is said, float64 [R, A], of outputs [R, O]."""

    def figures(self, y: np.ndarray, said: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return each metric under draws of rows, [D]; `weight` [R, D] says how often a row is drawn."""

    def watched(self, said: np.ndarray) -> dict[str, np.ndarray]:
        """Return what drift is watched by, [R] each, of answers [R, A], by name."""

    def spoken(self, said: np.ndarray) -> dict[str, Any]:
        """Return one answer [A] as the service words it."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""


class Head(Answers, Protocol):
    """One intent's head, which a network is trained for."""

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return labels [R] as the loss takes them."""

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return each row's loss, torch tensor [R], of outputs [R, O]."""


def fit(intent: Forecast, y: np.ndarray, *, weight: np.ndarray, values: tuple[str, ...] = ()) -> Head:
    """Fit the head of an intent on training labels [R], each standing for `weight` rows."""
    found: Head = _module(intent.kind).fit(intent, y, weight=weight, values=values)
    return found


def read(document: dict[str, Any]) -> Answers:
    """Read what `Answers.document` wrote."""
    intent = Forecast.model_validate(document["intent"])
    found: Answers = _module(intent.kind).read(intent, document)
    return found


def _module(kind: str) -> Any:
    return import_module(f"{__name__}.{kind}")
