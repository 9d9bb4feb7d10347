"""Parts of batches, narrow numbers and the loader's stalls: what they change, and what they must not."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.intent import fit as fitting
from components.intent import train as training
from components.intent.examples import Examples
from components.intent.spec import IntentModel
from components.ranking import net_fit as ranking
from components.ranking.lists import Lists
from components.ranking.spec import Ranking
from components.training import loop, parallel, precision
from components.training.spec import TrainerOptions
from feature_repo.errors import SpecError
from tests.ranking import board

MODEL = IntentModel(architecture="cnn", width=16, layers=1, epochs=1, batch_size=61, dropout=0.0, learning_rate=1e-3)


def asked(**options: Any) -> IntentModel:
    return MODEL.model_copy(update={"trainer": TrainerOptions(**options)})


def fitted(examples: Examples, spec: IntentModel) -> training.Trained:
    return training.train(examples, spec, ranking_weeks=4, device="cpu")


@pytest.mark.parametrize("n", [3, 64])
def test_a_batch_in_parts_is_the_batch(examples: Examples, n: int) -> None:
    """61 rows do not part evenly, and are fewer than 64 parts; with 3 parts rows have weights of their own."""
    if n == 3:
        weight = np.where(np.isin(examples.week, examples.split["train"]), 3.0, 1.0)
        examples = replace(examples, weight=weight * (1 + np.arange(len(weight)) % 2))
    whole = fitted(examples, asked())
    found = fitted(examples, asked(accumulate=n))
    np.testing.assert_allclose(found.out_of_time.probabilities, whole.out_of_time.probabilities, atol=1e-5)
    assert [e.train_bce for e in found.epochs] == pytest.approx([e.train_bce for e in whole.epochs], abs=1e-5)


def test_the_gradient_of_parts_is_the_whole_s(examples: Examples) -> None:
    rows = training.encoded(examples, np.arange(7))
    gradients = []
    for n in (1, 3, 9):
        torch.manual_seed(0)
        net = training._untrained(examples, MODEL, rows, "cpu")
        torch.nn.init.normal_(net.user_out)  # an untrained network does not read its encoder
        held = parallel.wrapped(net, TrainerOptions())
        weight = np.linspace(1, 2, 7 * rows.labels.shape[1], dtype=np.float32).reshape(7, -1)
        still = torch.optim.SGD(net.parameters(), lr=0.0)
        fitting._step(held, rows.encoded, rows.labels, weight, still, None, asked(accumulate=n))
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert gradients[0].abs().max() > 1e-3
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-7, rtol=1e-5)


def lists(n: int = 24) -> Lists:
    """Lists of 2 to 6 candidates, of which the first is bought, and one in three is bought twice over."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 7, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    bought = np.zeros(offsets[-1], dtype=bool)
    bought[offsets[:-1]] = True
    bought[offsets[:-1][::3] + 1] = True
    features = rng.normal(size=(offsets[-1], 5)).astype(np.float32) + bought[:, None]
    return Lists(features=features, offsets=offsets, bought=bought, wanted=np.add.reduceat(bought, offsets[:-1]),
                 recall=1.0)  # fmt: skip


def test_a_ranker_s_batch_in_parts_is_the_batch() -> None:
    spec = board.SPEC.model_copy(update={"dropout": 0.0, "batch_size": 7, "epochs": 2, "learning_rate": 1e-3})
    whole, _, _ = ranking.fit_net(lists(), lists(9), spec)
    parts, _, _ = ranking.fit_net(lists(), lists(9), spec.model_copy(update={"trainer": TrainerOptions(accumulate=3)}))
    # A constant that all scores of a list share says nothing: its gradient is noise, which Adam scales up.
    found, wanted = (one - one.mean() for one in (net.score(lists().features) for net in (parts, whole)))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(wanted).max() > 0.1


def test_bf16_trains_and_answers_near(examples: Examples) -> None:
    spec = {"epochs": 3, "learning_rate": 1e-2}
    wide = fitted(examples, MODEL.model_copy(update=spec))
    narrow = fitted(examples, asked(precision="bf16").model_copy(update=spec))
    apart = np.abs(narrow.out_of_time.probabilities - wide.out_of_time.probabilities)
    assert 1e-6 < apart.mean() < 0.02, "it is narrower, and near"
    assert {value.dtype for value in narrow.scorer.net.state_dict().values()} == {torch.float32}, "weights are not"
    best = [min(e.validate_bce for e in one.epochs if e.validate_bce is not None) for one in (narrow, wide)]
    assert best[0] == pytest.approx(best[1], abs=0.01)
    assert (
        fitted(examples, asked(precision="fp32")).epochs[0].train_bce == fitted(examples, asked()).epochs[0].train_bce
    )


