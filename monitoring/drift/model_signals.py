"""Signals of what the intent model says of a period's users, and of what they did once their labels were ripe."""

import hashlib
from collections.abc import Iterator

import pandas as pd

from monitoring.drift.observed import Observed
from monitoring.drift.signals import Measured

SERVED_BY = "served.by"  # kept: which release the served scores are of
DIGITS = 6  # two scores that agree in so many are the same
Found = Iterator[tuple[str, Measured]]


def measure(of: Observed) -> dict[str, Measured]:
    """Return the signals of scores and of ripe labels; a period without either has none of them."""
    found = dict(_scores("scores", of.scores)) | dict(_scores("served", of.served)) | dict(_labels(of))
    found |= dict(_scores("forecasts", of.forecasts))
    if of.served is not None:
        found[SERVED_BY] = Measured(float(_number(of.served_by)), len(of.served))
    return found


def _number(release: str) -> int:
    """Return a number that stands for a release in a history of numbers."""
    return int.from_bytes(hashlib.blake2b(release.encode(), digest_size=6).digest())


def _scores(source: str, scores: pd.DataFrame | None) -> Found:
    """Yield the signals of scores [B, C]: by the rows at the period's end, or as they were served in it."""
    if scores is None or len(scores) < 2:
        return
    n = len(scores)
    for intent in scores.columns:
        values = scores[intent].to_numpy()
        spread = float(values.std())
        yield f"{source}.mean.{intent}", Measured(float(values.mean()), n, spread)
        yield f"{source}.spread.{intent}", Measured(spread, n)
    yield f"{source}.distinct", Measured(len(scores.round(DIGITS).drop_duplicates()) / n, n)


def _labels(of: Observed) -> Found:
    if of.labels is None or not len(of.labels.done):
        return
    done, weight = of.labels.done, of.labels.weight
    for place, intent in enumerate(of.labels.intents):
        did = float((done[:, place] * weight).sum())
        users = int((done[:, place] > 0).sum())
        yield f"labels.count.{intent}", Measured(did / float(weight.sum()), max(users, 1))
        if of.labels.expected is not None and of.labels.sample is not None:
            some = of.labels.sample
            expected = float((of.labels.expected[:, place] * weight[some]).sum())
            if expected > 0:
                ratio = float((done[some, place] * weight[some]).sum()) / expected
                yield f"labels.ratio.{intent}", Measured(ratio, len(some))
