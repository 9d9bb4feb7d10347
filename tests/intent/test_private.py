"""Training with differential privacy: gradients by user, their bound, noise and budget, and what an attacker sees."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from components.distributed.ranks import Ranks
from components.intent import private, steps
from components.intent.encode import Encoded
from components.intent.examples import Examples, load
from components.intent.fit import Fit, Rows
from components.intent.loss import cross_entropy
from components.intent.model import Batch, IntentNet, probabilities
from components.intent.networks import NETWORKS, TREES
from components.intent.options import Privacy
from components.intent.private import Plan, PrivateFit
from components.intent.shape import Shape
from components.intent.spec import IntentModel
from components.intent.train import train
from feature_repo.checkout import ROOT
from feature_repo.errors import DataError, SpecError
from pipelines.spec import Models

from .conftest import INTENTS, write_rows
from .conftest import checkerboard as few_users

TARGETS, WEEKS, PROFILE = 5, 4, 12


def seen(rows: int, *, seed: int) -> Encoded:
    """Make up encoded users whose numbers are noise, so that no two are alike."""
    rng = np.random.default_rng(seed)
    return Encoded(
        frequency=rng.normal(size=(rows, TARGETS, 3)).astype(np.float32),
        sequence=rng.integers(0, 2, (rows, WEEKS, TARGETS)).astype(np.uint8),
        active=np.ones((rows, WEEKS, 2), dtype=np.uint8),
        profile=rng.normal(size=(rows, PROFILE)).astype(np.float32),
        segment=rng.integers(0, 3, rows),
    )


def untrained(architecture: str, *, perturbed: bool = False) -> IntentNet:
    """Make a network; perturbed: one in which each weight matters."""
    torch.manual_seed(0)
    shape = Shape(architecture, 16, 1, 0.0, targets=TARGETS, weeks=WEEKS, frequency=3, profile=PROFILE, segments=2)
    net = IntentNet(shape)
    if perturbed:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    return net.eval()


def fit_of(rows: Rows, *, user: np.ndarray | None = None, architecture: str = "cnn", **plan: float) -> PrivateFit:
    """Make a private fit of made-up rows, each of a user of its own unless told."""
    user = np.arange(len(rows.week)) if user is None else user
    users = int(user.max()) + 1
    whole = {"epsilon": 1.0, "delta": 1e-5, "clip": 1.0, "sigma": 1.0, "users": users, "rate": 0.5, "rows": 4} | plan
    spec = IntentModel.model_validate({"architecture": architecture, "width": 16, "layers": 1, "dropout": 0.0})
    nobody, weight = seen(1, seed=99), np.ones(TARGETS, np.float32)
    return PrivateFit(
        untrained(architecture, perturbed=True), rows, None, nobody, weight, spec,
        plan=Plan(**whole, steps={"full": 1}), user=user, rng=np.random.default_rng(0),  # type: ignore[arg-type]
    )  # fmt: skip


def made(rows: int, *, seed: int = 0) -> Rows:
    labels = np.random.default_rng(seed + 1).integers(0, 2, (rows, TARGETS)).astype(np.uint8)
    return Rows(seen(rows, seed=seed), labels, np.zeros(rows, np.int64))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_gradients_by_user_are_those_of_autograd(architecture: str) -> None:
    net, users, each = untrained(architecture, perturbed=True), 3, 2
    rows = made(users * each)
    batch = Batch.of(rows.encoded)
    arrays = tuple(part.unflatten(0, (users, each)) for part in vars(batch).values() if part is not None)
    wanted = torch.from_numpy(rows.labels).float().unflatten(0, (users, each))
    counts = torch.ones_like(wanted)
    counts[2, 1] = 0  # a user with one row
    found, losses = private.of_users(net)(arrays, wanted, counts)
    for user in range(users):
        net.zero_grad()
        mine = Batch(
            **{name: part[user * each : (user + 1) * each] for name, part in vars(batch).items() if part is not None}
        )
        loss = TARGETS * cross_entropy(net(mine), wanted[user], counts[user])
        loss.backward()
        assert float(losses[user]) == pytest.approx(float(loss.detach()) / TARGETS, abs=1e-6)
        for name, parameter in net.named_parameters():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(found[name][user], expected, atol=2e-6, rtol=1e-4)


def test_a_user_moves_the_sum_by_no_more_than_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "UNKNOWN_SHARE", 0.0)
    rows, user = made(12), np.repeat(np.arange(4), 3)
    fit = fit_of(rows, user=user, clip=0.3)
    chosen, there = np.arange(12).reshape(4, 3), np.ones((4, 3), bool)
    whole, without = (fit._clipped(chosen[:n], there[:n])[0] for n in (4, 3))
    moved = math.sqrt(sum(float(((whole[name] - without[name]) ** 2).sum()) for name in whole))
    assert 0.29 < moved <= 0.3 + 1e-6, "all of its rows together, and it would have been more"


def test_the_noise_is_as_loud_as_planned_whoever_comes() -> None:
    fit = fit_of(made(4), user=np.arange(4) + 996, sigma=3.0, clip=0.5, rate=1e-9)  # 1,000 users, nobody is taken
    assert math.isnan(fit._step(np.arange(4)))
    drawn = np.concatenate([p.grad.numpy().ravel() for p in fit.net.parameters() if p.grad is not None])
    assert len(drawn) == sum(p.numel() for p in fit.net.parameters())
    assert drawn.std() == pytest.approx(3.0 * 0.5 / (1000 * 1e-9), rel=0.05)
    assert abs(drawn.mean()) < 0.05 * drawn.std()


def test_the_sum_is_divided_by_the_users_that_are_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "UNKNOWN_SHARE", 0.0)
    fit = fit_of(made(6), sigma=0.0, rate=1.0, clip=1e9)
    fit._step(np.arange(6))
    everyone, _ = fit_of(made(6), clip=1e9)._clipped(np.arange(6)[:, None].repeat(4, 1), np.arange(4) < np.ones((6, 1)))
    for name, parameter in fit.net.named_parameters():
        torch.testing.assert_close(parameter.grad, everyone[name] / 6, atol=1e-5, rtol=1e-4)


def test_a_user_gives_at_most_so_many_rows_each_once() -> None:
    user = np.array([0, 0, 0, 0, 0, 1, 2, 2])
    chosen, there = private.some_rows(np.array([0, 1, 2, 3, 4, 5, 7]), user, most=3, rng=np.random.default_rng(0))
    assert there.sum(axis=1).tolist() == [3, 1, 1]
    assert [len(set(chosen[n][there[n]].tolist())) for n in range(3)] == [3, 1, 1]
    assert (user[chosen] == np.array([[0], [1], [2]])).all()
    assert 6 not in chosen, "rows that were not asked for are not drawn"


def test_users_are_taken_by_chance_as_often_as_planned() -> None:
    rng, fit = np.random.default_rng(1), fit_of(made(2), rate=0.3)
    taken = [(rng.random(500) < fit.plan.rate).sum() for _ in range(100)]
    assert np.mean(taken) == pytest.approx(150, rel=0.03)
    assert np.std(taken) > 5, "a step of always as many users is another mechanism than the accountant's"


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the rows of the checkerboard, each user several times over: 200 users."""
    world = {
        f"u{100 * copy + int(user[1:]):03}": happened for copy in range(5) for user, happened in few_users(copy).items()
    }
    return write_rows(tmp_path_factory.mktemp("private") / "rows", world)


