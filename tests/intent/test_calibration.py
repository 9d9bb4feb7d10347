"""Maps of probabilities: known distortions are taken back, orders stay, and three parts of the users stay apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from components.intent import calibrate, calibration, metrics
from components.intent.calibration import Calibration, Method
from components.intent.decisions import Thresholds
from components.intent.examples import Examples
from components.intent.score import IntentScorer
from components.intent.spec import IntentModel
from components.intent.train import train
from feature_repo import files
from feature_repo.errors import DataError

from .conftest import vocabulary

C = 7
SHARP: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "temperature": lambda true: expit(2.5 * logit(true)),
    "isotonic": lambda true: expit(logit(true) + 2),  # as a loss that weighs positives leaves it
}


def world(n: int = 6000, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return true probabilities and what came of them, [n, C] each."""
    rng = np.random.default_rng(seed)
    true = expit(rng.normal(-1, 1.2, (n, C)))
    return true, (rng.random((n, C)) < true).astype(np.uint8)


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_a_known_distortion_is_taken_back(method: Method) -> None:
    true, labels = world()
    found = calibrate.fit(method, labels, SHARP[method](true), vocabulary())
    other, truth = world(seed=1)
    said = SHARP[method](other)
    mended = found.apply(said)
    assert mended.dtype == np.float32
    assert np.abs(mended - other).mean() < 0.02 < 0.08 < np.abs(said - other).mean()
    before, after = (metrics.calibration_error(truth, p) for p in (said, mended))
    assert after < before / 4


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_no_order_turns_and_nothing_is_tied(method: Method) -> None:
    true, labels = world()
    found = calibrate.fit(method, labels, true**2, vocabulary())
    asked = np.repeat(np.linspace(0.001, 0.999, 400)[:, None], C, axis=1)
    assert (np.diff(found.apply(asked).astype(np.float64), axis=0) > 0).all()
    assert np.isfinite(found.apply(np.array([[0.0] * C, [1.0] * C]))).all()


