"""Signals of the answers of a period: how many, how well they could be given, what was shown, what came of it."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from feature_repo import columns
from monitoring.drift.observed import Observed
from monitoring.drift.signals import Measured

TOP = 10  # items that are shown most
KNOWN = 0.5  # of what is shown has a text, or nothing is told of texts
Found = Iterator[tuple[str, Measured]]


def measure(of: Observed) -> dict[str, Measured]:
    """Return the signals of the request log; {} where it holds no answer of the period or of one before it."""
    return dict(_requests(of)) | dict(_shown(of))


def _requests(of: Observed) -> Found:
    if of.answers is None:
        return
    answers = of.answers
    n, users = len(answers), int(answers["user"].nunique())
    yield "requests.volume", Measured(float(answers["stands_for"].sum()), users)
    yield "requests.users", Measured(users, users)
    if not n:
        return
    yield "requests.modelled", Measured(float(answers["rung"].isin(columns.MODELLED).mean()), n)
    yield "requests.degraded", Measured(float(answers["degraded"].mean()), n)
    latency = answers["latency_ms"].to_numpy(dtype=np.float64)
    latency = latency[np.isfinite(latency) & (latency > 0)]
    if len(latency) > 1:
        yield "requests.latency.p50", Measured(float(np.median(latency)), n)


def _about(of: Observed, shown: pd.DataFrame, answers: int) -> Found:
    """Yield what is shown as texts are about it: the mean of its items' vectors from each direction.

    Items of one answer are alike, so an answer counts as one.
    """
    if of.texts is None:
        return
    item = shown["item"].to_numpy()
    seen = of.texts.seen[item[item >= 0]]
    held = np.isfinite(seen[:, 0]) if len(seen) else np.zeros(0, dtype=bool)
    if held.sum() < KNOWN * len(shown):
        return
    means, spreads = seen[held].mean(axis=0), seen[held].std(axis=0)
    for name, mean, spread in zip(of.texts.names, means.tolist(), spreads.tolist(), strict=True):
        if spread > 0:
            yield f"shown.text.{name}", Measured(mean, answers, spread)


def _shown(of: Observed) -> Found:
    if of.shown is None or of.shown.empty:
        return
    shown = of.shown
    n, answers = len(shown), int(shown["answer"].nunique())
    counts = shown["item"].value_counts()
    yield "shown.items", Measured(len(counts), answers)
    yield "shown.top", Measured(float(counts.iloc[:TOP].sum() / n), n)
    for source, share in shown["source"].value_counts(normalize=True).items():
        yield f"shown.source.{source}", Measured(float(share), n)
    if of.values is not None:
        item = shown["item"].to_numpy()
        made = np.bincount(item[item >= 0], minlength=of.values.held.shape[0])
        for name, share in zip(of.values.names, np.asarray(made @ of.values.held).ravel() / n, strict=True):
            yield f"shown.share.{name}", Measured(float(share), n)
    yield from _about(of, shown, answers)
    if shown["acted"].notna().any():
        acted = shown.groupby("answer")["acted"].max()
        yield "rewards.rate", Measured(float(acted.mean()), len(acted))