@pytest.fixture(scope="module")
def many(many_rows: Path) -> Examples:
    """Give their examples."""
    return load(many_rows, INTENTS)


SPEC = {"architecture": "cnn", "width": 16, "layers": 1, "epochs": 4, "batch_size": 256, "learning_rate": 1e-2}


def private_spec(**changes: object) -> IntentModel:
    return IntentModel.model_validate(SPEC | {"privacy": {"epsilon": 8.0, "delta": 1e-4}} | changes)


@pytest.mark.world
def test_training_keeps_its_budget_and_tells_it(many: Examples, many_rows: Path, tmp_path: Path) -> None:
    trained = train(many, private_spec(), ranking_weeks=4, device="cpu")
    told = trained.privacy
    assert 7.9 < told["epsilon"] <= 8.0
    assert told["users"] == 200
    assert told["rate"] == pytest.approx(64 / 200)
    assert told["steps"] == {"early": 16, "full": 16}
    assert [epoch.stage for epoch in trained.epochs] == ["early"] * 4 + ["full"] * 4, "nothing stops it early"
    assert set(told["validate"]) == {"private", "untrained", "without"}
    assert told["validate"]["private"]["bce"] != told["validate"]["untrained"]["bce"]
    assert told["validate"]["without"]["map"] > 0.65
    assert told["validate"]["private"]["map"] > told["validate"]["without"]["map"] - 0.1
    last = private.bce(trained.scorer.net, validating(many))
    assert last == pytest.approx(trained.epochs[-1].validate_bce or 0.0, abs=1e-6), "the last weights are kept"
    steps.save(trained, private_spec(), tmp_path / "intent", under={})
    assert json.loads((tmp_path / "intent" / "training.json").read_text())["privacy"] == json.loads(json.dumps(told))
    logged: dict[str, float] = {}
    steps.run_evaluate_intent(
        json.dumps([intent.model_dump() for intent in INTENTS]), rows=str(many_rows), intent=str(tmp_path / "intent"),
        evaluation=str(tmp_path / "evaluation"), card=str(tmp_path / "card.md"), log_metric=logged.__setitem__,
        log_roc_curve=lambda *_: None, log_confusion_matrix=lambda *_: None,
    )  # fmt: skip
    card = (tmp_path / "card.md").read_text()
    assert "## Privacy" in card
    assert f"({told['epsilon']:.3g}, 0.0001) differentially private" in card
    assert "Not covered: " in card
    assert "the forecasts of amounts and classes, and the session model" in card
    assert logged["intent.privacy.epsilon"] == told["epsilon"]
    assert json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["privacy"]["sigma"] == told["sigma"]


def validating(examples: Examples) -> Rows:
    from components.intent import train as training

    return training.encoded(examples, examples.part("validate"))


