"""Fit the network to encoded rows: batches, the learning rate's course, early stopping. Knows no files.

`run` stops by the validation rows. `rerun` has none left to stop by, and goes as far along the same course as told.

Equal seeds and thread counts give equal weights: rows are drawn by numpy's generator, and the caller seeds torch's.
Several ranks share every batch (components/distributed/ranks.py); the validation loss, which decides, is one number.
A stage goes on from its checkpoint where there is one (components/training).

Letters: R rows, B rows of a batch, C targets, W weeks.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch

from components.distributed.ranks import ALONE, Ranks
from components.intent import metrics
from components.intent.encode import Encoded
from components.intent.loss import cross_entropy
from components.intent.model import Batch, IntentNet, probabilities
from components.intent.score import ROWS
from components.intent.spec import IntentModel
from components.training import loop, parallel
from components.training.checkpoints import Checkpoints
from components.training.parallel import Wrapped
from components.training.precision import autocast

UNKNOWN_SHARE = 0.01  # of training rows shown as if nothing were known of the user, so that new users get a fair guess
WEIGHT_DECAY = 0.01
WARM_UP = 0.1  # of the steps, until the learning rate peaks
LARGEST_GRADIENT = 1.0  # norm
PATIENCE = 2  # epochs in a row that may bring nothing
REPORT_STEPS = 16
FIGURED = 2000  # validation rows, at most, that the figures of an epoch are of
TOLD = ("map", "macro_auroc", "ece", "micro_f1", "micro_precision", "micro_recall", "brier")
MOST_SMALLER = 4  # times that a batch of thinned rows is smaller than the spec's, at most


@dataclass(frozen=True)
class Rows:
    """Encoded rows with their labels."""

    encoded: Encoded
    labels: np.ndarray  # [R, C] uint8
    week: np.ndarray  # [R] int64, position of the row's week in `Fit.unknown`
    weight: np.ndarray | None = None  # [R] possible rows that a row stands for; None: each for itself


@dataclass(frozen=True)
class Epoch:
    """One pass over training rows, and how well the network then did on the validation rows."""

    stage: str
    train_bce: float
    validate_bce: float | None  # None: a refit, which learns from the validation rows too
    seconds: float
    figures: dict[str, float | None] = field(default_factory=dict)  # on some validation rows, by metric
    stall_share: float | None = None  # of the seconds of training, spent in waiting for batches; None: trees


@dataclass
class Fit:
    """A network being fitted, stage after stage."""

    net: IntentNet
    rows: Rows
    validate: Rows | None  # None: a refit
    unknown: Encoded  # an unknown user at the start of each week, [W] rows
    weight: np.ndarray  # [C] float32, of each target in the loss
    spec: IntentModel
    ranks: Ranks = ALONE
    positives: np.ndarray | None = None  # [C] float32, what pairs that came true count; None: as all others
    epochs: list[Epoch] = field(default_factory=list)
    watch: Callable[[str, int, IntentNet], None] | None = None  # told of each epoch of `run`: its stage and number
    checkpoints: Checkpoints | None = None

    def run(self, stage: str, index: np.ndarray, *, report: Callable[[float, str], None]) -> None:
        """Fit the net to the rows in `index`; it ends with the weights of this stage's best epoch."""
        assert self.validate is not None, "without validation rows nothing says when to stop"
        stopping, before = loop.Stopping(Epoch), list(self.epochs)
        if loop.ended(self.checkpoints, stage, self.net, stopping):
            self.epochs = before + stopping.epochs
            return
        for passed in self._passes(stage, index, stopping, report=report):
            self.epochs = before + stopping.epochs
            found = self.ranks.decided(bce(self.net, self.validate, ranks=self.ranks))
            self._tell(stage, passed, found, figures(self.net, self.validate))
            stopping.epochs.append(self.epochs[-1])
            if self.watch is not None:
                self.watch(stage, sum(epoch.stage == stage for epoch in self.epochs), self.net)
            lowest = math.inf if stopping.best is None else stopping.best
            if found < lowest:
                stopping.keep(found, self.net.state_dict())
            elif min(e.validate_bce for e in self.epochs[-PATIENCE:] if e.validate_bce is not None) > lowest:
                break
        if stopping.weights:
            self.net.load_state_dict(stopping.weights)
        loop.finished(self.checkpoints, stage, self.net, stopping)

    def rerun(self, stage: str, index: np.ndarray, *, epochs: int, report: Callable[[float, str], None]) -> None:
        """Fit the net to the rows in `index` for the first `epochs` of the spec's; it ends with the last weights."""
        stopping, before = loop.Stopping(Epoch), list(self.epochs)
        for passed in self._passes(stage, index, stopping, report=report):
            self.epochs = before + stopping.epochs
            self._tell(stage, passed, None)
            stopping.epochs.append(self.epochs[-1])
            if len(stopping.epochs) >= epochs:
                break
        self.net.eval()

    def _passes(
        self, stage: str, index: np.ndarray, stopping: loop.Stopping, *, report: Callable[[float, str], None]
    ) -> Iterator[loop.Pass]:
        """Go over the rows epoch by epoch."""
        epochs, options = self.spec.epochs, self.spec.trainer
        # Unused: a transformer's table of words, since weeks come as vectors.
        net = parallel.wrapped(self.net, options, self.ranks, unused=True)
        positives = None if self.positives is None else torch.from_numpy(self.positives).to(net.device)  # [C]
        optimizer = net.optimizer(
            learning_rate=self.spec.learning_rate,
            weight_decay=WEIGHT_DECAY,
            groups=lambda trained: learnt(cast(IntentNet, trained), self.spec),
        )
        per_epoch = math.ceil(len(index) / self._batch_size(index))
        of_text = self.net.shape.text is not None
        if of_text:
            self.net.weeks.begin(epochs * per_epoch)

        def told(epoch: int, steps: int) -> None:
            if of_text:
                self.net.weeks.stepped(epoch * per_epoch + steps)
            if steps % REPORT_STEPS == 0:
                report((epoch + steps / per_epoch) / epochs, f"{stage}, epoch {epoch + 1} of {epochs}")

        return loop.Loop(
            net,
            optimizer,
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: course(step / (epochs * per_epoch))),
            np.random.default_rng(self.spec.seed),
            batches=lambda rng: self._batches(index, rng),
            step=lambda batch: _step(net, *batch, optimizer, positives, self.spec),
            epochs=epochs,
            stage=stage,
            checkpoints=self.checkpoints,
            stopping=stopping,
            told=told,
            mean=self.ranks.mean,
        ).passes()

    def _tell(
        self, stage: str, passed: loop.Pass, validate: float | None, told: dict[str, float | None] | None = None
    ) -> None:
        seconds, found = round(time.monotonic() - passed.began, 2), None if validate is None else round(validate, 6)
        self.epochs.append(Epoch(stage, round(passed.loss, 6), found, seconds, told or {}, passed.stall_share))

    def _batch_size(self, index: np.ndarray) -> int:
        """Return the rows of a batch: fewer where rows stand for several, or an epoch would have too few steps."""
        if self.rows.weight is None:
            return self.spec.batch_size
        return max(self.spec.batch_size // min(round(float(self.rows.weight[index].mean())), MOST_SMALLER), 1)

    def _batches(self, index: np.ndarray, rng: np.random.Generator) -> Iterator[tuple[Encoded, np.ndarray, np.ndarray]]:
        """Yield rows in random order, a few of them as if nothing were known of their users, and the loss's weights.

        Weights are [C], or [B, C] where rows stand for several: then their mean over all rows of an epoch is 1, so that
        an epoch's loss is that of all the possible rows.
        """
        order, mean = rng.permutation(index), 1.0
        if self.rows.weight is not None:
            mean = float(self.rows.weight[index].mean())
        size = self._batch_size(index)
        for start in range(0, len(order), size):
            chosen = np.sort(order[start : start + size])  # sorted: memory is read one way
            blank = rng.random(len(chosen)) < UNKNOWN_SHARE  # [B]
            mine, share = parallel.data_ranks(self.spec.trainer.parallel, self.ranks).shard(len(chosen))
            chosen, blank = chosen[mine], blank[mine]
            encoded = self.rows.encoded.take(chosen)
            nobody = self.unknown.arrays()
            for name, values in encoded.arrays().items():
                values[blank] = nobody[name][self.rows.week[chosen[blank]]]
            weight = self.weight * np.float32(share)  # [C]
            if self.rows.weight is not None:
                weight = weight * (self.rows.weight[chosen, None] / mean).astype(np.float32)  # [B, C]
            yield encoded, self.rows.labels[chosen], weight


def learnt(net: IntentNet, spec: IntentModel) -> Iterable[Any]:
    """Return the parameters that are fitted: those of an encoder of texts have a step size of their own."""
    if net.shape.text is None:
        return net.parameters()
    encoder = [values for values in net.weeks.bert.parameters() if values.requires_grad]
    mine = {id(values) for values in net.weeks.bert.parameters()}
    rest = [values for values in net.parameters() if id(values) not in mine]
    return [{"params": rest}] + ([{"params": encoder, "lr": spec.text.rate}] if encoder else [])


def course(share: float) -> float:
    """Return the factor of the learning rate at a share of the steps: up a line, down a cosine.

    >>> [round(course(s), 2) for s in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if share < WARM_UP:
        return share / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - WARM_UP) / (1 - WARM_UP)))


def bce(net: IntentNet, rows: Rows, *, ranks: Ranks = ALONE) -> float:
    """Return the mean binary cross-entropy over rows and targets; ranks share the work."""
    total = 0.0
    for start in range(ranks.rank * ROWS, len(rows.week), ROWS * ranks.world):
        index = np.arange(start, min(start + ROWS, len(rows.week)))
        p = probabilities(net, rows.encoded.take(index)).astype(np.float64).clip(1e-7, 1 - 1e-7)  # [B, C]
        total -= float(np.log(np.where(rows.labels[index] > 0, p, 1 - p)).sum())
    return ranks.total(total) / rows.labels.size


def figures(net: IntentNet, rows: Rows) -> dict[str, float | None]:
    """Return what people know on some of the validation rows, over all targets; F1 at the threshold that is best here.

    The loss alone decides when to stop; these are for the curves.
    """
    some = np.linspace(0, len(rows.week) - 1, min(FIGURED, len(rows.week))).astype(np.int64)
    labels, said = rows.labels[some], probabilities(net, rows.encoded.take(some))
    whole = metrics.summary(labels, said)
    pooled = metrics.pooled(labels, said, threshold=metrics.best_threshold(labels, said))
    return {name: (whole | pooled)[name] for name in TOLD}


def _step(
    net: Wrapped,
    encoded: Encoded,
    labels: np.ndarray,
    weight: np.ndarray,
    optimizer: torch.optim.Optimizer,
    positives: torch.Tensor | None,
    spec: IntentModel,
) -> float:
    """Step by the gradient of a batch, which goes through the network in as many parts as the spec says."""
    optimizer.zero_grad()
    total, cut = 0.0, loop.parts(len(labels), spec.trainer.accumulate)
    for number, (places, share) in enumerate(cut, 1):
        some, wanted, counts = encoded, labels, weight
        if len(cut) > 1:
            some, wanted = encoded.take(places), labels[places]
            counts = (weight[places] if weight.ndim > 1 else weight) * np.float32(share)
        with net.last(number == len(cut)):
            loss = _loss(net, some, wanted, counts, positives, spec)
            loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    net.clip(LARGEST_GRADIENT)
    optimizer.step()
    return total


def _loss(
    net: Wrapped,
    encoded: Encoded,
    labels: np.ndarray,
    weight: np.ndarray,
    positives: torch.Tensor | None,
    spec: IntentModel,
) -> torch.Tensor:
    with autocast(net.device, spec.trainer.precision):
        logits = net.called(Batch.of(encoded, net.device))  # [B, C]
    wanted = torch.from_numpy(labels).to(net.device, torch.float32)  # [B, C]
    counts = torch.from_numpy(weight).to(net.device)  # [C] or [B, C]
    return cross_entropy(logits.float(), wanted, counts, positives=positives, focal=spec.loss.focal)
