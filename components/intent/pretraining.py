"""Train the encoder of steps before any label is read: what people did is a lesson too, whatever they did next.

Task `masked` (Devlin et al., 2018) hides some steps of a row and has the encoder tell which targets they held. Task
`contrastive` (Chen et al., 2020) hides two random halves of a row's steps and has the encoder know the one from the
other among rows of other users. Only `net.weeks` learns, and what a task needs beside it is thrown away.

Called by training with rows whose whole input had happened before the first step that is scored out of time: a later
row's steps are the labels of earlier ones.

Letters: B rows, T steps, C targets, D width.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from components.intent.fit import LARGEST_GRADIENT, WEIGHT_DECAY, course
from components.intent.model import IntentNet, WeekEncoder
from components.intent.spec import IntentModel
from feature_repo.errors import DataError

HIDDEN = 0.3  # share of the steps that `masked` hides
HALF = 0.5  # share of the steps that a view of `contrastive` hides
TEMPERATURE = 0.1  # that cosines are divided by
LEAST_ROWS = 32
Report = Callable[[float, str], None]


def run(
    net: IntentNet, sequence: np.ndarray, active: np.ndarray, user: np.ndarray, spec: IntentModel, *, report: Report
) -> dict[str, Any]:
    """Pretrain `net.weeks` on sequences [B, T, C], their flags [B, T, 2] and users [B]; return what was done."""
    asked = spec.pretrain
    assert asked is not None, "nothing to do"
    lived = np.flatnonzero(active[:, :, 0].any(axis=1))  # a row of silence teaches nothing
    if len(lived) < LEAST_ROWS:
        raise DataError(
            f"models.intent.pretrain: {len(lived)} rows lie before the steps that are scored out of time, and at least "
            f"{LEAST_ROWS} are needed; give the source more steps, lower models.ranking.train_weeks, or drop pretrain"
        )
    device, rng = net.bias.device, np.random.default_rng(spec.seed)
    head = nn.Linear(net.shape.width, net.shape.targets).to(device)
    trained = [*net.weeks.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=spec.learning_rate, weight_decay=WEIGHT_DECAY)
    each = math.ceil(len(lived) / spec.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: course(step / (asked.epochs * each)))
    net.weeks.train()
    told = []
    for epoch in range(asked.epochs):
        losses = []
        for start, order in enumerate(np.array_split(rng.permutation(lived), each)):
            optimizer.zero_grad()
            batch = tuple(torch.from_numpy(part[order]).to(device).float() for part in (sequence, active))
            if asked.task == "masked":
                loss = masked(net.weeks, head, *batch, rng=rng)
            else:
                loss = contrastive(net.weeks, *batch, user=user[order], rng=rng)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(trained, LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            report((epoch + (start + 1) / each) / asked.epochs, f"pretraining, epoch {epoch + 1} of {asked.epochs}")
        told.append(round(float(np.mean(losses)), 6))
    net.weeks.eval()
    return {"task": asked.task, "rows": len(lived), "losses": told}


def masked(
    weeks: WeekEncoder, head: nn.Module, sequence: Tensor, active: Tensor, *, rng: np.random.Generator
) -> Tensor:
    """Return the cross-entropy of the targets of hidden steps, of those that lie within the users' time."""
    hidden = _drawn(active[:, :, 1], HIDDEN, rng)  # [B, T]
    told = head(weeks.body(weeks.token(torch.cat(_without(sequence, active, hidden), dim=2))))  # [B, T, C]
    loss = binary_cross_entropy_with_logits(told, sequence, reduction="none").mean(dim=2)  # [B, T]
    return (loss * hidden).sum() / hidden.sum().clamp(min=1)


def contrastive(
    weeks: WeekEncoder, sequence: Tensor, active: Tensor, *, user: np.ndarray, rng: np.random.Generator
) -> Tensor:
    """Return the cross-entropy of finding a row's other view among those of other users (InfoNCE)."""
    views = []
    for _ in range(2):
        hidden = _drawn(active[:, :, 1], HALF, rng)
        views.append(normalize(weeks(*_without(sequence, active, hidden)), dim=1))  # [B, D]
    near = views[0] @ views[1].T / TEMPERATURE  # [B, B]
    same = torch.from_numpy((user[:, None] == user) & ~np.eye(len(user), dtype=bool)).to(near.device)
    near = near.masked_fill(same, -math.inf)  # another row of the same user is no other user
    own = torch.arange(len(user), device=near.device)
    return (cross_entropy(near, own) + cross_entropy(near.T, own)) / 2


def _drawn(within: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Draw a share of the steps [B, T] that lie within the users' time, as 0 and 1."""
    drawn = torch.from_numpy(rng.random(tuple(within.shape)) < share).to(within.device)
    return (drawn & (within > 0)).float()


def _without(sequence: Tensor, active: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Empty the hidden steps: no target, no activity; that they lie within the user's time stays."""
    keep = (1 - hidden)[:, :, None]  # [B, T, 1]
    return sequence * keep, torch.cat([active[:, :, :1] * keep, active[:, :, 1:]], dim=2)
