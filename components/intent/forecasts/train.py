"""Fit one head: batches, the rows' weights, early stopping on validation rows. Torch is needed here alone.

Letters: R rows, N inputs, O outputs.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.intent.forecasts.kinds import Head
from components.intent.forecasts.network import HeadNet
from components.intent.forecasts.spec import ForecastModel

PATIENCE = 3  # epochs without a better validation loss
DECAY = 1e-3
LEAST_GAIN = 1e-5  # of validation loss, as a share of it, for an epoch to be kept
LARGEST_GRADIENT = 1.0  # norm
AT_ONCE = 8192  # rows judged at a time
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Sample:
    """Scaled rows with their labels."""

    x: np.ndarray  # [R, N] float32
    y: np.ndarray  # [R]
    weight: np.ndarray  # [R] float64, possible rows that each stands for

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: np.ndarray) -> "Sample":
        """Return some rows."""
        return Sample(self.x[index], self.y[index], self.weight[index])


@dataclass(frozen=True)
class Epoch:
    """Losses of an epoch, in the head's own measure."""

    train_loss: float
    validate_loss: float | None  # None: nothing judges a refit


@dataclass(frozen=True)
class Trained:
    """A fitted network and how it came about."""

    net: HeadNet
    epochs: tuple[Epoch, ...]


def train(
    learnt: Sample,
    judged: Sample | None,
    head: Head,
    spec: ForecastModel,
    *,
    report: Report = lambda share, note: None,
) -> Trained:
    """Fit on `learnt`, stop by `judged`; the same seed gives the same weights. Without `judged` all epochs run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        net = HeadNet(learnt.x.shape[1], head.outputs, width=spec.width, dropout=spec.dropout, start=head.start)
        epochs = _fit(net, learnt, judged, head, spec, report)
    return Trained(net.eval(), epochs)


def _fit(
    net: HeadNet, learnt: Sample, judged: Sample | None, head: Head, spec: ForecastModel, report: Report
) -> tuple[Epoch, ...]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=spec.learning_rate, weight_decay=DECAY)
    x, y, weight = _tensors(learnt, head)
    best, kept, since = float("inf"), copy.deepcopy(net.state_dict()), 0
    epochs: list[Epoch] = []
    for number in range(1, spec.epochs + 1):
        net.train()
        total = 0.0
        for some in torch.split(torch.randperm(len(y)), spec.batch_size):
            optimizer.zero_grad()
            loss = (head.loss(net(x[some]), y[some]) * weight[some]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            total += float(loss.detach()) * len(some)
        net.eval()
        report(number / spec.epochs, f"{head.intent.name}, epoch {number} of {spec.epochs}")
        found = None if judged is None else _loss(net, judged, head)
        epochs.append(Epoch(round(total / len(y), 6), None if found is None else round(found, 6)))
        if found is None:
            continue
        if found < best - LEAST_GAIN * abs(best if np.isfinite(best) else 1.0):
            best, kept, since = found, copy.deepcopy(net.state_dict()), 0
        elif (since := since + 1) >= PATIENCE:
            break
    if judged is not None:
        net.load_state_dict(kept)
    return tuple(epochs)


def kept_after(epochs: Sequence[Mapping[str, Any]]) -> int:
    """Return after which epoch the judged network was kept, as training keeps it.

    >>> kept_after([{"validate_loss": loss} for loss in (0.4, 0.2, 0.3)])
    2
    """
    best, kept = float("inf"), 0
    for number, epoch in enumerate(epochs, start=1):
        loss = epoch["validate_loss"]
        if loss < best - LEAST_GAIN * abs(best if np.isfinite(best) else 1.0):
            best, kept = loss, number
    return kept


@torch.inference_mode()
def _loss(net: HeadNet, sample: Sample, head: Head) -> float:
    """Return the mean loss over rows by their weights."""
    x, y, weight = _tensors(sample, head)
    parts = [head.loss(net(x[i : i + AT_ONCE]), y[i : i + AT_ONCE]) for i in range(0, len(y), AT_ONCE)]
    return float((torch.cat(parts).double() * weight).mean())


def _tensors(sample: Sample, head: Head) -> tuple[Tensor, Tensor, Tensor]:
    weight = (sample.weight / sample.weight.mean()).astype(np.float32)
    return torch.from_numpy(sample.x), torch.from_numpy(head.targets(sample.y)), torch.from_numpy(weight)
