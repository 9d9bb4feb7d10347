"""Every kind of head: by hand, and what all of them promise."""

import math

import numpy as np
import pytest
import torch

from components.intent.forecasts import kinds
from components.intent.forecasts.kinds import KINDS, Head
from components.intent.forecasts.kinds.regression import Regression
from components.intent.forecasts.network import HeadNet
from components.intent.forecasts.score import Fitted, ForecastScorer
from components.intent.forecasts.spec import Forecast
from feature_repo.errors import DataError
from feature_repo.rows import UserRows

QUANTILES = (0.1, 0.5, 0.9)
INTENTS = {
    "squared": Forecast(name="spend", kind="regression", value="value", unit="EUR"),
    "huber": Forecast(name="spend", kind="regression", value="value", loss="huber"),
    "quantile": Forecast(name="spend", kind="regression", value="value", loss="quantile", quantiles=QUANTILES),
    "multiclass": Forecast(name="next", kind="multiclass", column="category"),
}
ONE = np.ones((1, 1))


@pytest.fixture(params=list(INTENTS))
def head(request: pytest.FixtureRequest) -> Head:
    """Give a head of each kind and loss, fitted on random labels."""
    intent, rng = INTENTS[request.param], np.random.default_rng(1)
    y = rng.integers(0, 4, 60).astype(float) if intent.kind == "multiclass" else rng.gamma(2.0, 30.0, 60)
    return kinds.fit(intent, y, weight=np.ones(60), values=("A", "B"))


def test_every_kind_has_an_intent_here() -> None:
    assert {intent.kind for intent in INTENTS.values()} == set(KINDS)


def test_a_head_is_read_as_it_was_written(head: Head) -> None:
    assert kinds.read(head.document()) == head


def test_the_exported_network_equals_torch_to_1e_5(head: Head) -> None:
    torch.manual_seed(0)
    net = HeadNet(7, head.outputs, width=16, dropout=0.5, start=head.start).eval()
    with torch.no_grad():
        for weight in net.parameters():  # zeros at the start: the layers would not be compared
            weight.add_(0.3 * torch.randn_like(weight))
    x = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    trained = net(torch.from_numpy(x)).detach().numpy()
    served = Fitted(head, net.arrays()).outputs(x)
    assert np.abs(trained - served).max() < 1e-5
    one = np.concatenate([Fitted(head, net.arrays()).outputs(x[i : i + 1]) for i in range(len(x))])
    assert np.abs(one - served).max() < 1e-9


def test_an_untrained_network_says_what_is_usual(head: Head) -> None:
    net = HeadNet(3, head.outputs, width=8, dropout=0.0, start=head.start)
    fitted = Fitted(head, net.arrays())
    said = head.answer(fitted.outputs(np.ones((1, 3), np.float32)))
    assert said == pytest.approx(fitted.usual, abs=1e-5)
    usual = np.asarray(head.usual)  # type: ignore[attr-defined]
    assert said[0] == pytest.approx(usual, rel=1e-3)


def test_the_loss_falls_where_an_answer_comes_nearer(head: Head) -> None:
    y = np.asarray([1.0, 1.0]) if head.intent.kind == "multiclass" else np.asarray([90.0, 90.0])
    net = HeadNet(1, head.outputs, width=4, dropout=0.0, start=head.start)
    wanted = torch.from_numpy(head.targets(y))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        loss = head.loss(net(torch.ones(2, 1)), wanted).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_quantiles_ascend_whatever_the_weights_say() -> None:
    head = kinds.fit(INTENTS["quantile"], np.asarray([1.0, 2.0, 9.0]), weight=np.ones(3))
    outputs = np.random.default_rng(0).normal(scale=30, size=(500, 3))
    assert (np.diff(head.answer(outputs), axis=1) >= 0).all()


def test_quantiles_by_hand() -> None:
    head = Regression(INTENTS["quantile"], mean=10.0, spread=2.0, lowest=-1.0, usual=(9.0, 10.0, 11.0))
    one = math.log(math.e - 1)  # softplus of it is 1
    said = head.answer(np.asarray([[0.0, one, one]]))
    assert said[0].tolist() == pytest.approx([10.0, 12.0, 14.0])
    spoken = head.spoken(said[0])
    assert {name: spoken[name] for name in ("low", "high", "unit")} == {
        "low": pytest.approx(10.0), "high": pytest.approx(14.0), "unit": None,
    }  # fmt: skip
    assert spoken["value"] == pytest.approx(12.0)


def test_the_pinball_loss_by_hand_and_in_torch() -> None:
    head = Regression(INTENTS["quantile"], mean=0.0, spread=4.0, lowest=-1.0, usual=(0.0, 1.0, 2.0))
    found = head.figures(np.asarray([1.0]), np.asarray([[0.0, 1.0, 3.0]]), ONE)
    assert found["pinball"][0] == pytest.approx((0.1 * 1 + 0 + 0.1 * 2) / 3)
    assert (found["coverage"][0], found["coverage_gap"][0]) == (1.0, pytest.approx(0.2))
    y, outputs = np.asarray([1.0, -3.0]), np.asarray([[0.2, -1.0, 0.4], [-2.0, 0.1, 0.3]])
    torches = head.loss(torch.from_numpy(outputs), torch.from_numpy(head.targets(y)).double()).numpy()
    figures = [head.figures(y[i : i + 1], head.answer(outputs[i : i + 1]), ONE)["pinball"][0] for i in range(2)]
    assert head.spread * torches == pytest.approx(figures)


