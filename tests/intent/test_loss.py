"""The documented loss, by hand and by autograd, and its options."""

import math
from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError

from components.intent import fit as fitting
from components.intent import train as training
from components.intent.examples import Examples
from components.intent.loss import cross_entropy
from components.intent.model import Batch
from components.intent.spec import IntentModel
from components.intent.train import train

LOGITS = torch.tensor([[math.log(3.0), -math.log(4.0)], [0.0, math.log(9.0)]])  # M(x) = .75, .2, .5, .9
WANTED = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
ONES = torch.ones(2)


def test_the_loss_is_the_documented_one_by_hand() -> None:
    by_hand = -(math.log(0.75) + math.log(0.8) + math.log(0.5) + math.log(0.9)) / 4  # of what happened, over N pairs
    assert (
        float(cross_entropy(LOGITS, WANTED, ONES))
        == pytest.approx(by_hand, abs=1e-7)
        == pytest.approx(0.32734, abs=1e-5)
    )


@pytest.mark.parametrize(("positives", "focal"), [(1.0, 0.0), (3.0, 0.0), (1.0, 2.0), (4.0, 1.5)])
def test_options_are_their_formulas_pair_by_pair(positives: float, focal: float) -> None:
    p = torch.sigmoid(LOGITS).double()
    given = torch.where(WANTED > 0, p, 1 - p)
    weight = torch.where(WANTED > 0, positives, 1.0)
    want = (-(weight * (1 - given) ** focal * given.log()) * torch.tensor([0.5, 1.5])).mean()
    found = cross_entropy(LOGITS, WANTED, torch.tensor([0.5, 1.5]), positives=torch.full((2,), positives), focal=focal)
    assert float(found) == pytest.approx(float(want), abs=1e-6)


def test_the_gradient_in_the_logits_is_what_was_said_less_what_happened_over_n() -> None:
    logits = LOGITS.clone().requires_grad_()
    cross_entropy(logits, WANTED, ONES).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(logits.grad, (torch.sigmoid(LOGITS) - WANTED) / 4)


def test_training_follows_the_documented_gradient_in_every_weight(
    examples: Examples, small: Callable[[str], IntentModel]
) -> None:
    """Autograd through the network, against the loss moved a little along a direction, twice: a central difference."""
    torch.manual_seed(0)
    rows = training.encoded(examples, examples.part("train")[:32])
    net = training._untrained(examples, small("cnn"), rows, "cpu").double().eval()
    for values in net.parameters():
        values.data += 0.05 * torch.randn_like(values)
    moved = Batch.of(rows.encoded)
    there = {n: v for n, v in vars(moved).items() if v is not None}
    batch = Batch(**{n: v.double() if v.is_floating_point() else v for n, v in there.items()})
    wanted = torch.from_numpy(rows.labels).double()

    def loss() -> torch.Tensor:
        p = torch.sigmoid(net(batch))
        return -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()

    found = cross_entropy(net(batch), wanted, torch.ones(wanted.shape[1]).double())
    torch.testing.assert_close(found, loss())
    found.backward()  # type: ignore[no-untyped-call]
    some = [values for values in net.parameters() if values.grad is not None]
    along = [torch.randn_like(values) for values in some]
    slope = sum(float((values.grad * way).sum()) for values, way in zip(some, along, strict=True))  # type: ignore[operator]
    step, ends = 1e-7, []
    for sign in (1, -2):
        for values, way in zip(some, along, strict=True):
            values.data += sign * step * way
        ends.append(float(loss().detach()))
    assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-3)


def test_validation_measures_the_same_loss(examples: Examples, small: Callable[[str], IntentModel]) -> None:
    rows = training.encoded(examples, examples.part("validate"))
    net = training._untrained(examples, small("cnn"), rows, "cpu").eval()
    with torch.inference_mode():
        want = cross_entropy(net(Batch.of(rows.encoded)), torch.from_numpy(rows.labels).float(), torch.ones(7))
    assert fitting.bce(net, rows) == pytest.approx(float(want), abs=1e-6)


@pytest.mark.parametrize("architecture", ["cnn", "gbdt"])
def test_heavier_positives_raise_what_is_said_and_calibration_takes_it_back(
    architecture: str, examples: Examples, small: Callable[[str], IntentModel]
) -> None:
    plain = small(architecture)
    heavy = plain.model_copy(update={"loss": plain.loss.model_copy(update={"positives": 8.0})})
    rows = examples.rows.take(examples.part("test"))
    said, raised, mended = (
        train(examples, spec, ranking_weeks=4, device="cpu").scorer.predict(rows)[:, :6].mean()
        for spec in (plain, heavy, heavy.model_copy(update={"calibrate": "isotonic"}))
    )
    rate = examples.labels[examples.part("test")][:, :6].mean()
    assert raised > said + 0.05
    assert abs(mended - rate) < abs(raised - rate) * 0.8  # 27 rows calibrate


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss": {"positives": "balanced"}}, "loss distorts probabilities, and calibrate: none does not mend that"),
        (
            {"loss": {"focal": 2}, "calibrate": "temperature"},
            "calibrate: temperature does not mend that; use calibrate",
        ),
        ({"loss": {"positives": 99}}, "99.0 is out of bounds; use a number from 0.02 to 50, or balanced"),
        ({"architecture": "gbdt", "loss": {"focal": 2}, "calibrate": "isotonic"}, "loss.focal: of networks, and"),
    ],
)
def test_a_loss_that_would_pass_for_probabilities_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        IntentModel.model_validate(given)


def test_a_spec_that_says_none_of_it_is_written_as_before() -> None:
    assert {"loss", "calibrate"}.isdisjoint(IntentModel().model_dump())
    asked = IntentModel.model_validate({"loss": {"positives": 3}, "calibrate": "isotonic"})
    assert IntentModel.model_validate(asked.model_dump()) == asked
