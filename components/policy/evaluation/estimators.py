"""The value of a policy from the log of another one, place by place.

| name | a row's term | source |
| --- | --- | --- |
| ips | w r | Horvitz and Thompson 1952; Strehl and others 2010 |
| snips | w r, over the sum of w | Swaminathan and Joachims 2015 |
| dm | q(target) | the direct method: the reward model alone |
| dr | q(target) + w (r - q(shown)) | Dudík, Langford and Li 2011 |
| switch_dr | as dr where w <= tau, else q(target) | Wang, Agarwal and Dudík 2017 |
| shrunk_dr | as dr with w lambda / (w² + lambda) | Su and others 2020 |

w is the target policy's probability of what was shown over the logging policy's, r the reward, q the reward model.
Every value is a ratio of means over rows, so that one set of resamples serves all of them. `tau` and `lambda` are
chosen on the log where they are not given: the least variance plus squared bias, the bias estimated by the residuals
that the changed weights leave out.

The direct method's interval says how much the policy's contexts vary and nothing of how wrong the model is: it is
`trusted` by no gate.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.policy.evaluation import overlap
from components.policy.evaluation.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    bernstein,
    of_users,
    percentile,
    resampled_sums,
)
from components.policy.evaluation.logged import Logged
from feature_repo.errors import DataError, nearest

GRID = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, math.inf)  # of tau, and of the root of lambda


@dataclass(frozen=True)
class Terms:
    """What an estimator makes of each row: its value is the sum of `top` over that of `bottom`."""

    top: np.ndarray  # [N]
    bottom: np.ndarray  # [N]
    weight: np.ndarray  # [N] the weights that it used; ESS is theirs
    parameter: float | None = None  # tau or lambda


@dataclass(frozen=True)
class Estimator:
    """One way to estimate."""

    name: str
    terms: Callable[[Logged, "Settings"], Terms]
    reads_model: bool = True
    trusted: bool = True  # False: no gate passes on it


@dataclass(frozen=True)
class Settings:
    """What the estimators are told; None is chosen on the log."""

    tau: float | None = None
    lambda_: float | None = None
    reward_bounds: tuple[float, float] = (0.0, 1.0)  # of one row, as the KPI has it
    most_weight: float | None = None  # that any row could have had; None: 1 over the least propensity in the log
    level: float = LEVEL
    resamples: int = RESAMPLES
    seed: int = 0


USUAL = Settings()


@dataclass(frozen=True)
class Estimate:
    """A policy's value by one estimator."""

    name: str
    value: float
    bootstrap: Interval
    bernstein: Interval
    ess: float  # rows that count alike would tell as much; 0 where no row is weighed
    trusted: bool = True
    parameter: float | None = None
    resampled: np.ndarray | None = None  # [R] the value under each resample of users


def _ips(log: Logged, _: Settings) -> Terms:
    return Terms(log.weight * log.reward, np.ones(len(log.reward)), log.weight)


def _snips(log: Logged, _: Settings) -> Terms:
    return Terms(log.weight * log.reward, log.weight, log.weight)


def _dm(log: Logged, _: Settings) -> Terms:
    expected = _model(log)[1]
    return Terms(expected, np.ones(len(log.reward)), np.zeros(len(log.reward)))


def _dr(log: Logged, _: Settings) -> Terms:
    return _corrected(log, log.weight)


def _switch_dr(log: Logged, settings: Settings) -> Terms:
    tau = _chosen(log, settings.tau, GRID, switched)
    return _corrected(log, switched(log.weight, tau), tau)


def _shrunk_dr(log: Logged, settings: Settings) -> Terms:
    strength = _chosen(log, settings.lambda_, tuple(root**2 for root in GRID), shrunk)
    return _corrected(log, shrunk(log.weight, strength), strength)


ESTIMATORS = (
    Estimator("ips", _ips, reads_model=False),
    Estimator("snips", _snips, reads_model=False),
    Estimator("dm", _dm, trusted=False),
    Estimator("dr", _dr),
    Estimator("switch_dr", _switch_dr),
    Estimator("shrunk_dr", _shrunk_dr),
)
NAMES = tuple(one.name for one in ESTIMATORS)


def switched(weight: np.ndarray, tau: float) -> np.ndarray:
    """Return weights with those above tau at 0.

    >>> switched(np.array([0.5, 3.0]), 2.0).tolist()
    [0.5, 0.0]
    """
    return np.where(weight <= tau, weight, 0.0)