def test_rmse_and_mae_by_hand_under_draws() -> None:
    head = Regression(INTENTS["squared"], mean=0.0, spread=1.0, lowest=-9.0, usual=(0.0,))
    weight = np.asarray([[1.0, 0.0], [1.0, 2.0]])  # all rows once; the second row twice
    found = head.figures(np.asarray([0.0, 4.0]), np.asarray([[1.0], [1.0]]), weight)
    assert found["rmse"].tolist() == pytest.approx([math.sqrt(5), 3.0])
    assert found["mae"].tolist() == [2.0, 3.0]


def test_the_huber_loss_counts_a_far_error_by_its_size() -> None:
    head = Regression(INTENTS["huber"], mean=0.0, spread=1.0, lowest=-9.0, usual=(0.0,))
    found = head.loss(torch.tensor([[0.0], [0.0]]), torch.tensor([0.5, 5.0]))
    assert found.tolist() == pytest.approx([0.125, 4.5])


def test_an_amount_that_was_never_negative_is_never_said_to_be() -> None:
    head = kinds.fit(INTENTS["squared"], np.asarray([0.0, 4.0]), weight=np.ones(2))
    assert head.answer(np.asarray([[-5.0]])).tolist() == [[0.0]]
    below = kinds.fit(INTENTS["squared"], np.asarray([-2.0, 4.0]), weight=np.ones(2))
    assert below.answer(np.asarray([[-5.0]]))[0, 0] < 0


def test_weights_of_rows_count_in_what_is_usual() -> None:
    head = kinds.fit(INTENTS["squared"], np.asarray([0.0, 4.0]), weight=np.asarray([3.0, 1.0]))
    assert isinstance(head, Regression)
    assert [head.mean, head.spread] == pytest.approx([1.0, math.sqrt(3)])


def test_figures_of_values_by_hand() -> None:
    head = kinds.fit(INTENTS["multiclass"], np.asarray([0.0, 1.0, 2.0, 3.0]), weight=np.ones(4), values=("A", "B"))
    said = np.asarray([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.6, 0.2, 0.1]])
    found = head.figures(np.asarray([0.0, 0.0, 1.0]), said, np.ones((3, 1)))
    assert found["accuracy"][0] == pytest.approx(2 / 3)
    assert found["top3"][0] == pytest.approx(2 / 3)
    assert found["log_loss"][0] == pytest.approx(-(math.log(0.7) + math.log(0.1) + math.log(0.6)) / 3)
    # A: said once, and rightly, of two; B: said once, and rightly; none was said once of no row that holds it.
    assert found["macro_f1"][0] == pytest.approx((2 / 3 + 1) / 2)


def test_a_distribution_adds_up_to_one_and_is_worded_by_value() -> None:
    head = kinds.fit(INTENTS["multiclass"], np.asarray([0.0, 1.0, 2.0, 3.0]), weight=np.ones(4), values=("A", "B"))
    said = head.answer(np.asarray([[0.0, math.log(2), 0.0, math.log(4)]]))
    assert head.spoken(said[0]) == {
        "probabilities": {"A": pytest.approx(1 / 8), "B": pytest.approx(1 / 4)},
        "other": pytest.approx(1 / 8),
        "none": pytest.approx(1 / 2),
    }


@pytest.mark.parametrize(
    ("name", "y", "line"),
    [
        (
            "squared",
            [],
            "intents.spend: no training row has a label: nobody did what it is a mean of within the horizon",
        ),
        ("squared", [3.0, 3.0], "intents.spend: all 2 training labels are 3, so there is nothing to predict; name"),
        ("squared", [3.0, float("nan")], "intents.spend: 1 of 2 labels are no finite numbers"),
        ("multiclass", [3.0, 3.0], "intents.next: what comes next is none in all 2 training rows, so there is nothing"),
        ("multiclass", [1.0], "intents.next: what comes next is 'B' in all 1 training rows, so there is nothing to"),
    ],
)
def test_labels_that_tell_nothing_are_refused_with_one_line(name: str, y: list[float], line: str) -> None:
    with pytest.raises(DataError) as caught:
        kinds.fit(INTENTS[name], np.asarray(y), weight=np.ones(len(y)), values=("A", "B"))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_drift_is_watched_by_what_is_said(head: Head) -> None:
    said = head.answer(np.stack([head.start, head.start + 1]))
    found = head.watched(said)
    assert all(values.shape == (2,) for values in found.values())
    if isinstance(head, Regression):
        assert list(found) == ["spend"]
        np.testing.assert_array_equal(found["spend"], head.value(said))
    else:
        assert list(found) == ["next.A", "next.B", "next.none"]
        np.testing.assert_array_equal(found["next.none"], said[:, -1])


def test_whom_a_model_answers_with_no_number_has_what_is_usual_in_a_batch_too(head: Head) -> None:
    fitted = Fitted(head, HeadNet(1, head.outputs, width=4, dropout=0.0, start=head.start).arrays())

    class Spoilt(ForecastScorer):
        def predict(self, rows: UserRows) -> list[np.ndarray]:
            return [np.stack([fitted.usual[0], np.full(fitted.usual.shape[1], np.nan)])]

    rows = UserRows.unknown(["ann", "bob", "cleo"], now=1)
    said = Spoilt((fitted,), None).spoken(rows, modelled=np.array([True, False, True]))  # type: ignore[arg-type]
    assert [one[0]["basis"] for one in said] == ["model", "usual", "usual"]
    assert said[1] == said[2]
