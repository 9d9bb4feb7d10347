"""Fit the session model: a small network on what a visit held so far, binary cross-entropy, stopped early.

It is written as numpy arrays (score.py); torch is needed here alone.

Letters: R rows, F features, C session intents.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from components.intent.sessions.encode import Codes
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import SessionIntent, SessionModel

PATIENCE = 3  # epochs without a better validation loss
DROPOUT = 0.1
DECAY = 1e-4


@dataclass(frozen=True)
class Epoch:
    """Losses of an epoch."""

    train_bce: float
    validate_bce: float


@dataclass(frozen=True)
class Trained:
    """The model and how it came about."""

    scorer: SessionScorer
    net: nn.Module
    epochs: list[Epoch]


@dataclass(frozen=True)
class Sample:
    """Encoded rows with their labels."""

    features: np.ndarray  # [R, F] float32
    labels: np.ndarray  # [R, C] uint8


def train(
    learnt: Sample,
    judged: Sample,
    spec: SessionModel,
    *,
    codes: Codes,
    intents: tuple[SessionIntent, ...],
    start: np.ndarray,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Trained:
    """Fit on `learnt`, stop by `judged`; the same seed gives the same weights."""
    mean, scale = learnt.features.mean(axis=0, dtype=np.float64), learnt.features.std(axis=0, dtype=np.float64)
    scale = np.where(scale < 1e-6, 1.0, scale)
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(spec.seed)
        net = _network(learnt.features.shape[1], spec.width, learnt.labels.shape[1])
        epochs = _fit(net, _tensors(learnt, mean, scale), _tensors(judged, mean, scale), spec, report)
    finally:
        torch.random.set_rng_state(state)
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    scorer = SessionScorer(
        intents=intents,
        codes=codes,
        mean=mean,
        scale=scale,
        weights=tuple(layer.weight.detach().numpy().T.astype(np.float64) for layer in linear),
        biases=tuple(layer.bias.detach().numpy().astype(np.float64) for layer in linear),
        start=start,
    )
    return Trained(scorer, net, epochs)


def _network(n_features: int, width: int, n_intents: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_features, width),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(width, n_intents),
    )


def _tensors(sample: Sample, mean: np.ndarray, scale: np.ndarray) -> tuple[Tensor, Tensor]:
    x = ((sample.features - mean) / scale).astype(np.float32)  # [R, F]
    return torch.from_numpy(x), torch.from_numpy(sample.labels.astype(np.float32))


def _fit(
    net: nn.Sequential,
    learnt: tuple[Tensor, Tensor],
    judged: tuple[Tensor, Tensor],
    spec: SessionModel,
    report: Callable[[float, str], None],
) -> list[Epoch]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=spec.learning_rate, weight_decay=DECAY)
    loss_of = nn.BCEWithLogitsLoss()
    best, kept, since, epochs = float("inf"), copy.deepcopy(net.state_dict()), 0, []
    for number in range(1, spec.epochs + 1):
        net.train()
        order, total = torch.randperm(len(learnt[0])), 0.0
        for some in torch.split(order, spec.batch_size):
            optimizer.zero_grad()
            loss = loss_of(net(learnt[0][some]), learnt[1][some])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(some)
        net.eval()
        with torch.no_grad():
            validate = float(loss_of(net(judged[0]), judged[1]))
        epochs.append(Epoch(total / len(order), validate))
        report(number / spec.epochs, f"epoch {number}")
        if validate < best - 1e-5:
            best, kept, since = validate, copy.deepcopy(net.state_dict()), 0
        elif (since := since + 1) >= PATIENCE:
            break
    net.load_state_dict(kept)
    return epochs
