"""A rate in the network's place: the baseline that the evaluation compares with, saved and loaded as a model is."""

from pathlib import Path

import numpy as np
import pytest

from components.intent import baselines
from components.intent.encode import FREQUENCY
from components.intent.examples import Examples
from components.intent.rate_net import RateNet
from components.intent.rates import NAMES
from components.intent.score import IntentScorer
from components.intent.shape import Shape
from feature_repo import columns
from feature_repo.errors import DataError

from .conftest import known_row, noon, start, unknown_row, user_rows

SHAPE = Shape("cnn", 8, 1, 0.0, targets=7, weeks=columns.RECENT_WEEKS, frequency=len(FREQUENCY), profile=3, segments=2)


def scorer(name: str, examples: Examples) -> IntentScorer:
    """Return a rate with all else that a trained model has."""
    net = RateNet.of(name, SHAPE, rate=examples.train_rate, prior_weeks=4.0)
    return IntentScorer(net, examples.vocabulary, examples.context, examples.calendar)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_rate_says_what_its_baseline_says(name: str, examples: Examples, tmp_path: Path) -> None:
    made = scorer(name, examples)
    made.save(tmp_path / "intent")
    loaded = IntentScorer.load(tmp_path / "intent")
    assert loaded.shape.architecture == name
    rows = examples.rows.take(examples.part("test"))
    chosen = dict.fromkeys(NAMES, 4.0)
    expected = baselines.predictions(examples.train_rate, rows, chosen, calendar=examples.calendar)[name]
    np.testing.assert_array_equal(loaded.predict(rows), expected)
    one = rows.take(np.array([7]))
    np.testing.assert_allclose(loaded.predict(one)[0], expected[7], atol=1e-6)
    with pytest.raises(TypeError, match=f"'{name}' is a rate, which has no network"):
        _ = loaded.net


def test_the_personal_rate_is_what_one_counts_by_hand(examples: Examples) -> None:
    row = known_row("u00", {1: [0, 2], 2: [0], 4: [2]}, 5)  # four weeks since the first; 0 in two, 2 in two, 4 never
    said = scorer("personal_rate", examples).predict(user_rows([row]))[0]
    rate = examples.train_rate
    assert said[[0, 2, 4]].tolist() == pytest.approx([(n + 4 * rate[t]) / (4 + 4) for n, t in ((2, 0), (2, 2), (0, 4))])
    assert ((said >= 0) & (said <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_of_a_stranger_every_rate_says_what_everyone_does_or_less(name: str, examples: Examples) -> None:
    said = scorer(name, examples).predict(user_rows([unknown_row("stranger", start(20))]))[0]
    assert ((said > 0) & (said <= examples.train_rate + 1e-6)).all()


def test_rows_of_another_vocabulary_are_refused(examples: Examples) -> None:
    row = known_row("u00", {1: [0, 99]}, 5) | {"last_at": noon(1)}
    with pytest.raises(DataError, match="target 99 is beyond the model's 7 targets"):
        scorer("decayed_rate", examples).predict(user_rows([row]))