def test_a_ranker_trains_in_bf16() -> None:
    spec = board.SPEC.model_copy(update={"trainer": TrainerOptions(precision="bf16"), "batch_size": 7})
    _, epochs, best = ranking.fit_net(lists(), lists(9), spec)
    wide, _, _ = ranking.fit_net(lists(), lists(9), spec.model_copy(update={"trainer": TrainerOptions()}))
    assert epochs[best].validate_ndcg_at_10 == pytest.approx(
        ranking.ndcg_at_k(wide.score(lists(9).features), lists(9)), abs=0.05
    )


def test_bf16_is_refused_on_a_device_without_it_and_auto_is_fp32_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    device = torch.device("cuda")
    assert not precision.narrow(device, "auto")
    with pytest.raises(SpecError, match=r"^trainer.precision: bf16, and Tesla T4 computes in none; use auto"):
        precision.narrow(device, "bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert precision.narrow(device, "auto")
    assert not precision.narrow(device, "fp32")


def test_without_a_compiler_compile_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SpecError, match=r"^trainer.compile: true, and none of g\+\+, clang\+\+, c\+\+ is here"):
        parallel.wrapped(torch.nn.Linear(2, 2), TrainerOptions(compile=True))


@pytest.mark.slow
@pytest.mark.process  # torch starts the compiler
@pytest.mark.parametrize("architecture", ["cnn", "transformer", "gru"])
def test_a_compiled_network_trains_as_an_eager_one(architecture: str, examples: Examples) -> None:
    """Half a minute of compiling each."""
    update = {"architecture": architecture, "learning_rate": 1e-4}
    eager = fitted(examples, asked().model_copy(update=update))
    found = fitted(examples, asked(compile=True).model_copy(update=update))
    np.testing.assert_allclose(found.out_of_time.probabilities, eager.out_of_time.probabilities, atol=1e-5)
    assert list(found.scorer.net.state_dict()) == list(eager.scorer.net.state_dict()), "names are those of the net"


@pytest.mark.parametrize(("loads_s", "steps_s", "low", "high"), [(0.02, 0.0, 0.8, 1.0), (0.0, 0.02, 0.0, 0.2)])
def test_the_stall_share_is_what_the_loader_keeps_the_network_waiting(
    loads_s: float, steps_s: float, low: float, high: float
) -> None:
    def batches(rng: np.random.Generator) -> Iterator[int]:
        for n in range(5):
            time.sleep(loads_s)
            yield n

    def step(batch: int) -> float:
        time.sleep(steps_s)
        optimizer.step()
        return 1.0

    held = parallel.wrapped(torch.nn.Linear(1, 1), TrainerOptions())
    optimizer = held.optimizer(learning_rate=1.0, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    made = loop.Loop(held, optimizer, schedule, np.random.default_rng(0), batches, step, epochs=2)
    for passed in made.passes():
        assert passed.stall_share is not None
        assert low <= passed.stall_share <= high


def test_every_epoch_of_a_network_tells_its_stalls(examples: Examples) -> None:
    found = [epoch.stall_share for epoch in fitted(examples, asked()).epochs]
    assert found == [share for share in found if share is not None and 0 <= share <= 1]
    assert fitting.Epoch("full", 0.1, 0.1, 1.0).stall_share is None, "trees wait for no batch"


def test_a_spec_that_says_nothing_of_it_is_written_as_before() -> None:
    assert "trainer" not in IntentModel().model_dump()
    assert "trainer" not in Ranking().model_dump()
    said = IntentModel.model_validate({"trainer": {"accumulate": 2}})
    assert said.model_dump()["trainer"]["accumulate"] == 2
    assert IntentModel.model_validate(said.model_dump()) == said


Model = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("model", "said", "cure"),
    [
        (IntentModel, {"architecture": "gbdt", "trainer": {"compile": True}}, "trainer: of networks"),
        (IntentModel, {"architecture": "lstm", "trainer": {"parallel": "fsdp"}}, "has none; use ddp"),
        (IntentModel, {"trainer": {"checkpoint": {"every": 0}}}, "greater than or equal to 1"),
        (IntentModel, {"trainer": {"precision": "fp16"}}, "'auto', 'fp32' or 'bf16'"),
        (IntentModel, {"trainer": {"acumulate": 2}}, "Extra inputs are not permitted"),
        (IntentModel, {"trainer": {"compile": True, "parallel": "fsdp"}}, "do not go together; leave compile out"),
        (Ranking, {"trainer": {"parallel": "tensor"}}, "the ranker has none; use ddp"),
        (Ranking, {"algorithm": "popular", "trainer": {"compile": True}}, "leave trainer out"),
    ],
)
def test_what_would_be_without_effect_or_is_wrong_is_refused(model: Any, said: dict[str, Any], cure: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(said)
    assert cure in str(refused.value)


def test_one_process_has_nothing_to_share_out_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    net = torch.nn.Linear(2, 2)
    with caplog.at_level("WARNING", logger="intentflow"):
        held = parallel.wrapped(net, TrainerOptions(parallel="fsdp"))
    assert held.trained is net
    assert "one process trains, so nothing is shared out" in caplog.text
