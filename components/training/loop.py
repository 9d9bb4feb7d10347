"""Epochs of optimizer steps over a network, which go on where a checkpoint of theirs left off. Knows no model.

A trainer gives batches and what a step does with one; this counts, checkpoints and measures what part of an epoch was
spent in waiting for the next batch. An epoch that is resumed draws its batches anew from where its generator stood and
passes over those that were done, so it sees the rows that it would have seen.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from components.training.checkpoints import Checkpoints, State
from components.training.parallel import Wrapped, like, whole
from feature_repo.errors import DataError

B = TypeVar("B")  # a batch
GENERATOR, LOSSES = "generator", "losses"  # in a checkpoint, by process


@dataclass(frozen=True)
class Pass:
    """One epoch of steps."""

    loss: float  # mean over the steps
    began: float  # of the monotonic clock
    stall_share: float | None  # of the seconds, spent in waiting for the next batch, 0..1; None: there was no step


@dataclass
class Stopping:
    """What a stage has come to: its epochs, and the weights of the best of them."""

    kind: type  # of an epoch, a dataclass
    epochs: list[Any] = field(default_factory=list)
    best: float | None = None
    at: int = -1  # which epoch was the best, counted from 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, value: float, weights: dict[str, Tensor]) -> None:
        """Take a copy of the weights after the last epoch, which are the best so far."""
        self.best, self.at = value, len(self.epochs) - 1
        self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return it as tensors and as JSON."""
        told = {"epochs": [asdict(epoch) for epoch in self.epochs], "best": self.best, "at": self.at}
        return {f"best.{name}": tensor for name, tensor in self.weights.items()}, told

    def restore(self, state: State) -> None:
        """Come back to a state."""
        self.epochs[:] = [self.kind(**epoch) for epoch in state.numbers["epochs"]]
        self.best, self.at, self.weights = state.numbers["best"], state.numbers["at"], state.under("best.")


@dataclass
class Loop(Generic[B]):
    """The epochs of one stage."""

    wrapped: Wrapped
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator  # that batches are drawn from
    batches: Callable[[np.random.Generator], Iterator[B]]  # of one epoch
    step: Callable[[B], float]  # the optimizer's step on a batch; returns the loss
    epochs: int
    stage: str = "full"
    checkpoints: Checkpoints | None = None
    stopping: Stopping | None = None
    told: Callable[[int, int], None] = lambda epoch, steps: None  # after each step
    mean: Callable[[float], float] = float  # over processes, of an epoch's loss

    def passes(self) -> Iterator[Pass]:
        """Train, epoch by epoch; after each the wrapped network is whole and ready to be validated."""
        first, losses = self._resumed()
        steps = len(losses)
        for epoch in range(first, self.epochs):
            began, waited, entry = time.monotonic(), 0.0, self.rng.bit_generator.state
            batches = self.batches(self.rng)
            for _ in range(len(losses)):
                next(batches)
            self.wrapped.trained.train()
            while True:
                asked = time.monotonic()
                batch = next(batches, None)
                waited += time.monotonic() - asked
                if batch is None:
                    break
                losses.append(self.step(batch))
                self.schedule.step()
                steps += 1
                self.told(epoch, len(losses))
                if self.checkpoints is not None and steps % self.checkpoints.every == 0:
                    self._save(epoch, losses, entry)
            self.wrapped.gather()
            self.wrapped.net.eval()
            took = time.monotonic() - began
            mean = self.mean(float(np.mean(losses)) if losses else 0.0)
            if not np.isfinite(mean):  # its weights are no numbers either, and no later step mends them
                raise DataError(
                    f"stage {self.stage}, epoch {epoch + 1}: the mean loss is {mean}: training diverged; use a smaller "
                    "learning_rate, or look for huge values in the data"
                )
            yield Pass(mean, began, round(waited / max(took, 1e-9), 4))
            losses = []

    def _save(self, epoch: int, losses: list[float], entry: Any) -> None:
        assert self.checkpoints is not None
        tensors, numbers = self.stopping.state() if self.stopping else ({}, {})
        tensors |= {f"net.{name}": whole(value) for name, value in self.wrapped.trained.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self._moments()} | generators(self.checkpoints)
        each = self.checkpoints.ranks.gathered(torch.tensor(losses, dtype=torch.float64))  # of its own rows
        tensors |= {f"{LOSSES}.{n}": one for n, one in enumerate(each)}
        groups = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        numbers |= {
            "position": self.schedule.last_epoch,
            "epoch": epoch,
            "rows": entry,
            "groups": groups,
            "schedule": self.schedule.state_dict(),
        }
        self.checkpoints.save(self.stage, State(tensors, numbers))

    def _moments(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what the optimizer keeps of each weight, whole, as name of the weight, a bar and its own name."""
        for name, parameter in self.wrapped.trained.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                yield f"{name}|{key}", whole(value)

    def _resumed(self) -> tuple[int, list[float]]:
        """Come back to the stage's checkpoint; return its epoch and the losses of the steps done in it."""
        state = None if self.checkpoints is None else self.checkpoints.load(self.stage)
        if state is None or self.checkpoints is None:
            return 0, []
        self.checkpoints.tell(self.stage, state)
        numbers = state.numbers
        if self.stopping is not None:
            self.stopping.restore(state)
        self.wrapped.put(state.under("net."))
        kept = state.under("optimizer.")
        for name, parameter in self.wrapped.trained.named_parameters():
            mine = {key.rpartition("|")[2]: value for key, value in kept.items() if key.rpartition("|")[0] == name}
            if mine:
                self.optimizer.state[parameter] = {key: like(value, parameter) for key, value in mine.items()}
        for group, saved in zip(self.optimizer.param_groups, numbers["groups"], strict=True):
            group.update({k: tuple(v) if isinstance(v, list) else v for k, v in saved.items()})
        self.schedule.load_state_dict(numbers["schedule"])
        self.rng.bit_generator.state = numbers["rows"]
        restore_generators(state, self.checkpoints)
        return int(numbers["epoch"]), state.tensors[f"{LOSSES}.{self.checkpoints.ranks.rank}"].tolist()


def finished(checkpoints: Checkpoints | None, stage: str, net: torch.nn.Module, stopping: Stopping) -> None:
    """Write down that a stage ended, with the network that it ended with."""
    if checkpoints is None:
        return
    _, numbers = stopping.state()
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()} | generators(checkpoints)
    checkpoints.save(stage, State(tensors, numbers | {"position": 0, "done": True}))


