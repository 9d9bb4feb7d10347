"""Fit the network with differential privacy: what a user did moves it by no more than (epsilon, delta) allows.

DP-SGD by user (Abadi et al., 2016; McMahan et al., 2018): each step takes each user of the training rows with the
same probability, sums up the gradient of some of their rows, bounds its norm, adds the users up, and adds Gaussian
noise. The optimizer sees nothing else. A stage goes over all its epochs and keeps its last weights: stopping
early would read people's rows. The accountant (accountant.py) finds the noise for all stages before the first step.

Users and noise are drawn from the system's entropy and not by `seed`: whoever knows the draws could take the noise off.

Letters: R training rows, U users that a step takes, K rows of each, C targets, P parameters.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from components.intent import accountant
from components.intent.fit import REPORT_STEPS, UNKNOWN_SHARE, WEIGHT_DECAY, Fit, bce, course, figures
from components.intent.loss import cross_entropy
from components.intent.model import Batch, IntentNet
from components.intent.options import Privacy
from components.intent.spec import IntentModel
from components.training import loop
from feature_repo.errors import DataError, SpecError

LEAST_USERS = 100  # with fewer the noise that hides one hides all of them
LOUDEST = 0.1  # of the users a step: noise beyond it, in clipping norms, leaves no gradient to see
MOST_NUMBERS = 1 << 24  # of users' gradients held at a time
UNIT = "a user, added or removed with all their rows"
NOT_COVERED = (
    "means and spreads that inputs are standardised by, and numbers of the profile that selection and reduction choose",
    "vocabularies, segments and the targets' shares of all users, which inputs hold",
    "thresholds and calibration, chosen on validation rows",
    "the figures of training and evaluation, this comparison among them",
    "the ranker, which learns from the same users without privacy",
    "the forecasts of amounts and classes, and the session model, which learn from them without privacy too",
    "choices of a person or a search between several trainings",
    "rounding of floating-point numbers, and the generator, which is not a cryptographic one",
)
Stages = Mapping[str, int]


@dataclass(frozen=True)
class Plan:
    """How users are drawn and how loud the noise is."""

    epsilon: float  # that is spent by all steps
    delta: float
    clip: float  # norm of a user's gradient, at most
    sigma: float  # spread of the noise, in clips
    users: int
    rate: float  # probability that a step takes a user
    rows: int  # of a user that a step reads, at most
    steps: Stages  # by stage

    @property
    def each_epoch(self) -> int:
        """Return the steps of an epoch: in so many each user is taken once on the average."""
        return steps_of(self.rate)


def steps_of(rate: float) -> int:
    """Return the steps in which each user is taken once on the average.

    >>> steps_of(1.0), steps_of(0.3)
    (1, 4)
    """
    return math.ceil(1 / rate)


def plan(asked: Privacy, spec: IntentModel, *, users: int, stages: tuple[str, ...]) -> Plan:
    """Find the noise that keeps all stages within the budget; refuse, in a line, what leaves nothing to learn."""
    place = "models.intent.privacy"
    if users < LEAST_USERS:
        raise DataError(
            f"{place}: the training rows have {users} users, and at least {LEAST_USERS} are needed, or the noise that "
            "hides one hides everything; give the source more users, or drop privacy"
        )
    if asked.delta >= 1 / users:
        raise DataError(
            f"{place}.delta: {asked.delta:g} of {users} users lets one be given away whole; use less than 1 / users, "
            f"such as {0.1 / users:.0e}"
        )
    taken = max(spec.batch_size // asked.rows, 1)
    rate = min(1.0, taken / users)
    steps = dict.fromkeys(stages, spec.epochs * steps_of(rate))
    total = sum(steps.values())
    sigma = accountant.sigma(asked.epsilon, rate=rate, steps=total, delta=asked.delta)
    loudest = LOUDEST * rate * users
    if sigma > loudest:
        least = accountant.epsilon(
            sigma=max(loudest, accountant.LEAST_SIGMA), rate=rate, steps=total, delta=asked.delta
        )
        raise DataError(
            f"{place}.epsilon: {asked.epsilon:g} is too small for {users} users: {total} steps of {rate * users:.0f} "
            f"users need noise of {sigma:.3g} clips, and beyond {loudest:.3g} nothing is learnt; use at least "
            f"{least:.2g}, fewer epochs, a larger batch_size, or more users"
        )
    spent = accountant.epsilon(sigma=sigma, rate=rate, steps=total, delta=asked.delta)
    return Plan(spent, asked.delta, asked.clip, sigma, users, rate, asked.rows, steps)


@dataclass
class PrivateFit(Fit):
    """A network being fitted privately, stage after stage."""

    plan: Plan = field(kw_only=True)
    user: np.ndarray = field(kw_only=True)  # [R] int64, from 0
    untrained: IntentNet | None = field(kw_only=True, default=None)  # as the net was before any step
    rng: np.random.Generator = field(kw_only=True, default_factory=np.random.default_rng)  # from the system's entropy

    def run(self, stage: str, index: np.ndarray, *, report: Callable[[float, str], None]) -> None:
        """Fit the net to the rows in `index` for all epochs; it ends with the last weights."""
        if stage not in self.plan.steps:
            raise AssertionError(f"stage {stage} is not in the plan, so nothing accounts for it")
        for passed in self._private_passes(stage, index, report=report):
            found = None if self.validate is None else bce(self.net, self.validate)
            self._tell(stage, passed, found, {} if self.validate is None else figures(self.net, self.validate))
        self.net.eval()

    def rerun(self, stage: str, index: np.ndarray, *, epochs: int, report: Callable[[float, str], None]) -> None:
        """Refuse: a refit takes steps that the budget does not hold."""
        raise SpecError("promotion.refit: models.intent.privacy accounts for one training; set refit: false")

    def _private_passes(
        self, stage: str, index: np.ndarray, *, report: Callable[[float, str], None]
    ) -> Iterator[loop.Pass]:
        epochs, each = self.spec.epochs, self.plan.each_epoch
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=self.spec.learning_rate, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: course(step / (epochs * each)))
        for epoch in range(epochs):
            start, losses = time.monotonic(), []
            self.net.train()
            for step in range(each):
                losses.append(self._step(index))
                optimizer.step()
                schedule.step()
                if (step + 1) % REPORT_STEPS == 0:
                    report((epoch + (step + 1) / each) / epochs, f"{stage}, epoch {epoch + 1} of {epochs}")
            self.net.eval()
            yield loop.Pass(float(np.nanmean(losses)) if np.isfinite(losses).any() else 0.0, start, 0.0)

    def _step(self, index: np.ndarray) -> float:
        """Take users, and leave their noisy mean gradient in the net; return their mean loss, nan of nobody."""
        took = self.rng.random(self.plan.users) < self.plan.rate  # [users]
        chosen, there = some_rows(index[took[self.user[index]]], self.user, most=self.plan.rows, rng=self.rng)
        sums, losses = self._clipped(chosen, there)
        expected = self.plan.rate * self.plan.users  # not as many as were taken: that would tell
        for name, parameter in self.net.named_parameters():
            noise = self.rng.standard_normal(parameter.shape, dtype=np.float32) * (self.plan.sigma * self.plan.clip)
            parameter.grad = (sums[name] + torch.from_numpy(noise).to(parameter.device)) / expected
        return float(np.mean(losses)) if losses else math.nan

    def _clipped(self, chosen: np.ndarray, there: np.ndarray) -> tuple[dict[str, Tensor], list[float]]:
        """Return the sum of users' bounded gradients by parameter, and each one's loss a pair."""
        device = next(self.net.parameters()).device
        positives = None if self.positives is None else torch.from_numpy(self.positives).to(device)  # [C]
        gradients = of_users(self.net, positives=positives, focal=self.spec.loss.focal)
        sums = {name: torch.zeros_like(parameter) for name, parameter in self.net.named_parameters()}
        losses: list[float] = []
        each = max(1, min(64, MOST_NUMBERS // sum(parameter.numel() for parameter in sums.values())))
        for start in range(0, len(chosen), each):
            some = slice(start, start + each)
            found, loss = gradients(*self._tensors(chosen[some], there[some], device))
            for name, total in added(found, clip=self.plan.clip).items():
                sums[name] += total
            losses += loss.tolist()
        return sums, losses

    def _tensors(
        self, chosen: np.ndarray, there: np.ndarray, device: torch.device
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Return inputs, labels and what pairs count [U, K, C], a few rows as if nothing were known of their users."""
        flat = chosen.ravel()  # [U * K]
        encoded, blank = self.rows.encoded.take(flat), self.rng.random(len(flat)) < UNKNOWN_SHARE
        nobody = self.unknown.arrays()
        for name, values in encoded.arrays().items():
            values[blank] = nobody[name][self.rows.week[flat[blank]]]
        batch = vars(Batch.of(encoded, device)).values()  # of steps: the fields of events, which come last, are None
        arrays = tuple(tensor.unflatten(0, chosen.shape) for tensor in batch if tensor is not None)
        wanted = torch.from_numpy(self.rows.labels[chosen]).to(device, torch.float32)  # [U, K, C]
        counts = there[:, :, None] * self.weight  # [U, K, C]
        if self.rows.weight is not None:
            counts = counts * (self.rows.weight[chosen] / self.rows.weight.mean())[:, :, None]
        return arrays, wanted, torch.from_numpy(counts.astype(np.float32)).to(device)