@pytest.mark.parametrize("parts", [1, 3, 40])
def test_answers_that_are_tied_have_one_meaning_each(parts: int) -> None:
    """A tree says one of a few numbers, each thousands of times; each comes to mean how often it came true."""
    true, labels = world()
    said = (np.floor(true * parts) + 0.5) / parts
    found = calibrate.fit("isotonic", labels, said, vocabulary())
    for x, meant in found.knots.values():
        assert len(x) == 1 or min(np.diff(x).min(), np.diff(meant).min()) > 1e-6
    asked = np.repeat(np.linspace(0.001, 0.999, 400)[:, None], C, axis=1)
    assert (np.diff(found.apply(asked).astype(np.float64), axis=0) > 0).all()
    mended = found.apply(said)
    for value in np.unique(said[:, 0])[: parts - parts // 8]:  # the rare ones at the top are pooled
        mine = said[:, :6] == value
        assert abs(mended[:, :6][mine].mean() - true[:, :6][mine].mean()) < 0.04


def test_beyond_knots_that_lie_close_no_answer_becomes_certain() -> None:
    found = Calibration("isotonic", {"buy": (np.array([0.0, 1e-4]), np.array([-1.0, 1.0]))}, ("buy",))
    assert found.apply(np.array([[expit(0.0)], [expit(1e-4)]]))[:, 0] == pytest.approx(expit([-1.0, 1.0]), abs=1e-3)
    low, high = found.apply(expit(np.array([[-0.2], [0.2]])))[:, 0]
    assert (low, high) == pytest.approx((expit(-3.0), expit(3.0)), abs=1e-2)


def test_an_intent_with_too_few_pairs_keeps_what_it_says() -> None:
    true, labels = world(200)
    labels[:, 6] = 0  # nobody visits
    found = calibrate.fit("isotonic", labels, true, vocabulary())
    assert set(found.knots) == {"buy"}
    np.testing.assert_array_equal(found.apply(true)[:, 6], true[:, 6].astype(np.float32))


def test_the_map_is_read_as_written_and_of_other_intents_refused(tmp_path: Path) -> None:
    true, labels = world()
    found = calibrate.fit("isotonic", labels, true**2, vocabulary())
    found.save(tmp_path)
    again = Calibration.read(tmp_path, vocabulary())
    assert again is not None
    np.testing.assert_array_equal(again.apply(true), found.apply(true))
    files.write_json(tmp_path / calibration.FILE, found.document() | {"intents": ["watch"]})
    with pytest.raises(DataError, match="of other intents than the model beside it; train again"):
        Calibration.read(tmp_path, vocabulary())
    assert Calibration.read(tmp_path / "none", vocabulary()) is None


def test_no_user_serves_two_ends(examples: Examples) -> None:
    found = calibrate.folds(examples.users, examples.part("validate"))
    users = [set(examples.users[rows]) for rows in found.values()]
    assert sum(map(len, users)) == len(set.union(*users))
    assert sum(map(len, found.values())) == len(examples.part("validate"))


@pytest.mark.parametrize("architecture", ["cnn", "gbdt"])
def test_a_calibrated_model_is_served_as_it_was_judged(
    architecture: str, examples: Examples, small: Callable[[str], IntentModel], tmp_path: Path
) -> None:
    spec = small(architecture).model_copy(update={"calibrate": "temperature"})
    made = train(examples, spec, ranking_weeks=4, device="cpu")
    assert made.thresholds is not None
    assert made.thresholds.apart
    made.scorer.save(tmp_path)
    assert made.weeks["calibrated_on"] == made.weeks["scored_by_full"][: len(examples.split["validate"])]
    rows = examples.rows.take(examples.part("test"))
    want = made.scorer.predict(rows)
    np.testing.assert_allclose(IntentScorer.served(tmp_path).predict(rows), want, atol=1e-5)
    np.testing.assert_allclose(IntentScorer.load(tmp_path).predict(rows.take(np.array([3])))[0], want[3], atol=1e-5)
    bare = made.scorer.calibrated(None).predict(rows)
    assert np.abs(bare - want).max() > 1e-3
    assert made.scorer.at(examples.context, examples.calendar).calibration is made.scorer.calibration


def test_labels_of_those_who_calibrate_move_no_weight(examples: Examples, small: Callable[[str], IntentModel]) -> None:
    spec = small("cnn").model_copy(update={"calibrate": "temperature"})
    forged = examples.labels.copy()
    mine = calibrate.folds(examples.users, examples.part("validate"))["calibrate"]
    forged[mine] = 1 - forged[mine]
    rows = examples.rows.take(examples.part("test"))
    found = [
        train(one, spec, ranking_weeks=4, device="cpu").scorer for one in (examples, replace(examples, labels=forged))
    ]
    np.testing.assert_array_equal(*(one.calibrated(None).predict(rows) for one in found))
    assert np.abs(found[0].predict(rows) - found[1].predict(rows)).max() > 0.01


def test_too_few_users_are_told(examples: Examples, small: Callable[[str], IntentModel]) -> None:
    spec = small("cnn").model_copy(update={"calibrate": "temperature"})
    two = np.flatnonzero(np.isin(examples.rows.user_id, ["u00", "u01"]))
    few = replace(examples, rows=examples.rows.take(two), week=examples.week[two], labels=examples.labels[two])
    with pytest.raises(DataError, match="no third of users to decide with; give the source more users, or use calib"):
        train(few, spec, ranking_weeks=4, device="cpu")


def test_thresholds_are_read_as_written_and_of_other_targets_refused(tmp_path: Path) -> None:
    names = ["a", "b"]
    found = Thresholds(0.25, np.array([0.1, 1 / 3]), np.array([True, False]))
    found.save(tmp_path, names)
    again = Thresholds.read(tmp_path, names)
    assert again is not None
    np.testing.assert_array_equal(again.by_target, found.by_target)
    assert (again.pooled, again.own.tolist(), again.apart) == (0.25, [True, False], False)
    with pytest.raises(DataError, match="of other targets than the model beside it"):
        Thresholds.read(tmp_path, ["b", "a"])
