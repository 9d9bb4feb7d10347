"""Every architecture trains on a GPU, and what it exports is the model of a machine without one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.distributed.ranks import ALONE
from components.intent import fit as fitting
from components.intent.encode import FREQUENCY
from components.intent.examples import Examples
from components.intent.networks import NETWORKS
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import Trained, train
from components.training.checkpoints import Checkpoints

pytestmark = pytest.mark.gpu
HALF = 5e-3  # how far a device's own answers, in half precision, may be from its weights' on a processor


def spec(architecture: str = "transformer", **more: Any) -> IntentModel:
    small = {
        "architecture": architecture,
        "width": 32,
        "layers": 1,
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 1e-2,
    }
    return IntentModel.model_validate(small | more)


def trained(examples: Examples, model: IntentModel, device: str, **more: Any) -> Trained:
    return train(examples, model, ranking_weeks=4, device=device, **more)


def best(found: Trained) -> float:
    return min(epoch.validate_bce for epoch in found.epochs if epoch.validate_bce is not None)


@pytest.mark.parametrize("architecture", NETWORKS)
def test_an_architecture_trains_exports_and_scores_as_on_a_processor(
    architecture: str, device: str, examples: Examples, tmp_path: Path
) -> None:
    found = trained(examples, spec(architecture), device)
    assert next(found.scorer.net.parameters()).device.type == device
    found.scorer.save(tmp_path / "intent")
    rows = examples.rows.take(examples.part("test"))
    own, torchs = found.scorer.predict(rows), IntentScorer.load(tmp_path / "intent").predict(rows)
    served = IntentScorer.served(tmp_path / "intent").predict(rows)
    np.testing.assert_allclose(served, torchs, atol=1e-5)
    np.testing.assert_allclose(own, torchs, atol=HALF)
    assert best(found) == pytest.approx(best(trained(examples, spec(architecture), "cpu")), abs=0.03)


def test_bf16_and_fp32_come_to_the_same_quality(device: str, examples: Examples) -> None:
    narrow, wide = (trained(examples, spec(trainer={"precision": name}), device) for name in ("bf16", "fp32"))
    assert best(narrow) == pytest.approx(best(wide), abs=0.02)
    apart = np.abs(narrow.out_of_time.probabilities - wide.out_of_time.probabilities).mean()
    assert 1e-6 < apart < 0.05
    assert {value.dtype for value in narrow.scorer.net.state_dict().values()} == {torch.float32}


def test_a_batch_in_parts_is_the_batch(device: str, examples: Examples) -> None:
    plain = {"epochs": 1, "dropout": 0.0, "learning_rate": 1e-3}
    one, four = (
        trained(examples, spec(**plain, trainer={"precision": "fp32", "accumulate": n}), device) for n in (1, 4)
    )
    np.testing.assert_allclose(one.out_of_time.probabilities, four.out_of_time.probabilities, atol=HALF)


@pytest.mark.parametrize("architecture", ["cnn", "transformer"])
def test_a_compiled_network_trains_as_an_eager_one(architecture: str, device: str, examples: Examples) -> None:
    plain = {"epochs": 1, "dropout": 0.0, "learning_rate": 1e-4}
    eager, compiled = (
        trained(examples, spec(architecture, **plain, trainer={"precision": "fp32", "compile": on}), device)
        for on in (False, True)
    )
    np.testing.assert_allclose(eager.out_of_time.probabilities, compiled.out_of_time.probabilities, atol=HALF)


def test_a_training_that_died_goes_on_where_it_was(
    device: str, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    want, step, done = trained(examples, spec(), device), fitting._step, [0]

    def dies(*arguments: Any) -> float:
        done[0] += 1
        if done[0] == 21:
            raise KeyboardInterrupt
        return step(*arguments)

    kept = Checkpoints(tmp_path, 3, {"data": "one"}, False, ALONE)
    monkeypatch.setattr(fitting, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        trained(examples, spec(), device, checkpoints=kept)
    monkeypatch.undo()
    found = trained(examples, spec(), device, checkpoints=kept)
    assert [e.stage for e in found.epochs] == [e.stage for e in want.epochs]
    assert best(found) == pytest.approx(best(want), abs=1e-3), "sums on a GPU have no fixed order"


def test_the_loader_s_stalls_are_measured(device: str, examples: Examples) -> None:
    found = trained(examples, spec("cnn"), device)
    assert all(epoch.stall_share is not None and 0 <= epoch.stall_share <= 1 for epoch in found.epochs)
    assert len(FREQUENCY) == found.scorer.net.shape.frequency
