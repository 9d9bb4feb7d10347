"""Fit the ranker's network to lists: epoch by epoch, with early stopping, or for so many epochs. Reads no rows.

Seeds are fixed, and the network learns on one thread: equal input gives equal weights. More threads gain little on a
net this small (measured: 22 s instead of 27 s on two cores) and cost tenfold where the cores are shared.

Letters: B lists of a batch, M candidates of the longest, F features.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.ranking import model
from components.ranking.lists import Lists
from components.ranking.metrics import K
from components.ranking.net import ScoringNet
from components.ranking.spec import Ranking
from components.training import loop, parallel
from components.training.checkpoints import Checkpoints
from components.training.parallel import Wrapped
from components.training.precision import autocast
from feature_repo.errors import DataError

PATIENCE = 2  # epochs without a better validation NDCG before training stops
WEIGHT_DECAY = 1e-4

STAGE = "full"  # there is one
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]  # features, labels, mask, weight of the loss


@dataclass(frozen=True)
class Epoch:
    """How one pass over the training lists went."""

    loss: float
    validate_ndcg_at_10: float | None  # None: a refit, which learns from the validation weeks too
    seconds: float
    stall_share: float | None = None  # of the seconds of training, spent in waiting for batches; None: no such epoch


def fit_net(
    fit: Lists,
    check: Lists,
    spec: Ranking,
    *,
    start: int | None = None,
    report: Callable[[float], None] = lambda done: None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> tuple[ScoringNet, list[Epoch], int]:
    """Train the network; return it at its best epoch, all epochs, and which was best.

    With a `start` (start_of) the first epoch is none: it says how the baseline's own order does.
    """
    net, stopping = _begun(fit, spec, start=start), loop.Stopping(Epoch)
    if not loop.ended(checkpoints, STAGE, net, stopping):
        for passed in _passes(net, fit, spec, stopping, start=start, ranks=ranks, checkpoints=checkpoints):
            ndcg = ranks.decided(ndcg_at_k(net.score(check.features), check) if ranks.first else 0.0)
            stopping.epochs.append(_told(passed, round(ndcg, 5)))
            if stopping.best is None or ndcg > stopping.best:
                stopping.keep(round(ndcg, 5), net.state_dict())
            report(len(stopping.epochs) / (spec.epochs + (start is not None)))
            if len(stopping.epochs) - 1 - stopping.at >= PATIENCE:
                break
        net.load_state_dict(stopping.weights)
        loop.finished(checkpoints, STAGE, net, stopping)
    net.eval()
    return net, stopping.epochs, stopping.at


def refit_net(
    fit: Lists,
    spec: Ranking,
    *,
    epochs: int,
    start: int | None = None,
    report: Callable[[float], None] = lambda done: None,
    checkpoints: Checkpoints | None = None,
) -> tuple[ScoringNet, list[Epoch]]:
    """Train the network for the first `epochs` of the spec's, with nothing to stop by; return it after the last."""
    net, stopping = _begun(fit, spec, start=start), loop.Stopping(Epoch)
    for passed in _passes(net, fit, spec, stopping, start=start, checkpoints=checkpoints):
        stopping.epochs.append(_told(passed, None))
        report(len(stopping.epochs) / epochs)
        if len(stopping.epochs) >= epochs:
            break
    net.eval()
    return net, stopping.epochs


def _begun(fit: Lists, spec: Ranking, *, start: int | None) -> ScoringNet:
    """Return the untrained network; with a `start` it ranks as the baseline does."""
    torch.manual_seed(spec.seed)
    net = model.build(spec.architecture, fit.features.shape[1], width=spec.width, dropout=spec.dropout)
    net.standardise(fit.features)
    if start is not None:
        net.start_from(start)
    return net


def _passes(
    net: ScoringNet,
    fit: Lists,
    spec: Ranking,
    stopping: loop.Stopping,
    *,
    start: int | None,
    ranks: Ranks = ALONE,
    checkpoints: Checkpoints | None = None,
) -> Iterator[loop.Pass]:
    """Go over the lists epoch by epoch; with a `start` the network comes first as it begins, before any epoch."""
    if start is not None:
        yield loop.Pass(_untrained(net, fit, spec), time.monotonic(), None)
    ranks.scatter_seed(spec.seed)
    held = parallel.wrapped(net, spec.trainer, ranks)
    optimizer = held.optimizer(learning_rate=spec.learning_rate, weight_decay=WEIGHT_DECAY)
    steps = spec.epochs * -(-len(fit) // spec.batch_size)
    yield from loop.Loop(
        held,
        optimizer,
        torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.learning_rate, total_steps=steps),
        np.random.default_rng(spec.seed),
        batches=lambda rng: _batches(fit, rng.permutation(len(fit)), spec.batch_size, ranks=ranks),
        step=lambda batch: _step(held, net, batch, optimizer, spec),
        epochs=spec.epochs,
        stage=STAGE,
        checkpoints=checkpoints,
        stopping=stopping,
        mean=ranks.mean,
    ).passes()