@pytest.mark.world
def test_equal_seeds_draw_other_noise(many: Examples) -> None:
    spec = private_spec(epochs=1, privacy={"epsilon": 8.0, "delta": 1e-4, "compare": False})
    first, second = (train(many, spec, ranking_weeks=4, device="cpu") for _ in range(2))
    assert set(first.privacy["validate"]) == {"private", "untrained"}
    assert not np.allclose(first.out_of_time.probabilities, second.out_of_time.probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"epsilon": 0.05}, "models.intent.privacy.epsilon: 0.05 is too small for 200 users"),
        ({"epsilon": 8.0, "delta": 0.009}, "models.intent.privacy.delta: 0.009 of 200 users"),
    ],
)
def test_a_budget_that_the_data_cannot_hold_is_one_line(many: Examples, asked: dict[str, float], told: str) -> None:
    with pytest.raises(DataError) as error:
        train(many, private_spec(privacy=asked), ranking_weeks=4, device="cpu")
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_the_epsilon_that_a_refusal_names_is_enough() -> None:
    spec = private_spec(privacy={"epsilon": 0.05, "delta": 1e-4})
    with pytest.raises(DataError) as error:
        private.plan(spec.privacy or Privacy(epsilon=1), spec, users=200, stages=("early", "full"))
    least = float(str(error.value).split("use at least ")[1].split(",")[0])
    private.plan(Privacy(epsilon=1.05 * least, delta=1e-4), spec, users=200, stages=("early", "full"))


def test_too_few_users_are_one_line(examples: Examples) -> None:
    with pytest.raises(DataError, match=r"the training rows have 40 users, and at least 100 are needed"):
        train(examples, private_spec(), ranking_weeks=4, device="cpu")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"architecture": TREES, "privacy": {"epsilon": 1}}, "privacy: of networks, and architecture gbdt has none"),
        ({"pretrain": {}, "privacy": {"epsilon": 1}}, "pretrain: reads rows that privacy does not account for"),
        ({"privacy": {}}, "Field required"),
        ({"privacy": {"epsilon": 0}}, "greater than 0"),
    ],
)
def test_what_privacy_does_not_cover_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        IntentModel.model_validate(fields)


def test_specs_of_before_have_the_digest_of_before() -> None:
    assert not {"privacy", "pretrain"} & set(IntentModel().model_dump())


def test_several_processes_and_refits_are_refused(many: Examples) -> None:
    fit = fit_of(made(200))
    plain = Fit(fit.net, fit.rows, None, fit.unknown, fit.weight, fit.spec, ranks=Ranks(rank=0, world=2))
    with pytest.raises(SpecError, match=r"models.intent.privacy: one process takes users and draws noise, and 2 were"):
        private.of(plain, Privacy(epsilon=8), np.arange(200), stages=("full",))
    with pytest.raises(SpecError, match=r"promotion.refit"):
        fit.rerun("full", np.arange(4), epochs=1, report=lambda share, note: None)


def attacked(net: IntentNet, members: Rows, others: Rows) -> float:
    """Return how well a low loss tells members from others, as an area under the ROC curve (Yeom et al., 2018)."""
    losses = []
    for rows in (members, others):
        p = probabilities(net.eval(), rows.encoded).clip(1e-7, 1 - 1e-7)
        losses.append(-np.log(np.where(rows.labels > 0, p, 1 - p)).mean(axis=1))
    member = np.repeat([1, 0], [len(losses[0]), len(losses[1])])
    return float(roc_auc_score(member, -np.concatenate(losses)))


@pytest.mark.world
def test_an_attacker_tells_members_of_a_plain_model_and_not_of_a_private_one() -> None:
    """Labels are noise, so whatever a model knows of them is of its own members."""
    members, others = made(120, seed=3), made(120, seed=4)
    spec = IntentModel.model_validate(SPEC | {"epochs": 40, "batch_size": 64, "dropout": 0.0})
    nobody, weight = seen(1, seed=99), np.ones(TARGETS, np.float32)
    torch.manual_seed(0)
    plain = Fit(untrained("cnn"), members, None, nobody, weight, spec)
    plain.rerun("full", np.arange(120), epochs=40, report=lambda share, note: None)
    again = replace(plain, net=untrained("cnn"), epochs=[])
    hidden = private.of(again, Privacy(epsilon=4, delta=1e-3, rows=1), np.arange(120), stages=("full",))
    hidden.rng = np.random.default_rng(0)
    hidden.run("full", np.arange(120), report=lambda share, note: None)
    assert attacked(plain.net, members, others) > 0.85
    assert attacked(hidden.net, members, others) < 0.62


def test_every_model_of_people_that_is_trained_without_privacy_is_named() -> None:
    """A new model beside these must be named too, here, on the card and on the page."""
    assert set(Models.model_fields) == {"intent", "session", "forecast", "ranking"}
    page = (ROOT / "docs" / "private-training.md").read_text().partition("## Not covered")[2]
    for words in ("ranker", "forecasts", "session model"):
        assert words in " ".join(private.NOT_COVERED)
        assert words in page
