"""An amount: its mean (squared or Huber loss), or quantiles that cannot cross (pinball loss; Koenker, Bassett 1978).

A network learns standardised labels; answers are in the intent's unit. With quantiles the first output is the lowest
one and each further output the step to the next, through softplus, so that they ascend whatever the weights are. Where
no training label is negative no answer is.

Letters: R rows, Q quantiles, D draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.intent.forecasts.spec import MEDIAN, Forecast
from feature_repo.errors import DataError

HUBER = 1.0  # standard deviations of the label, beyond which an error counts by its size and not by its square
LEAST_STEP = 1e-3  # standard deviations between two quantiles of an untrained network


@dataclass(frozen=True)
class Regression:
    """How outputs become an amount."""

    intent: Forecast
    mean: float
    spread: float  # standard deviation of training labels, > 0
    lowest: float  # training label
    usual: tuple[float, ...]  # what is said of anyone: the mean, or the quantiles

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles that are said; empty: a mean is."""
        return self.intent.quantiles

    @property
    def outputs(self) -> int:
        """One, or one a quantile."""
        return len(self.quantiles) or 1

    @property
    def start(self) -> np.ndarray:
        """Return the outputs that say what is usual, float64 [Q]."""
        z = (np.asarray(self.usual) - self.mean) / self.spread
        if not self.quantiles:
            return z
        steps = np.maximum(np.diff(z), LEAST_STEP)
        return np.concatenate([z[:1], np.log(np.expm1(steps))])

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Return standardised labels, float32 [R]."""
        return ((y - self.mean) / self.spread).astype(np.float32)

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Return each row's loss [R] of outputs [R, Q], torch tensors."""
        import torch
        from torch.nn import functional

        if not self.quantiles:
            if self.intent.loss == "huber":
                return functional.huber_loss(outputs[:, 0], targets, reduction="none", delta=HUBER)
            return 0.5 * (outputs[:, 0] - targets) ** 2
        steps = functional.softplus(outputs[:, 1:])
        said = torch.cat([outputs[:, :1], outputs[:, :1] + torch.cumsum(steps, dim=1)], dim=1)  # [R, Q]
        level = torch.tensor(self.quantiles, dtype=outputs.dtype, device=outputs.device)
        off = targets[:, None] - said
        return torch.maximum(level * off, (level - 1) * off).mean(dim=1)

    def answer(self, outputs: np.ndarray) -> np.ndarray:
        """Return amounts of outputs [R, Q], float64 [R, Q]: the mean, or the quantiles ascending."""
        z = outputs.astype(np.float64)
        if self.quantiles:
            z = np.concatenate([z[:, :1], z[:, :1] + np.cumsum(np.logaddexp(0, z[:, 1:]), axis=1)], axis=1)
        found = self.mean + self.spread * z
        return np.maximum(found, 0.0) if self.lowest >= 0 else found

    def value(self, said: np.ndarray) -> np.ndarray:
        """Return the one number of each answer, [R]: the mean, or the median."""
        return np.asarray(said[:, self.quantiles.index(MEDIAN) if self.quantiles else 0])

    def figures(self, y: np.ndarray, said: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return RMSE and MAE; of quantiles also the pinball loss and how far the interval is off its coverage."""
        total = weight.sum(axis=0)
        off = y - self.value(said)
        found = {"rmse": np.sqrt((off**2) @ weight / total), "mae": np.abs(off) @ weight / total}
        if self.quantiles:
            level = np.asarray(self.quantiles)
            error = y[:, None] - said
            found["pinball"] = np.maximum(level * error, (level - 1) * error).mean(axis=1) @ weight / total
            inside = ((y >= said[:, 0]) & (y <= said[:, -1])).astype(np.float64)
            found["coverage"] = inside @ weight / total
            found["coverage_gap"] = np.abs(found["coverage"] - (level[-1] - level[0]))
        return found

    def watched(self, said: np.ndarray) -> dict[str, np.ndarray]:
        """Return the amounts, [R], by the intent's name."""
        return {self.intent.name: self.value(said)}

    def spoken(self, said: np.ndarray) -> dict[str, Any]:
        """Return one answer [Q] as the service words it: the value in its unit, and the interval where there is one."""
        low, high = (float(said[0]), float(said[-1])) if self.quantiles else (None, None)
        return {"value": float(self.value(said[None])[0]), "unit": self.intent.unit or None, "low": low, "high": high}

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        numbers = {name: getattr(self, name) for name in ("mean", "spread", "lowest")}
        return {"intent": self.intent.model_dump(mode="json"), "usual": list(self.usual)} | numbers


def fit(intent: Forecast, y: np.ndarray, *, weight: np.ndarray, values: tuple[str, ...] = ()) -> Regression:
    """Take mean, spread and quantiles of training labels; refuse labels that are all the same, or none."""
    del values  # of a multiclass
    if not len(y):
        raise DataError(
            f"intents.{intent.name}: no training row has a label: nobody did what it is a mean of within the horizon; "
            "use `aggregate: sum`, a longer horizon, or drop the intent"
        )
    if not np.isfinite(y).all():
        raise DataError(
            f"intents.{intent.name}: {(~np.isfinite(y)).sum():,} of {len(y):,} labels are no finite numbers"
        )
    mean = float(np.average(y, weights=weight))
    spread = float(np.sqrt(np.average((y - mean) ** 2, weights=weight)))
    if y.min() == y.max() or not spread > 0:
        raise DataError(
            f"intents.{intent.name}: all {len(y):,} training labels are {y[0]:g}, so there is nothing to predict; name "
            "another value or event, or drop the intent"
        )
    usual = tuple(_quantile(y, weight, level) for level in intent.quantiles) or (mean,)
    return Regression(intent, mean, spread, float(y.min()), usual)


def read(intent: Forecast, document: dict[str, Any]) -> Regression:
    """Read what `document` wrote."""
    numbers = {name: float(document[name]) for name in ("mean", "spread", "lowest")}
    return Regression(intent, **numbers, usual=tuple(document["usual"]))


def _quantile(y: np.ndarray, weight: np.ndarray, level: float) -> float:
    """Return the least label that a share `level` of the weight is at or below."""
    order = np.argsort(y, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    return float(y[order][min(int(np.searchsorted(share, level)), len(y) - 1)])