def _told(passed: loop.Pass, ndcg: float | None) -> Epoch:
    return Epoch(round(passed.loss, 5), ndcg, round(time.monotonic() - passed.began, 2), passed.stall_share)


@torch.inference_mode()
def _untrained(net: ScoringNet, fit: Lists, spec: Ranking) -> float:
    """Return the mean loss of the network as it is."""
    net.eval()
    batches = _batches(fit, np.arange(len(fit)), spec.batch_size, ranks=ALONE)
    losses = [net.loss(net(features), labels, mask).item() for features, labels, mask, _share in batches]
    return float(np.mean(losses)) if losses else 0.0


def require_hits(of: Lists, part: str) -> None:
    """Refuse lists that teach nothing, or that say nothing of when to stop."""
    if not of.bought.any():
        raise DataError(
            f"models.ranking: none of the {len(of):,} {part} lists holds an item that its user then chose, so nothing "
            "can be learnt of them; raise the limits of models.ranking.candidates, or choose an algorithm that is a "
            "formula, such as popular"
        )


def with_hits(of: Lists) -> np.ndarray:
    """Tell which lists have a candidate that was bought, bool [B]."""
    before = np.concatenate([[0], np.cumsum(of.bought)])
    return np.asarray(np.diff(before[of.offsets]) > 0)


def ndcg_at_k(scores: np.ndarray, of: Lists) -> float:
    """Return the mean NDCG@10 of scored lists; the ideal counts bought items that are no candidates too.

    A bought item gains as much as it is wanted, where the spec weighs labels.
    """
    first = _first(scores, of)
    row = np.searchsorted(of.offsets, first, side="right") - 1
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    gain = 1.0 / np.log2(np.arange(2, K + 2))
    hit = of.bought[first] & (rank < K)
    gained = gain[rank[hit]] if of.worth is None else gain[rank[hit]] * of.worth[first][hit]
    dcg = np.bincount(row[hit], gained, minlength=len(of))
    ideal = np.concatenate([[1.0], np.cumsum(gain)])[np.minimum(of.wanted, K)] if of.ideal is None else of.ideal
    return float((dcg / ideal)[of.wanted > 0].mean())


def _first(scores: np.ndarray, of: Lists) -> np.ndarray:
    """Return the places of each list's K best candidates, and of those that tie with the last of them; best first.

    To sort all would take most of the time of a training of trees, which are judged after each.
    """
    lengths = np.diff(of.offsets)
    there = np.arange(max(lengths.max(initial=0), K)) < lengths[:, None]  # [B, M]
    laid = np.full(there.shape, -np.inf, dtype=scores.dtype)
    laid[there] = scores
    last = np.partition(laid, -K, axis=1)[:, -K]  # [B]
    row, place = np.nonzero((laid >= last[:, None]) & there)
    order = np.lexsort((-laid[row, place], row))
    return np.asarray((of.offsets[row] + place)[order])


def _step(held: Wrapped, net: ScoringNet, batch: Batch, optimizer: torch.optim.Optimizer, spec: Ranking) -> float:
    """Step by the gradient of a batch, which goes through the network in as many parts as the spec says."""
    features, labels, mask, weight = batch
    optimizer.zero_grad()
    total, cut = 0.0, loop.parts(len(features), spec.trainer.accumulate)
    for number, (mine, share) in enumerate(cut, 1):
        some = (features, labels, mask) if len(cut) == 1 else (features[mine], labels[mine], mask[mine])
        with held.last(number == len(cut)):
            with autocast(held.device, spec.trainer.precision):
                scores = held.called(some[0])  # [B, M]
            loss = net.loss(scores.float(), *some[1:]) * (weight * share)
            loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    optimizer.step()
    return total


def _batches(of: Lists, order: np.ndarray, size: int, *, ranks: Ranks) -> Iterator[Batch]:
    """Yield padded batches: features [B, M, F], labels [B, M], mask [B, M] and the loss's weight.

    Lists without a hit teach nothing.
    """
    order = order[with_hits(of)[order]]
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        mine, share = ranks.shard(len(rows))
        rows = rows[mine]
        lengths = of.offsets[rows + 1] - of.offsets[rows]
        mask = np.arange(lengths.max()) < lengths[:, None]  # [B, M]
        where = np.where(mask, of.offsets[rows][:, None] + np.arange(lengths.max()), 0)
        labels = (of.bought[where] & mask).astype(np.float32)
        labels = labels if of.worth is None else labels * of.worth[where]
        yield torch.from_numpy(of.features[where]), torch.from_numpy(labels), torch.from_numpy(mask), share