def shrunk(weight: np.ndarray, strength: float) -> np.ndarray:
    """Return weights shrunk towards 0, large ones most; an infinite lambda leaves them.

    >>> shrunk(np.array([1.0, 3.0]), 9.0).tolist()
    [0.9, 1.5]
    """
    return weight if math.isinf(strength) else np.asarray(weight * (strength / (weight**2 + strength)))


def estimate(log: Logged, name: str, settings: Settings = USUAL) -> Estimate:
    """Estimate by one estimator."""
    return estimates(log, (name,), settings)[name]


def estimates(log: Logged, names: tuple[str, ...] = (), settings: Settings = USUAL) -> dict[str, Estimate]:
    """Estimate by several estimators on the same resamples; all that the log can serve where none is named."""
    wanted = [named(name) for name in names] or [one for one in ESTIMATORS if log.has_model or not one.reads_model]
    found = {one.name: one.terms(log, settings) for one in wanted}
    group, groups = log.groups
    columns = np.stack([column for terms in found.values() for column in (terms.top, terms.bottom)], axis=1)
    sums = resampled_sums(columns, group, groups, resamples=settings.resamples, seed=settings.seed)
    return {
        one.name: _estimated(log, one, found[one.name], sums[:, 2 * place : 2 * place + 2], settings)
        for place, one in enumerate(wanted)
    }


def named(name: str) -> Estimator:
    """Return the estimator of a name."""
    for one in ESTIMATORS:
        if one.name == name:
            return one
    raise DataError(f"policy estimator '{name}': have {', '.join(NAMES)}{nearest(name, list(NAMES))}")


def _estimated(log: Logged, one: Estimator, terms: Terms, sums: np.ndarray, settings: Settings) -> Estimate:
    bottom = float(terms.bottom.sum())
    value = float(terms.top.sum()) / bottom if bottom else 0.0  # no row that the target would show: nothing is known
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = sums[:, 0] / sums[:, 1]
    return Estimate(
        one.name,
        value,
        percentile(resampled, level=settings.level) if bottom else Interval(-math.inf, math.inf),
        _bernstein(log, one, terms, value, settings) if bottom else Interval(-math.inf, math.inf),
        overlap.effective_sample_size(terms.weight),
        one.trusted,
        terms.parameter,
        resampled,
    )


def _bernstein(log: Logged, one: Estimator, terms: Terms, value: float, settings: Settings) -> Interval:
    """Return the Bernstein interval; a ratio's is that of its linear part, which is right for many rows only."""
    low, high = settings.reward_bounds
    most = settings.most_weight if settings.most_weight is not None else 1 / float(log.propensity.min())
    scale = float(terms.bottom.mean())
    rows = (terms.top - value * terms.bottom) / scale  # the mean is 0
    if one.name == "dm":
        spread = high - low
    elif not one.reads_model:  # w r, or w (r - value)
        spread = most * ((max(high, 0) - min(low, 0)) if one.name == "ips" else (high - low) / scale)
    else:
        spread = (1 + 2 * _most_used(one.name, terms.parameter, most)) * (high - low)
    group, groups = log.groups
    by_user, most_rows = of_users(rows, group, groups)
    found = bernstein(by_user, (0.0, spread * most_rows * groups / len(rows)), level=settings.level)
    # No policy is worth less than the least reward or more than the largest.
    return Interval(max(value + found.low, low), min(value + found.high, high))


def _most_used(name: str, parameter: float | None, most: float) -> float:
    if parameter is None or math.isinf(parameter):
        return most
    return min(most, parameter if name == "switch_dr" else math.sqrt(parameter) / 2)


def _model(log: Logged) -> tuple[np.ndarray, np.ndarray]:
    if log.predicted is None or log.expected is None:
        raise DataError("policy estimator: reads a reward model, and the log has none; fit one, or take ips or snips")
    return log.predicted, log.expected


def _corrected(log: Logged, weight: np.ndarray, parameter: float | None = None) -> Terms:
    """Return the model's expectation, corrected by weighted residuals."""
    predicted, expected = _model(log)
    top = expected + weight * (log.reward - predicted)
    return Terms(top, np.ones(len(top)), weight, parameter)


def _chosen(
    log: Logged, given: float | None, grid: tuple[float, ...], change: Callable[[np.ndarray, float], np.ndarray]
) -> float:
    """Return the parameter that was given, or that of the least estimated squared error on the log."""
    if given is not None:
        return given
    predicted, expected = _model(log)
    residual, n = log.reward - predicted, len(log.reward)
    errors = []
    for parameter in grid:
        weight = change(log.weight, parameter)
        left_out = (log.weight - weight) * residual
        errors.append(float(np.var(expected + weight * residual)) / n + float(left_out.mean()) ** 2)
    return grid[int(np.argmin(errors))]
