"""Which value comes next: a softmax over the level's values, one class for all further values, and one for none.

Letters: R rows, K classes, D draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.intent.forecasts.spec import Forecast
from feature_repo.errors import DataError

SMALL = 1e-7  # of a probability, so that its logarithm is finite
TOP = 3
WATCHED = 8  # values whose probabilities are watched
EVIDENCE = 1.0  # rows by which each class counts more than it was seen, so that none is impossible


@dataclass(frozen=True)
class Multiclass:
    """How outputs become a distribution."""

    intent: Forecast
    values: tuple[str, ...]  # told apart, the commonest first; classes K - 2 and K - 1 are other values, and none
    usual: tuple[float, ...]  # share of training rows by class, [K]

    @property
    def other(self) -> int:
        """The class of a value that is not told apart."""
        return len(self.values)

    @property
    def none(self) -> int:
        """The class of nothing that happens within the horizon."""
        return len(self.values) + 1

    @property
    def outputs(self) -> int:
        """One a class."""
        return len(self.values) + 2

    @property
    def start(self) -> np.ndarray:
        """Return the outputs that say what is usual, float64 [K]."""
        return np.asarray(np.log(np.maximum(np.asarray(self.usual), SMALL)))

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return class codes, int64 [R]."""
        return y.astype(np.int64)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return each row's cross-entropy [R] of outputs [R, K], torch tensors."""
        from torch.nn import functional

        return functional.cross_entropy(outputs, targets, reduction="none")

    def answer(self, outputs: np.ndarray) -> np.ndarray:
        """Return probabilities of outputs [R, K], float64 [R, K]; each row adds up to 1."""
        z = outputs.astype(np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))

    def figures(self, y: np.ndarray, said: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return accuracy, the share among the three likeliest, log loss, and macro F1 over classes that occur."""
        total = weight.sum(axis=0)
        truth = y.astype(np.int64)
        order = np.argsort(-said, axis=1, kind="stable")
        chosen = order[:, 0]
        right = (chosen == truth).astype(np.float64)
        among = (order[:, :TOP] == truth[:, None]).any(axis=1).astype(np.float64)
        p = np.clip(said[np.arange(len(truth)), truth], SMALL, 1.0)
        return {
            "accuracy": right @ weight / total,
            "top3": among @ weight / total,
            "log_loss": -np.log(p) @ weight / total,
            "macro_f1": _macro_f1(truth, chosen, weight, classes=self.outputs),
        }

    def watched(self, said: np.ndarray) -> dict[str, np.ndarray]:
        """Return the probabilities of the commonest values and of none, [R] each, as <intent>.<value>."""
        named = {value: said[:, place] for place, value in enumerate(self.values[:WATCHED])} | {"none": said[:, -1]}
        return {f"{self.intent.name}.{value}": p for value, p in named.items()}

    def spoken(self, said: np.ndarray) -> dict[str, Any]:
        """Return one answer [K] as the service words it: by value, of any other value, and of none."""
        *by_value, other, none = (float(p) for p in said)
        return {"probabilities": dict(zip(self.values, by_value, strict=True)), "other": other, "none": none}

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"intent": self.intent.model_dump(mode="json"), "values": list(self.values), "usual": list(self.usual)}


def fit(intent: Forecast, y: np.ndarray, *, weight: np.ndarray, values: tuple[str, ...] = ()) -> Multiclass:
    """Take the classes' shares of training labels; refuse labels that are all the same."""
    classes = len(values) + 2
    if len(np.unique(y)) < 2:
        code = int(y[0]) if len(y) else classes - 1
        what = [*(f"'{value}'" for value in values), "another value", "none"][code]
        raise DataError(
            f"intents.{intent.name}: what comes next is {what} in all {len(y):,} training rows, so there is nothing to "
            "predict; name another level or event, another horizon, or drop the intent"
        )
    counts = np.bincount(y.astype(np.int64), weights=weight, minlength=classes) + EVIDENCE
    return Multiclass(intent, values, tuple((counts / counts.sum()).tolist()))


def read(intent: Forecast, document: dict[str, Any]) -> Multiclass:
    """Read what `document` wrote."""
    return Multiclass(intent, tuple(document["values"]), tuple(document["usual"]))


def _macro_f1(truth: np.ndarray, chosen: np.ndarray, weight: np.ndarray, *, classes: int) -> np.ndarray:
    """Return the mean F1 of the classes that the rows of each draw hold, [D]."""

    def by_class(code: np.ndarray, rows: np.ndarray) -> np.ndarray:
        found = np.zeros((classes, weight.shape[1]))
        np.add.at(found, code[rows], weight[rows])
        return found  # [K, D]

    every = np.arange(len(truth))
    hit, real, said = by_class(truth, every[truth == chosen]), by_class(truth, every), by_class(chosen, every)
    f1 = np.divide(2 * hit, real + said, out=np.zeros_like(hit), where=real + said > 0)
    occurs = real > 0
    return np.asarray((f1 * occurs).sum(axis=0) / np.maximum(occurs.sum(axis=0), 1))