def some_rows(
    rows: np.ndarray, user: np.ndarray, *, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw at most so many rows of each user; `user` [R] is of all rows.

    Return them by user [U, K], and which count: users with fewer have one again that counts nothing.
    """
    order = rows[np.lexsort((rng.random(len(rows)), user[rows]))]
    _, first, count = np.unique(user[order], return_index=True, return_counts=True)
    there = np.arange(most) < count[:, None]  # [U, K]
    return order[first[:, None] + np.where(there, np.arange(most), 0)], there


def of_users(
    net: IntentNet, *, positives: Tensor | None = None, focal: float = 0.0
) -> Callable[..., tuple[dict[str, Tensor], Tensor]]:
    """Return a function from users' inputs [U, K, ...], labels and counts [U, K, C] to gradients and losses by user.

    A user's loss is the sum over targets of the mean over K rows, so that gradients are of a like size for few targets
    and for many. Gradients [U, ...] are by parameter; losses [U] are means over pairs.
    """
    parameters = {name: parameter.detach() for name, parameter in net.named_parameters()}
    buffers = dict(net.named_buffers())
    targets = net.shape.targets

    def loss(parameters: dict[str, Tensor], arrays: tuple[Tensor, ...], wanted: Tensor, counts: Tensor) -> Tensor:
        logits = functional_call(net, (parameters, buffers), (Batch(*arrays),))  # [K, C]
        return targets * cross_entropy(logits.float(), wanted, counts, positives=positives, focal=focal)

    each = vmap(grad_and_value(loss), in_dims=(None, 0, 0, 0), randomness="different")

    def gradients(arrays: tuple[Tensor, ...], wanted: Tensor, counts: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        # The CPU's own attention has no rule for users side by side, and would go over them one by one.
        with sdpa_kernel(SDPBackend.MATH), _states_by_user(net):
            found, losses = each(parameters, arrays, wanted, counts)
        return found, losses / targets

    return gradients


@contextmanager
def _states_by_user(net: IntentNet) -> Iterator[None]:
    """Give recurrent layers their first state, zeros, as part of each user: one for all users cannot hold theirs."""

    def begin(layer: nn.RNNBase, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        zeros = (inputs[0][:, 0, :1] * 0)[None].expand(layer.num_layers, -1, layer.hidden_size)  # [layers, K, D]
        return inputs[0], zeros.contiguous()

    layers = [layer for layer in net.modules() if isinstance(layer, nn.GRU | nn.RNN)]
    hooks = [layer.register_forward_pre_hook(begin) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def added(gradients: Mapping[str, Tensor], *, clip: float) -> dict[str, Tensor]:
    """Bound the norm of each user's whole gradient and add users up; one that is not finite counts as none.

    >>> found = added({"w": torch.tensor([[3.0, 4.0], [0.3, 0.4], [math.nan, 0.0]])}, clip=1.0)
    >>> [round(number, 3) for number in found["w"].tolist()]  # of norm 1, of norm 0.5, none
    [0.9, 1.2]
    """
    squares = [(part.flatten(1) ** 2).sum(dim=1) for part in gradients.values()]  # [U] each
    norm = torch.stack(squares).sum(dim=0).sqrt()  # [U]
    finite = torch.isfinite(norm)
    factor = (clip / norm.clamp(min=1e-12)).clamp(max=1.0)[finite]
    return {name: torch.einsum("u,u...->...", factor, part[finite]) for name, part in gradients.items()}


def of(fit: Fit, asked: Privacy, user: np.ndarray, *, stages: tuple[str, ...]) -> PrivateFit:
    """Return a fit made private; `user` [R] numbers those of its rows, and the budget is for all `stages` together."""
    if fit.ranks.world > 1:
        raise SpecError(
            f"models.intent.privacy: one process takes users and draws noise, and {fit.ranks.world} were started; take "
            "train_intent out of the environment's trainers, or drop privacy"
        )
    each = np.unique(user, return_inverse=True)[1]
    found = plan(asked, fit.spec, users=int(each.max()) + 1, stages=stages)
    parts = {part.name: getattr(fit, part.name) for part in fields(Fit)}
    return PrivateFit(**parts, plan=found, user=each, untrained=copy.deepcopy(fit.net).eval())


def told(fit: object, trained: Callable[[IntentModel], IntentNet]) -> dict[str, Any]:
    """Return what `training.json` says of privacy: the budget, the noise, and what it costs on validation rows.

    Empty of a fit without it. `trained` trains what another spec asks for on the same rows, to compare with.
    """
    if not isinstance(fit, PrivateFit) or fit.spec.privacy is None or fit.validate is None:
        return {}
    nets = {"private": fit.net} | ({} if fit.untrained is None else {"untrained": fit.untrained})
    if fit.spec.privacy.compare:
        nets["without"] = trained(fit.spec.model_copy(update={"privacy": None}))
    rows = fit.validate
    costs = {name: figures(net, rows) | {"bce": round(bce(net, rows), 6)} for name, net in nets.items()}
    said = asdict(fit.plan) | {"epsilon": round(fit.plan.epsilon, 6), "sigma": round(fit.plan.sigma, 6)}
    return said | {"unit": UNIT, "validate": costs, "not_covered": list(NOT_COVERED)}