def ended(checkpoints: Checkpoints | None, stage: str, net: torch.nn.Module, stopping: Stopping) -> bool:
    """Tell whether a stage ended before this process began; if so, bring back what it ended with."""
    state = None if checkpoints is None else checkpoints.load(stage)
    if state is None or checkpoints is None or not state.done:
        return False
    checkpoints.tell(stage, state)
    stopping.restore(state)
    net.load_state_dict(state.under("net."))
    restore_generators(state, checkpoints)
    return True


def generators(checkpoints: Checkpoints) -> dict[str, Tensor]:
    """Return the states of torch's generators, by process; every process takes part."""
    found = {f"{GENERATOR}.{n}": one for n, one in enumerate(checkpoints.ranks.gathered(torch.random.get_rng_state()))}
    if torch.cuda.is_available():
        each = checkpoints.ranks.gathered(torch.cuda.get_rng_state())
        found |= {f"{GENERATOR}.cuda.{n}": one for n, one in enumerate(each)}
    return found


def restore_generators(state: State, checkpoints: Checkpoints) -> None:
    """Let torch's generators stand where this process's stood."""
    rank = checkpoints.ranks.rank
    torch.random.set_rng_state(state.tensors[f"{GENERATOR}.{rank}"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state(state.tensors[f"{GENERATOR}.cuda.{rank}"])


def parts(size: int, n: int) -> list[tuple[np.ndarray, float]]:
    """Return the places of a batch's parts, and the share of its rows that each holds.

    A part that is left without rows works on the first and counts for nothing: all processes take as many turns.

    >>> parts(3, 2)
    [(array([0, 1]), 0.6666666666666666), (array([2]), 0.3333333333333333)]
    >>> parts(1, 2)[1]
    (array([0]), 0.0)
    """
    cut = np.array_split(np.arange(size), n)
    return [(places if len(places) else np.zeros(1, dtype=np.int64), len(places) / size) for places in cut]
