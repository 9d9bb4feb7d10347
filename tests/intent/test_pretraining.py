"""Pretraining learns what steps hold, reads nothing of later steps, and leaves everything but the encoder alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from components.intent import pretraining
from components.intent.examples import Examples
from components.intent.model import IntentNet
from components.intent.networks import NETWORKS, TREES
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import train
from feature_repo.errors import DataError

from .conftest import SPLIT

TARGETS, STEPS = 4, 8


def parity(rows: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users of two kinds: one holds target 0 in even steps and 1 in odd ones, the other 2 and 3. Any step tells all."""
    user = np.random.default_rng(seed).permutation(rows)
    sequence = np.zeros((rows, STEPS, TARGETS), np.uint8)
    for step in range(STEPS):
        sequence[np.arange(rows), step, 2 * (user % 2) + step % 2] = 1
    return sequence, np.ones((rows, STEPS, 2), np.uint8), user


def untrained(architecture: str = "cnn") -> IntentNet:
    torch.manual_seed(0)
    return IntentNet(Shape(architecture, 16, 1, 0.0, targets=TARGETS, weeks=STEPS, frequency=2, profile=2, segments=1))


def asked(task: str, epochs: int = 15, architecture: str = "cnn") -> IntentModel:
    return IntentModel.model_validate(
        {"architecture": architecture, "width": 16, "layers": 1, "batch_size": 32, "learning_rate": 1e-2,
         "dropout": 0.0, "pretrain": {"task": task, "epochs": epochs}}
    )  # fmt: skip


def silent(share: float, note: str) -> None:
    """Tell nobody."""


@pytest.mark.parametrize("architecture", NETWORKS)
def test_hidden_steps_are_told_from_the_others(architecture: str) -> None:
    net = untrained(architecture)
    found = pretraining.run(net, *parity(256), asked("masked", architecture=architecture), report=silent)
    assert found["rows"] == 256
    assert len(found["losses"]) == 15
    chance = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)  # a step holds one of four targets
    assert found["losses"][-1] < 0.75 * chance < found["losses"][0], "and recurrent ones read earlier steps alone"


def test_a_row_is_known_again_by_other_steps() -> None:
    found = pretraining.run(untrained(), *parity(256), asked("contrastive"), report=silent)
    assert found["losses"][-1] < found["losses"][0] - 0.3


def test_rows_of_one_user_are_no_strangers_to_each_other() -> None:
    """With nobody else in a batch there is nothing to tell apart, so by hand the loss is 0."""
    sequence, active, _ = (torch.from_numpy(part).float() for part in parity(8))
    one, two = np.zeros(8, np.int64), np.arange(8) // 4
    rng, net = np.random.default_rng(0), untrained()
    alone, two_of_them = (
        pretraining.contrastive(net.weeks, sequence, active, user=user, rng=rng).item() for user in (one, two)
    )
    assert alone == pytest.approx(0, abs=1e-6)
    assert two_of_them > 0.1


def test_only_hidden_steps_of_the_users_time_count(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence, active, _ = (torch.from_numpy(part).float() for part in parity(8))
    active[:, :4, 1] = 0  # before their time
    drawn = pretraining._drawn(active[:, :, 1], 0.5, np.random.default_rng(0))
    assert not drawn[:, :4].any()
    assert 0 < drawn[:, 4:].mean() < 1
    seen, flags = pretraining._without(sequence, active, drawn)
    assert not seen[drawn > 0].any()
    assert not flags[..., 0][drawn > 0].any()
    assert torch.equal(flags[..., 1], active[..., 1]), "that the step was the user's stays"
    assert torch.equal(seen[drawn == 0], sequence[drawn == 0])

    class Head(nn.Module):
        """Says of each step what it holds, but lies where nothing is hidden."""

        def forward(self, h: torch.Tensor) -> torch.Tensor:
            truth = torch.where(sequence > 0, 20.0, -20.0)
            return torch.where(hidden[:, :, None] > 0, truth, -truth)

    hidden = drawn
    monkeypatch.setattr(pretraining, "_drawn", lambda *_: hidden)
    loss = pretraining.masked(untrained().weeks, Head(), sequence, active, rng=np.random.default_rng(0))
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_nothing_but_the_encoder_learns() -> None:
    net = untrained()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pretraining.run(net, *parity(64), asked("masked", 1), report=silent)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("weeks.") for name in changed)


def test_rows_of_later_steps_are_not_read(examples: Examples) -> None:
    """The steps that a row shows are the labels of earlier rows: those scored out of time must not be met."""
    spec = IntentModel.model_validate(
        {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 1, "batch_size": 64, "pretrain": {"epochs": 2}}
    )
    held = SPLIT["train"][-4:]
    trained = train(examples, spec, ranking_weeks=4, device="cpu")
    assert trained.pretrained["weeks"] == [week for week in SPLIT["train"] if week <= held[0]]
    assert train(examples, spec.model_copy(update={"pretrain": None}), ranking_weeks=4, device="cpu").pretrained == {}

    shown = {"lists": dict(examples.rows.lists)}
    targets = shown["lists"]["recent_targets"]
    late = np.isin(examples.week, [week for week in np.unique(examples.week) if week > held[0]])
    forged = np.where(late[targets.row_of_value()], (targets.values + 1) % 7, targets.values)
    shown["lists"]["recent_targets"] = replace(targets, values=forged.astype(targets.values.dtype))
    other = train(replace(examples, rows=replace(examples.rows, **shown)), spec, ranking_weeks=4, device="cpu")
    assert other.pretrained["losses"] == trained.pretrained["losses"]
    assert other.epochs[-1].train_bce != trained.epochs[-1].train_bce, "though training itself reads them"


def test_too_few_rows_are_one_line() -> None:
    with pytest.raises(DataError, match=r"models.intent.pretrain: 10 rows lie before .* at least 32 are needed"):
        pretraining.run(untrained(), *parity(10), asked("masked"), report=silent)


def test_trees_have_no_encoder() -> None:
    with pytest.raises(ValueError, match=r"pretrain: of networks, and architecture gbdt has none"):
        IntentModel.model_validate({"architecture": TREES, "pretrain": {}})
