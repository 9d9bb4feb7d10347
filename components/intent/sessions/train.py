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
from components.intent.sessions.network import Dense, Recurrent
from components.intent.sessions.recurrent import Events, width
from components.intent.sessions.score import SessionScorer
from components.intent.sessions.spec import GRU, SessionIntent, SessionModel

PATIENCE = 3  # epochs without a better validation loss
DECAY = 1e-4
LEAST_GAIN = 1e-5  # of validation loss, for an epoch to be kept


@dataclass(frozen=True)
class Epoch:
    """Losses of an epoch."""

    train_bce: float
    validate_bce: float | None  # None: nothing judges a refit


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
    events: Events | None = None  # of each row's visit, where the network reads them


def train(
    learnt: Sample,
    judged: Sample | None,
    spec: SessionModel,
    *,
    codes: Codes,
    intents: tuple[SessionIntent, ...],
    start: np.ndarray,
    scale: tuple[np.ndarray, np.ndarray] | None = None,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Trained:
    """Fit on `learnt`, stop by `judged`; the same seed gives the same weights.

    Without `judged` all epochs are gone through. `scale` is the mean and deviation that features are scaled by; left
    out, those of `learnt`.
    """
    mean, deviation = scale or _scale(learnt.features)
    state = torch.random.get_rng_state()
    try:
        torch.manual_seed(spec.seed)
        net = _network(learnt, spec, codes)
        epochs = _fit(
            net,
            _tensors(learnt, mean, deviation),
            None if judged is None else _tensors(judged, mean, deviation),
            spec,
            report,
        )
    finally:
        torch.random.set_rng_state(state)
    linear = net.linear
    scorer = SessionScorer(
        intents=intents,
        codes=codes,
        mean=mean,
        scale=deviation,
        weights=tuple(layer.weight.detach().numpy().T.astype(np.float64) for layer in linear),
        biases=tuple(layer.bias.detach().numpy().astype(np.float64) for layer in linear),
        start=start,
        unit=net.unit(),
    )
    return Trained(scorer, net, epochs)


def _network(learnt: Sample, spec: SessionModel, codes: Codes) -> Dense:
    sizes = learnt.features.shape[1], spec.width, learnt.labels.shape[1]
    if spec.architecture == GRU:
        return Recurrent(*sizes, n_kinds=len(codes.kinds) + 1, n_inputs=width(codes))
    return Dense(*sizes)


def _scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    return mean, np.where(deviation < 1e-6, 1.0, deviation)


def _tensors(sample: Sample, mean: np.ndarray, scale: np.ndarray) -> tuple[Tensor, ...]:
    """Return labels, then what the network reads."""
    x = ((sample.features - mean) / scale).astype(np.float32)  # [R, F]
    told = sample.events
    more = () if told is None else (told.kind, told.category, told.numbers, told.length)
    return tuple(torch.from_numpy(one) for one in (sample.labels.astype(np.float32), x, *more))


def _fit(
    net: Dense,
    learnt: tuple[Tensor, ...],
    judged: tuple[Tensor, ...] | None,
    spec: SessionModel,
    report: Callable[[float, str], None],
) -> list[Epoch]:
    optimizer = torch.optim.AdamW(net.parameters(), lr=spec.learning_rate, weight_decay=DECAY)
    loss_of = nn.BCEWithLogitsLoss()
    labels, *inputs = learnt
    best, kept, since, epochs = float("inf"), copy.deepcopy(net.state_dict()), 0, []
    for number in range(1, spec.epochs + 1):
        net.train()
        order, total = torch.randperm(len(labels)), 0.0
        for some in torch.split(order, spec.batch_size):
            optimizer.zero_grad()
            loss = loss_of(net(*(one[some] for one in inputs)), labels[some])
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(some)
        net.eval()
        report(number / spec.epochs, f"epoch {number}")
        if judged is None:
            epochs.append(Epoch(total / len(order), None))
            continue
        with torch.no_grad():
            validate = float(loss_of(net(*judged[1:]), judged[0]))
        epochs.append(Epoch(total / len(order), validate))
        if validate < best - LEAST_GAIN:
            best, kept, since = validate, copy.deepcopy(net.state_dict()), 0
        elif (since := since + 1) >= PATIENCE:
            break
    if judged is not None:
        net.load_state_dict(kept)
    return epochs
